"""Generate rows for the tables of a database (`rows`), and drop everything in a test database (`emptying`)."""
