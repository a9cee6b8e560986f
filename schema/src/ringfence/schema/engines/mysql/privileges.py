"""Privileges on the MySQL family: patterns of databases, and what the admin holds and may grant and revoke."""

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.mysql.quoting import quoted
from ringfence.schema.grants.difference import Difference, Privilege, batches

if TYPE_CHECKING:
    from ringfence.schema.engines.mysql.roles import FamilyAccounts


AccountAt = tuple[str, str]
"""The user name and host of an account; a role of MariaDB has an empty host."""
PUBLIC: AccountAt = ("PUBLIC", "")
"""MariaDB's PUBLIC, whose privileges every account has."""
_ROLE = re.compile(
    r"\s*(?:`((?:[^`]|``)*)`|'((?:[^']|'')*)'|([^`'@,\s]+))(?:@(?:`([^`]*)`|'([^']*)'|([^,\s]+)))?\s*(?:,|$)"
)
_NEXTVAL = re.compile(r"\bnextval\(`((?:[^`]|``)+)`\.`((?:[^`]|``)+)`\)")
IS_ADMINISTRATOR = (
    "'Y' IN ({0}Super_priv, {0}Grant_priv, {0}Create_user_priv, {0}Shutdown_priv, {0}File_priv)"
)
"""SQL condition on a row of mysql.user, with the alias and dot in the braces: whether it may do more than a service."""


class AdminPrivileges:
    """The privileges of the admin, its own and those of its active roles.

    Args:
        account: 'login'@'host'.
        server: its global privileges.
        passes_on: those of them that it may grant and revoke.
        held: (privilege, pattern of databases, whether that matches the job's database, whether it may be granted and
            revoked).
    """

    def __init__(
        self,
        account: str,
        server: Collection[str],
        passes_on: Collection[str],
        held: Iterable[tuple[str, str, bool, bool]],
    ) -> None:
        held = tuple(held)
        self.account = account
        self.server = set(server)
        self.passes_on = set(passes_on)
        self.database = self.server | {right for right, _, matching, _ in held if matching}
        self.grants = bool(self.passes_on) or any(may for _, _, matching, may in held if matching)
        self.catalog = "SELECT" in self.server or any(
            right == "SELECT" and matches(pattern, "mysql") for right, pattern, _, _ in held
        )
        self._patterns = [(right, pattern) for right, pattern, _, may in held if may]

    @classmethod
    def read(cls, connection: sa.Connection) -> "AdminPrivileges":
        """Read the privileges of the connection's account."""
        account, roles = connection.exec_driver_sql("SELECT CURRENT_USER(), CURRENT_ROLE()").one()
        user, _, host = str(account).rpartition("@")
        mine = f"'{user}'@'{host}'"
        grantees = [mine]
        if roles and roles != "NONE":
            for role in str(roles).split(","):
                plain = role.strip().replace("`", "'")
                grantees.append(plain if "@" in plain else f"'{plain}'@''")
        global_privileges = connection.exec_driver_sql(
            "SELECT privilege_type, is_grantable FROM information_schema.user_privileges WHERE grantee IN %s",
            (tuple(grantees),),
        ).all()
        on_databases = connection.exec_driver_sql(
            "SELECT privilege_type, table_schema, DATABASE() LIKE table_schema, is_grantable = 'YES'"
            " FROM information_schema.schema_privileges WHERE grantee IN %s",
            (tuple(grantees),),
        ).all()
        return cls(
            mine,
            {right for right, _ in global_privileges},
            {right for right, may in global_privileges if may == "YES"},
            [(right, pattern, bool(matching), bool(may)) for right, pattern, matching, may in on_databases],
        )

    def may_revoke(self, verb: str, schema: str | None) -> bool:
        """Return whether a REVOKE of this privilege would succeed; one that fails harms a cluster.

        Args:
            verb: the privilege, in any case.
            schema: the pattern of databases as it was granted; for a table, `escaped_pattern` of its database; None for
                a global privilege.
        """
        wanted = verb.upper()
        if self._holds(wanted, self.passes_on):
            return True
        if schema is None:
            return False
        return self._holds(wanted, {right for right, pattern in self._patterns if covers(pattern, schema)})

    @staticmethod
    def _holds(wanted: str, among: Collection[str]) -> bool:
        return bool(among) if wanted == "GRANT OPTION" else wanted in among


def matches(pattern: str, schema: str) -> bool:
    """Return whether a database pattern of GRANT matches a database.

    Args:
        pattern: `_` and `%` in it are wildcards unless a backslash precedes them.
        schema: the database.
    """
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    words = {"_": ".", "%": ".*"}
    made = "".join(words.get(part) or re.escape(part[-1]) for part in parts)
    return re.fullmatch(made, schema, re.DOTALL) is not None


def covers(pattern: str, granted: str) -> bool:
    r"""Return whether the holder of one pattern of GRANT may grant and revoke another.

    The server compares the patterns as text. The holder of `app_db` may revoke `app\_db`, where `_` stands for itself
    alone; the holder of `app\_db` may not revoke `app_db`.

    Args:
        pattern: the pattern that is held with the grant option.
        granted: the pattern of the grant or revoke.
    """
    kinds = {"_": "1", "%": "*"}
    spelled = "".join(
        "e" + part[-1] if len(part) > 1 else kinds.get(part, "c") + part
        for part in re.findall(r"\\.|.", granted, re.DOTALL)
    )
    made = "".join(
        "e" + re.escape(part[-1])
        if len(part) > 1
        else {"_": "[ec1].", "%": "(?:..)*"}.get(part) or "c" + re.escape(part)
        for part in re.findall(r"\\.|.", pattern, re.DOTALL)
    )
    return re.fullmatch(made, spelled, re.DOTALL) is not None


def escaped_pattern(schema: str) -> str:
    """Return the pattern that matches this database alone."""
    return re.sub(r"([_%\\])", r"\\\1", schema)


def unescaped(pattern: str) -> str:
    """Return the database that a pattern without wildcards matches."""
    return re.sub(r"\\(.)", r"\1", pattern)


def granted_on(database: str) -> str:
    """Return a database's name for GRANT ON name.*, where `_` and `%` are wildcards and must be escaped.

    Args:
        database: its name.
    """
    return quoted(escaped_pattern(database))


def revoking(accounts: "FamilyAccounts", privilege: Privilege) -> str:
    """Return the statement that revokes a privilege."""
    (batch,) = batches([privilege], things=False)
    return str(accounts.revoke(batch))


def unrevocable(accounts: "FamilyAccounts", connection: sa.Connection, difference: Difference) -> list[str]:
    """Return a message for each revoke that the admin may not send, with who may.

    Args:
        accounts: writes the engine's statements for accounts and grants.
        connection: the admin's.
        difference: of it, the roles, global and database privileges that are to be revoked.
    """
    revoked = [p for p in difference.revoke if p.kind in ("server", "role", "database")]
    if not revoked:
        return []
    rights = AdminPrivileges.read(connection)
    found = []
    for p in revoked:
        if p.kind == "role":
            if not accounts.may_revoke_role(connection, *parse_role_label(p.name)):
                found.append(
                    f"{p}: only who holds that role with the admin option can take it away: {revoking(accounts, p)}"
                )
        elif not rights.may_revoke(p.verb, p.schema if p.kind == "database" else None):
            found.append(
                f"{p}: only an administrator of the server can take that away: {revoking(accounts, p)}"
            )
    return found


def role_label(role: str, host: str) -> str:
    """Return the name of a role in a privilege.

    Args:
        role: its name.
        host: its host, which is left out of the result when it is empty or `%`.
    """
    return role if host in ("", "%") and "@" not in role else f"{role}@{host}"


def parse_role_label(name: str) -> AccountAt:
    """Return the role and host of a name that `role_label` returned; without a host that is `%`."""
    role, at, host = name.rpartition("@")
    return (role, host) if at else (name, "%")


def mandatory_roles(variable: str) -> list[AccountAt]:
    """Return the roles in a value of the variable `mandatory_roles`, each with its host."""
    found = []
    for one in _ROLE.finditer(variable):
        name = next((part for part in one.groups()[:3] if part), "")
        host = next((part for part in one.groups()[3:] if part), "%")
        if name:
            found.append((name.replace("``", "`").replace("''", "'"), host))
    return found


def drawn_sequences(default: str) -> list[tuple[str, str]]:
    """Return the schema and name of each sequence of MariaDB that a column's default draws from.

    Args:
        default: as the catalog has it.
    """
    return [
        (schema.replace("``", "`"), name.replace("``", "`")) for schema, name in _NEXTVAL.findall(default)
    ]
