"""MariaDB Galera on the service side."""
