"""MySQL on the admin side, and what MariaDB and Galera share with it."""
