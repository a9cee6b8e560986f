"""PostgreSQL on the admin side.

`row_security` writes the policies, `privileges` and `default_privileges` the grants, `accounts` the logins, `ddl` and
`online_ddl` change tables, `introspection` reads the catalog, and `server` combines them in one backend.
"""
