"""The privileges of the admin on a server of the MySQL family, and which of them it may grant and revoke."""

import re
from collections.abc import Collection, Iterable

import sqlalchemy as sa


class Rights:
    """The privileges of the admin, its own and those of its active roles.

    Args:
        account: 'login'@'host'.
        server: its global privileges.
        passes_on: those of them that it may grant and revoke.
        held: (privilege, pattern of databases, whether that matches ours, whether it may be granted and revoked).
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
        self.database = self.server | {right for right, _, ours, _ in held if ours}
        self.grants = bool(self.passes_on) or any(may for _, _, ours, may in held if ours)
        self.catalog = "SELECT" in self.server or any(
            right == "SELECT" and matches(pattern, "mysql") for right, pattern, _, _ in held
        )
        self._patterns = [(right, pattern) for right, pattern, _, may in held if may]

    @classmethod
    def read(cls, connection: sa.Connection) -> "Rights":
        """Read the privileges of the connection's account."""
        account, roles = connection.exec_driver_sql("SELECT CURRENT_USER(), CURRENT_ROLE()").one()
        user, _, host = str(account).rpartition("@")
        mine = f"'{user}'@'{host}'"
        grantees = [mine]
        if roles and roles != "NONE":
            for role in str(roles).split(","):
                plain = role.strip().replace("`", "'")
                grantees.append(plain if "@" in plain else f"'{plain}'@''")
        everywhere = connection.exec_driver_sql(
            "SELECT privilege_type, is_grantable FROM information_schema.user_privileges WHERE grantee IN %s",
            (tuple(grantees),),
        ).all()
        here = connection.exec_driver_sql(
            "SELECT privilege_type, table_schema, DATABASE() LIKE table_schema, is_grantable = 'YES'"
            " FROM information_schema.schema_privileges WHERE grantee IN %s",
            (tuple(grantees),),
        ).all()
        return cls(
            mine,
            {right for right, _ in everywhere},
            {right for right, may in everywhere if may == "YES"},
            [(right, pattern, bool(ours), bool(may)) for right, pattern, ours, may in here],
        )

    def may_revoke(self, verb: str, schema: str | None) -> bool:
        """Return whether a REVOKE of this privilege would succeed; one that fails harms a cluster.

        Args:
            verb: the privilege, in any case.
            schema: the pattern of databases as it was granted; for a table, `literally` of its database; None for a
                global
                privilege.
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


def literally(schema: str) -> str:
    """Return the pattern that matches this database alone."""
    return re.sub(r"([_%\\])", r"\\\1", schema)


def unescaped(pattern: str) -> str:
    """Return the database that a pattern without wildcards matches."""
    return re.sub(r"\\(.)", r"\1", pattern)
