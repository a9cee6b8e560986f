"""The facts about SQLite."""

from ringfence.schema.features.base import Features

FEATURES = Features(
    name="sqlite",
    dialect="sqlite",
    extra=None,
    family="sqlite",
    database_is_file=True,
    rebuilds_tables=True,
    transactional_ddl=True,
    has_accounts=False,
    has_stored_functions=False,
    writes_through_views=False,
    names_shared_in_schema=("index",),
    references_unique_keys=True,
)
