"""The facts about MariaDB."""

from ringfence.schema.features.base import Features

FEATURES = Features(
    name="mariadb",
    dialect="mariadb",
    extra="mysql",
    family="mysql",
    backslash_escapes=True,
    longest_login=128,  # beyond it, CREATE USER fails with error 1470: tests/integration/schema/test_access_accounts.py
    login_settings=("connection_limit", "host"),
    longest_name=64,
    longest_key=3072,
    names_shared_in_schema=("foreign_key",),
    has_uuids=True,
    has_sequences=True,
    sequences_need_select=True,
    holds_keys_to_indexes=True,
)
