"""The MariaDB backend: the differences of MariaDB from MySQL."""
