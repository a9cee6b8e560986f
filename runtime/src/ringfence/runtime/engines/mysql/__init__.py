"""The MySQL backend, most of which MariaDB and Galera share."""
