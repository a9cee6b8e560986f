"""The facts about MySQL."""

from ringfence.schema.features.base import Features

FEATURES = Features(
    name="mysql",
    dialect="mysql",
    extra="mysql",
    family="mysql",
    backslash_escapes=True,
    longest_login=32,  # https://dev.mysql.com/doc/refman/8.4/en/user-names.html
    login_settings=("connection_limit", "host"),
    longest_name=64,
    longest_key=3072,
    names_shared_in_schema=("foreign_key", "check"),
    holds_keys_to_indexes=True,
)
