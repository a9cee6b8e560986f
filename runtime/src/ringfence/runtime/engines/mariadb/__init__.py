"""MariaDB on the service side."""
