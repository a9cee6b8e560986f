"""What PostgreSQL and psycopg2 can do."""

from ringfence.runtime.engines.base import Features

FEATURES = Features(
    paramstyle="pyformat",
    survives_fork=True,
    interruptible=False,  # libpq waits in C: a signal handler runs only after the answer
    local_settings_end=True,
    has_replace=False,
    advance_sequence_insert=(
        "INSERT INTO {relation} ({columns}) SELECT {values} FROM generate_series(1, {count})"
        " ON CONFLICT DO NOTHING"
    ),
)
