"""The backend and the accounts of MariaDB."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

import sqlalchemy as sa

from ringfence.runtime.settings import Secret
from ringfence.schema.engines.base import Exposure, Statement
from ringfence.schema.engines.mysql.accounts import FamilyAccounts, FamilyConnections, FamilyInspection
from ringfence.schema.engines.mysql.effective_rights import EffectiveRightsReader, MariaDBEffectiveRights
from ringfence.schema.engines.mysql.exposures.account_state import AccountState
from ringfence.schema.engines.mysql.exposures.public import public
from ringfence.schema.engines.mysql.family import MySQLFamily
from ringfence.schema.engines.mysql.introspection import MariaDBCatalog, MySQLCatalog
from ringfence.schema.engines.mysql.privileges import FamilyPrivileges, drawn_sequences
from ringfence.schema.engines.mysql.quoting import literal, quoted
from ringfence.schema.engines.mysql.row_security import RowSecurityPlanner
from ringfence.schema.features.mariadb import FEATURES
from ringfence.schema.grants.difference import Privilege
from ringfence.schema.grants.passwords import mariadb_hash
from ringfence.schema.manifest.model import Grant
from ringfence.schema.manifest.sequences import sequence_uses

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

_DRAWING = (
    "SELECT table_schema, table_name, column_default FROM information_schema.columns"
    " WHERE table_schema IN %(schemas)s AND column_default LIKE '%%nextval(%%'"
)


class MariaDBRowSecurity(RowSecurityPlanner):
    """Row security on MariaDB.

    A function's body is compared, which SELECT on mysql.* shows. Its time of creation is not, because it differs
    between the nodes of a cluster.
    """

    function_digest_expression: ClassVar[str] = (
        "CONCAT_WS(CHAR(10), DTD_IDENTIFIER, SECURITY_TYPE, IS_DETERMINISTIC, COALESCE(ROUTINE_DEFINITION, ''))"
    )
    no_login_clause: ClassVar[str] = "IDENTIFIED VIA mysql_native_password USING 'invalid' ACCOUNT LOCK"


class MariaDBPrivileges(FamilyPrivileges):
    """Privileges on MariaDB, where inserts also require privileges on sequences."""

    def declared(self, connection: sa.Connection, deployment: "Deployment") -> set[Privilege]:
        """Return the privileges of the family, and those on the sequences that inserts draw from.

        A sequence requires INSERT and SELECT of the account that inserts. This is so too where a column's default draws
        from it, whether or not the INSERT gives a value, and whether or not it goes through a view.
        """
        found = super().declared(connection, deployment)
        default = self._accounts.database(connection)
        drawn = {
            (account.login, str(sequence.schema or default), str(sequence.name))
            for account, _, sequence in sequence_uses(deployment.accounts.values(), deployment.tables)
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
                (login, *sequence)
                for login, relation in inserts
                if relation == (schema, table)
                for sequence in drawn_sequences(text)
            }
        return found | {
            Privilege(login, "table", schema, name, verb)
            for login, schema, name in drawn
            for verb in ("insert", "select")
        }


class MariaDBInspection(FamilyInspection):
    """What accounts of MariaDB can do beside the privileges that they hold by name."""

    def exposures(
        self, connection: sa.Connection, deployment: "Deployment", logins: Iterable[str]
    ) -> list[Exposure]:
        """Return the family's exposures, and those by column defaults that draw from a sequence.

        The latter concern accounts that may only insert into the table. They are read from the database, because the
        models say nothing of such a default.
        """
        found = super().exposures(connection, deployment, logins)
        default = self._accounts.database(connection)
        blind: dict[tuple[str, str], list[tuple[str, Grant]]] = {}
        for account in deployment.accounts.values():
            reads = {grant.key for grant in account.grants if grant.verb == "select"}
            for grant in account.grants:
                if grant.verb == "insert" and grant.key not in reads:
                    relation = (grant.schema or default, grant.table)
                    blind.setdefault(relation, []).append((account.login, grant))
        schemas = tuple({schema for schema, _ in blind}) or ("\0",)
        for schema, table, text in connection.exec_driver_sql(_DRAWING, {"schemas": schemas}):
            for login, grant in blind.get((schema, table), ()):
                says = (
                    f"{grant.origin}: {login} only inserts into {grant.key}, where a default draws ({text}): that takes"
                    " the right to read the sequence and to set it back"
                )
                resolution = "give it select on the table too, or take that default away"
                found.append(Exposure("sequence", login, says, resolution=resolution, refuses=True))
        return found


class MariaDBConnections(FamilyConnections):
    """The open connections of accounts of MariaDB."""

    def how_to_end(self, connection: sa.Connection, login: str) -> str:
        """Return the statement that ends all connections of a login."""
        return f"KILL USER {literal(login)}"


class MariaDBAccounts(FamilyAccounts):
    """Accounts as MariaDB stores them."""

    row_security_planner: ClassVar[type[RowSecurityPlanner]] = MariaDBRowSecurity
    rights_reader: ClassVar[type[EffectiveRightsReader]] = MariaDBEffectiveRights

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

    def _privileges(self) -> MariaDBPrivileges:
        return MariaDBPrivileges(self)

    def _inspection(self) -> MariaDBInspection:
        return MariaDBInspection(self)

    def _connections(self) -> MariaDBConnections:
        return MariaDBConnections(self)

    def role_name(self, role: str, host: str) -> str:
        """Return the quoted name of the role, because MariaDB's roles have no host."""
        return quoted(role)

    def may_revoke_role(self, connection: sa.Connection, role: str, host: str) -> bool:
        """Return whether the admin holds the role with the admin option, which no global privilege replaces."""
        sql = (
            "SELECT COUNT(*) FROM mysql.roles_mapping WHERE Role = %s AND Admin_option = 'Y'"
            " AND (CONCAT(User, '@', Host) = CURRENT_USER() OR (Host = '' AND User = CURRENT_ROLE()))"
        )
        return bool(connection.exec_driver_sql(sql, (role,)).scalar_one())

    def granted_to_all(
        self, connection: sa.Connection, ours: Mapping[tuple[str, str], str | None], schemas: frozenset[str]
    ) -> Iterator[Exposure]:
        """Yield what was granted to PUBLIC."""
        return public(self, connection, schemas)

    def reset_password(self, state: AccountState) -> Statement:
        """Return the statement that sets the stored hash of the password again, so that it is no longer expired."""
        sql = f"ALTER USER {self.account(state.login)} IDENTIFIED VIA {state.plugin} USING "
        return self.with_stored_password(state.login, sql, literal(state.stored))

    def only_password(self, state: AccountState) -> Statement:
        """Return the statement that sets the present password again, which replaces every other way to log in."""
        return self.reset_password(state)

    def identified(self, verb: str, login: str, password: Secret) -> Statement:
        """Return the statement with the password's hash, because the server's logs do not mask a password.

        These are the log of statements and the binary log.
        """
        statement = super().identified(verb, login, password)
        return Statement(
            statement.sql.replace("IDENTIFIED BY %s", "IDENTIFIED BY PASSWORD %s"),
            (mariadb_hash(password.reveal()),),
            statement.shown,
            secret=True,
        )


class MariaDB(MySQLFamily):
    """Backend of a single MariaDB server."""

    features = FEATURES
    dialect: ClassVar[str] = "mariadb"
    set_definer_privilege: ClassVar[str] = "SET USER"
    catalogs: ClassVar[type[MySQLCatalog]] = MariaDBCatalog

    def _accounts(self) -> MariaDBAccounts:
        return MariaDBAccounts(self)
