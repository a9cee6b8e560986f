"""SQLite on the admin side."""
