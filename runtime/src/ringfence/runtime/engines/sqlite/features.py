"""What SQLite and Python's sqlite3 can do."""

from ringfence.runtime.engines.base import Features

FEATURES = Features(
    paramstyle="qmark",
    survives_fork=False,  # SQLite's file locks belong to a process, and it counts them itself
    interruptible=False,  # a statement runs in C: a signal handler runs only after it
    local_settings_end=True,  # SQLite has no SET LOCAL
    has_replace=True,
)
