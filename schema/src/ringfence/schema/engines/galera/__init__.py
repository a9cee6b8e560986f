"""MariaDB Galera on the admin side."""
