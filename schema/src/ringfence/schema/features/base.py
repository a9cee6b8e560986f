"""The class of the facts about an engine: its limits, and what it can express."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The facts about one engine that the admin side decides by, without asking a server.

    A fact that depends on a server's version or settings is asked of the server instead.
    """

    name: str
    """The engine's name in `ringfence.toml`."""
    dialect: str
    """SQLAlchemy's name of its dialect."""
    extra: str | None
    """The extra of the distributions that installs its driver; None where Python's standard library has one."""
    family: str
    """The engine's family: engines of one family have a common code base, and therefore most facts in common."""

    database_is_file: bool = False
    """Whether a database is a file of this machine, which needs no server."""
    rebuilds_tables: bool = False
    """Whether most changes of a table rebuild it, so that migrations are written in Alembic's batch mode.

    https://www.sqlite.org/lang_altertable.html
    """
    transactional_ddl: bool = False
    """Whether a transaction that is rolled back undoes its DDL, and with it the GRANT and REVOKE statements.

    Where this is false, an apply sends grants before revokes, because each statement commits by itself.
    https://dev.mysql.com/doc/refman/8.4/en/implicit-commit.html, https://mariadb.com/kb/en/sql-statements-that-cause-an-implicit-commit/
    """
    grants_many_objects: bool = False
    """Whether one GRANT or REVOKE can name several objects of the same kind."""
    policies_block_type_changes: bool = False
    """Whether a policy or view on a column prevents a change of its type, and so must be detached before it.

    Where this is false, they are detached only before a column or a table is dropped or renamed.
    """
    audit_settings: tuple[str, ...] = ()
    """Prefixes of a login's settings for logging and auditing, which an apply changes only if the manifest has them."""
    backslash_escapes: bool = False
    """Whether a backslash in a string literal escapes the next character, unless the session's sql_mode forbids it."""

    has_accounts: bool = True
    """Whether the server has logins; else the runtime enforces the manifest from the mirror."""
    longest_login: int | None = None
    """The length of the longest login, in characters, or in bytes where `counts_bytes` is true; None without logins."""
    login_settings: tuple[str, ...] = ()
    """What the manifest may set of a login itself, such as `connection_limit`."""
    has_stored_functions: bool = True
    """Whether it has functions and procedures that an account may be granted."""
    writes_through_views: bool = True
    """Whether it takes writes on a view."""

    longest_name: int | None = None
    """The longest name of a table, index or constraint; None without a limit."""
    counts_bytes: bool = False
    """Whether the length of a name, and of a login, is counted in bytes of UTF-8, and not in characters."""
    longest_key: int | None = None
    """The most bytes of the columns of a key or index; None without a limit that the models can be checked against.

    InnoDB's limit for the row formats DYNAMIC and COMPRESSED: https://dev.mysql.com/doc/refman/8.4/en/innodb-limits.html
    """
    names_shared_in_schema: tuple[str, ...] = ()
    """The kinds of names that must be unique in a schema, not only in a table.

    On PostgreSQL those with an index (which is a relation), in InnoDB those of foreign keys, on MySQL also those of
    CHECKs, on SQLite those of indexes. Of `index`, `primary_key`, `unique`, `foreign_key`, `check`.
    """
    has_uuids: bool = False
    """Whether it has a type for UUIDs; else `Uuid` is CHAR(32)."""
    has_sequences: bool = False
    """Whether it has sequences that a default can draw from."""
    sequences_need_select: bool = False
    """Whether an INSERT that draws from a sequence requires SELECT and INSERT on it, even where the value is given.

    These privileges also allow setting the sequence back. Seen on MariaDB 10.11 and 11.8.
    """
    has_native_enums: bool = False
    """Whether an Enum is a type of the schema, created and altered by statements of its own."""
    needs_primary_keys: bool = False
    """Whether each table must have a primary key: Galera replicates rows by it."""
    references_unique_keys: bool = False
    """Whether a foreign key must refer to columns with a unique key of exactly these columns.

    MariaDB accepts any index. On MySQL the variable `restrict_fk_on_non_standard_key` decides.
    """
    validates_later: bool = False
    """Whether it can add a constraint without looking at the rows, and validate it later under a weaker lock."""
    holds_keys_to_indexes: bool = False
    """Whether it refuses to drop the last index that serves a foreign key (InnoDB, error 1553)."""
    is_cluster: bool = False
    """Whether each node does some DDL by itself, though the statements reach all of them."""

    @property
    def name_unit(self) -> str:
        """What the length of a name is counted in, for messages: `bytes` or `characters`."""
        return "bytes" if self.counts_bytes else "characters"

    def name_length(self, name: str) -> int:
        """Return the length of a name or login as the engine counts it."""
        return len(name.encode()) if self.counts_bytes else len(name)
