"""MariaDB Galera on the admin side: backend, lock and the comparison of its nodes."""
