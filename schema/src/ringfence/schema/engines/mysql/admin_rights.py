"""What the admin holds on a server of the MySQL family, and what of it can be passed on or taken away."""

import re
from collections.abc import Collection, Iterable

import sqlalchemy as sa


class Rights:
    """What the admin holds, by itself or through its active roles.

    Args:
        account: 'login'@'host'.
        server: its privileges over the whole server.
        passes_on: those of them that it may give and take.
        held: (privilege, pattern of databases, whether it is on ours, whether it may be given and taken).
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
        """Ask the server about its present user."""
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
        """Whether a REVOKE of this privilege would pass: one that fails does harm to a cluster.

        Args:
            verb: in any case.
            schema: the pattern of databases as it was granted; of a table `literally` its database; None for the
                whole server.
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
    """Whether a pattern of GRANT is of a database: _ and % stand for other characters, without a backslash before."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    words = {"_": ".", "%": ".*"}
    made = "".join(words.get(part) or re.escape(part[-1]) for part in parts)
    return re.fullmatch(made, schema, re.DOTALL) is not None


def covers(pattern: str, granted: str) -> bool:
    r"""Whether who holds one pattern of GRANT may give and take another: the server compares their spellings.

    Who holds `app_db` may take `app\_db`, where `_` is itself alone; who holds `app\_db` may not take `app_db`.
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
    """The pattern that is of this database alone."""
    return re.sub(r"([_%\\])", r"\\\1", schema)


def unescaped(pattern: str) -> str:
    """The database that a pattern means, when no character of it is to stand for others."""
    return re.sub(r"\\(.)", r"\1", pattern)
