"""What all servers of the MySQL family and PyMySQL can do; the module `flavour` of each server has the differences."""

from ringfence.runtime.engines.base import Features

FEATURES = Features(
    paramstyle="pyformat",
    survives_fork=True,
    interruptible=True,  # PyMySQL is Python code
    local_settings_end=False,  # SET LOCAL is SET SESSION here
    has_replace=True,
)
