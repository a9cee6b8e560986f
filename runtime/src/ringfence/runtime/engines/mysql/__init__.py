"""MySQL on the service side, and what MariaDB and Galera share with it."""
