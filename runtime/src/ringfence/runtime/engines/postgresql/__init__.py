"""PostgreSQL on the service side."""
