"""MariaDB on the admin side."""
