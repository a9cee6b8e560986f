"""The Galera backend: the differences of a MariaDB Galera node from a single MariaDB server."""
