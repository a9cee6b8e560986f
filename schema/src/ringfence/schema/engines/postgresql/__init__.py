"""PostgreSQL backend of the admin side."""
