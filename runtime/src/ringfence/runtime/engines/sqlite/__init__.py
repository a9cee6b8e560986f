"""SQLite on the service side."""
