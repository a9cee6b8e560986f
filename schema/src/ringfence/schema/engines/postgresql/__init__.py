"""PostgreSQL on the admin side."""
