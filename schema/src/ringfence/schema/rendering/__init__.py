"""Types, tables and SQL as the Python source of revisions and models."""
