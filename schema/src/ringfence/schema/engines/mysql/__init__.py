"""MySQL on the admin side, and the code that MariaDB and Galera share with it."""
