"""The facts about PostgreSQL."""

from ringfence.schema.features.base import Features

FEATURES = Features(
    name="postgresql",
    dialect="postgresql",
    extra="postgresql",
    family="postgresql",
    transactional_ddl=True,
    grants_many_objects=True,
    policies_block_type_changes=True,
    audit_settings=("log_", "pgaudit.", "auto_explain.", "pg_stat_statements."),
    longest_login=63,  # NAMEDATALEN - 1: https://www.postgresql.org/docs/current/sql-syntax-lexical.html
    login_settings=(
        "connection_limit",
        "valid_until",
        "search_path",
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
    ),
    longest_name=63,
    counts_bytes=True,
    names_shared_in_schema=("index", "primary_key", "unique"),
    has_uuids=True,
    has_sequences=True,
    has_native_enums=True,
    references_unique_keys=True,
    validates_later=True,
)
