"""MariaDB."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

import sqlalchemy as sa

from ringfence.runtime.settings import Secret
from ringfence.schema.engines.base import Exposure, Statement
from ringfence.schema.engines.mysql import exposures as mysql_exposures
from ringfence.schema.engines.mysql import hosts, scope_conditions
from ringfence.schema.engines.mysql.effective_rights import Look, MariaDBLook
from ringfence.schema.engines.mysql.family import MySQLFamily
from ringfence.schema.engines.mysql.introspection import MariaDBCatalog, MySQLCatalog
from ringfence.schema.engines.mysql.login_state import State
from ringfence.schema.engines.mysql.roles import FamilyAccounts
from ringfence.schema.engines.mysql.row_security import Fencing
from ringfence.schema.grants.difference import Privilege
from ringfence.schema.grants.passwords import mariadb_hash
from ringfence.schema.manifest.model import Grant
from ringfence.schema.manifest.sequences import draws

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

_DRAWING = (
    "SELECT table_schema, table_name, column_default FROM information_schema.columns"
    " WHERE table_schema IN %(schemas)s AND column_default LIKE '%%nextval(%%'"
)
_NEXTVAL = re.compile(r"\bnextval\(`((?:[^`]|``)+)`\.`((?:[^`]|``)+)`\)")


class MariaDBFencing(Fencing):
    """MariaDB shows the words of a function to who may read mysql.*; a cluster's nodes made it at several times."""

    form: ClassVar[str] = (
        "CONCAT_WS(CHAR(10), DTD_IDENTIFIER, SECURITY_TYPE, IS_DETERMINISTIC, COALESCE(ROUTINE_DEFINITION, ''))"
    )
    alone: ClassVar[str] = "IDENTIFIED VIA mysql_native_password USING 'invalid' ACCOUNT LOCK"


class MariaDBAccounts(FamilyAccounts):
    """Accounts as MariaDB stores them."""

    fencing: ClassVar[type[Fencing]] = MariaDBFencing
    look: ClassVar[type[Look]] = MariaDBLook

    locked: ClassVar[str] = (
        "(SELECT COALESCE(JSON_VALUE(g.Priv, '$.account_locked'), 0) = 1 FROM mysql.global_priv g"
        " WHERE g.User = u.User AND g.Host = u.Host)"
    )
    memberships: ClassVar[str] = "SELECT Role, '', User, Host, Admin_option = 'Y' FROM mysql.roles_mapping"
    states: ClassVar[str] = """
        WITH kept AS (
            SELECT u.*, COALESCE(JSON_VALUE(g.Priv, '$.password_lifetime'), -1) AS days,
                   JSON_VALUE(g.Priv, '$.password_last_changed') AS changed,
                   COALESCE(JSON_LENGTH(JSON_EXTRACT(g.Priv, '$.auth_or')), 0) AS ways
            FROM mysql.user u JOIN mysql.global_priv g ON g.User = u.User AND g.Host = u.Host
            WHERE (u.User, u.Host) IN %(accounts)s
        ), counted AS (
            SELECT kept.*, IF(days < 0, @@GLOBAL.default_password_lifetime, days) AS lasts FROM kept
        )
        SELECT User, password_expired = 'Y' OR (lasts > 0 AND FROM_UNIXTIME(changed) + INTERVAL lasts DAY < NOW()),
               IF(days < 0, NULL, days),
               IF(days < 0 AND lasts > 0, DATE(FROM_UNIXTIME(changed) + INTERVAL lasts DAY), NULL),
               plugin, authentication_string, ways > 1, 1, 0, ssl_type,
               max_questions, max_updates, max_connections, max_statement_time
        FROM counted
    """

    def wanted(self, connection: sa.Connection, deployment: "Deployment") -> set[Privilege]:
        """See Accounts; and what an insert draws from: a sequence asks for INSERT and SELECT, also where a column's
        default draws, whether or not a value is given, and whether or not a view stands between.
        """
        found = super().wanted(connection, deployment)
        default = self.database(connection)
        drawn = {
            (account.login, str(sequence.schema or default), str(sequence.name))
            for account, _, sequence in draws(deployment.accounts.values(), deployment.tables)
        }
        inserts = [
            (account.login, (grant.schema or default, grant.table))
            for account in deployment.accounts.values()
            for grant in account.grants
            if grant.verb == "insert"
        ]
        schemas = tuple({schema for _, (schema, _) in inserts}) or ("\0",)
        for schema, table, text in connection.exec_driver_sql(_DRAWING, {"schemas": schemas}):
            drawn |= {
                (login, *(name.replace("``", "`") for name in sequence))
                for login, place in inserts
                if place == (schema, table)
                for sequence in _NEXTVAL.findall(text)
            }
        return found | {
            Privilege(login, "table", schema, name, verb)
            for login, schema, name in drawn
            for verb in ("insert", "select")
        }

    def ending(self, connection: sa.Connection, login: str) -> str:
        """See Accounts."""
        return f"KILL USER {hosts.text(login)}"

    def exposures(
        self, connection: sa.Connection, deployment: "Deployment", logins: Iterable[str]
    ) -> list[Exposure]:
        """See Accounts; and defaults that draw, of which the models say nothing, for accounts that only insert."""
        found = super().exposures(connection, deployment, logins)
        default = self.database(connection)
        blind: dict[tuple[str, str], list[tuple[str, Grant]]] = {}
        for account in deployment.accounts.values():
            reads = {grant.key for grant in account.grants if grant.verb == "select"}
            for grant in account.grants:
                if grant.verb == "insert" and grant.key not in reads:
                    place = (grant.schema or default, grant.table)
                    blind.setdefault(place, []).append((account.login, grant))
        schemas = tuple({schema for schema, _ in blind}) or ("\0",)
        for schema, table, text in connection.exec_driver_sql(_DRAWING, {"schemas": schemas}):
            for login, grant in blind.get((schema, table), ()):
                says = (
                    f"{grant.origin}: {login} only inserts into {grant.key}, where a default draws ({text}): that takes"
                    " the right to read the sequence and to set it back"
                )
                way_out = "give it select on the table too, or take that default away"
                found.append(Exposure("sequence", login, says, way_out=way_out, refuses=True))
        return found

    def role_name(self, role: str, host: str) -> str:
        """See FamilyAccounts."""
        return scope_conditions.quoted(role)

    def may_revoke_role(self, connection: sa.Connection, role: str, host: str) -> bool:
        """See FamilyAccounts. No right over the server stands in for the admin option."""
        sql = (
            "SELECT COUNT(*) FROM mysql.roles_mapping WHERE Role = %s AND Admin_option = 'Y'"
            " AND (CONCAT(User, '@', Host) = CURRENT_USER() OR (Host = '' AND User = CURRENT_ROLE()))"
        )
        return bool(connection.exec_driver_sql(sql, (role,)).scalar_one())

    def everybody(
        self, connection: sa.Connection, ours: Mapping[tuple[str, str], str | None], schemas: frozenset[str]
    ) -> Iterator[Exposure]:
        """See FamilyAccounts."""
        return mysql_exposures.public(self, connection, schemas)

    def renewed(self, state: State) -> Statement:
        """See FamilyAccounts."""
        sql = f"ALTER USER {self.account(state.login)} IDENTIFIED VIA {state.plugin} USING "
        return self._secret(state.login, sql, self.literal(state.stored))

    def only_password(self, state: State) -> Statement:
        """See FamilyAccounts: what is said of how to log in takes the place of all that was said before."""
        return self.renewed(state)

    def _identified(self, verb: str, login: str, password: Secret) -> Statement:
        """The hash that the server would store: its statement and binary logs do not mask a password."""
        statement = super()._identified(verb, login, password)
        return Statement(
            statement.sql.replace("IDENTIFIED BY %s", "IDENTIFIED BY PASSWORD %s"),
            (mariadb_hash(password.reveal()),),
            statement.shown,
            secret=True,
        )


class MariaDB(MySQLFamily):
    """A MariaDB server of its own."""

    dialect: ClassVar[str] = "mariadb"
    longest_login: ClassVar[int] = 80
    names_definer: ClassVar[str] = "SET USER"
    catalogs: ClassVar[type[MySQLCatalog]] = MariaDBCatalog

    def _accounts(self) -> MariaDBAccounts:
        return MariaDBAccounts(self)
