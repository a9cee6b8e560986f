"""The effective rights of accounts on the MySQL family: their own, and those of the roles that they can activate.

The servers have no function that returns them. The rules here were tried on MySQL 9.7 and MariaDB 10.11. Of several
database patterns that match, only one counts. Which one differs between the two, and on MySQL also while a role is
active.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, cast

import sqlalchemy as sa

from ringfence.schema.engines.effective_rights import Effective, Reach, Right, Rights, declared_rights
from ringfence.schema.engines.mysql.privileges import (
    BY_DATABASE,
    BY_TABLE,
    GrantCatalog,
    Grantee,
    Grants,
    MariaDBGrantCatalog,
    MySQLGrantCatalog,
)
from ringfence.schema.engines.mysql.views import View, views
from ringfence.schema.grants.difference import Privilege
from ringfence.schema.manifest.scopes import to_text

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.engines.mysql.roles import FamilyAccounts

Place = tuple[str, str]
_EXECUTE = "execute"


class EffectiveRightsReader:
    """Collects the effective rights of logins in `found`; subclasses differ in roles and patterns.

    Args:
        connection: the admin's.
        accounts: knows the host of each login.
        deployment: its accounts, and the views in front of their tables.
        logins: accounts that exist.
        wanted: the privileges that an apply leaves.
    """

    catalog: ClassVar[type[GrantCatalog]]
    """The class that reads the grants."""

    def __init__(
        self,
        connection: sa.Connection,
        accounts: "FamilyAccounts",
        deployment: "Deployment",
        logins: Collection[str],
        wanted: Collection[Privilege],
    ) -> None:
        default = accounts.database(connection)
        self.found = found = Effective(default=default)
        schemas = sorted({default, *(p.schema for p in wanted if p.schema)})
        grantees = {login: (login, accounts.host(login)) for login in logins}
        self._catalog = catalog = self.catalog(connection, grantees.values(), schemas)
        found.columns.update(catalog.columns)
        found.owned_sequences.update(catalog.folded)
        self._ours: dict[tuple[str, str, str], View] = {
            (account.login, view.schema or default, view.name): view
            for account in deployment.accounts.values()
            for view in views(account, deployment.tables)
        }
        behind = {(schema, name) for _, schema, name in self._ours}
        for right, reach in declared_rights(deployment, wanted, logins, default, behind).items():
            kind = "sequence" if (right.schema, right.name) in catalog.sequences else right.kind
            found.add(found.after, right._replace(kind=kind), reach)
        for login, grantee in grantees.items():
            for label, roles in catalog.states(grantee):
                for right, reach in self._state(login, grantee, roles):
                    held = replace(reach, through=(label,)) if label else reach
                    self._add(found.now, right, held)
            for right, reach in self._state(login, None, catalog.lasting):
                self._add(found.after, right, reach)
        found.others = list(catalog.members(set(grantees.values())))

    def _add(self, rights: Rights, right: Right, reach: Reach) -> None:
        """Add a right; a right on one of our views counts as one on the table behind it."""
        view = self._ours.get((right.login, right.schema, right.name))
        if view is not None and right.kind == "table":
            table = (view.schema or self.found.default, view.table)
            whole = set(self.found.columns.get(table, ())) <= set(view.columns)
            columns = reach.columns if reach.columns is not None or whole else frozenset(view.columns)
            rows = to_text(view.scope)
            test = rows if view.scope is not None else ""
            reach = Reach(None if right.verb == "delete" else columns, rows, test, reach.through)
            right = right._replace(schema=table[0], name=table[1])
        self.found.add(rights, right, reach)

    # -- one set of active roles

    def _state(
        self, login: str, grantee: Grantee | None, roles: Collection[Grantee]
    ) -> Iterator[tuple[Right, Reach]]:
        """Yield what a login may do while some roles, and the roles that these hold, are active.

        Args:
            login: the login that the rights are reported for.
            grantee: its account; None leaves its own privileges out.
            roles: the active roles.
        """
        catalog = self._catalog
        sources = list(catalog.sources(login, grantee, roles))
        for schema in catalog.schemas:
            above = self._above(schema, sources, active=bool(roles))
            for name in catalog.relations.get(schema, ()):
                kind = "sequence" if (schema, name) in catalog.sequences else "table"
                for verb, reach in self._on((schema, name), sources, above):
                    yield Right(login, kind, schema, name, verb), reach
            for kind, name in catalog.routines.get(schema, ()):
                ways = (*above.get(_EXECUTE, ()), *self._routine((kind, schema, name), sources))
                if ways:
                    yield (
                        Right(login, kind, schema, name, _EXECUTE),
                        Reach(through=tuple(dict.fromkeys(ways))),
                    )
            for verb in BY_DATABASE & above.keys():
                yield Right(login, "database", schema, "", verb), Reach(through=above[verb])
        for way, grants in sources:
            for verb in grants.everywhere - BY_TABLE - BY_DATABASE - {_EXECUTE}:
                yield Right(login, "server", "", "", verb), Reach(through=(way,))

    def _above(
        self, schema: str, sources: Iterable[tuple[str, Grants]], *, active: bool
    ) -> dict[str, tuple[str, ...]]:
        """Return verb -> how it is held: globally, or on the database."""
        found: dict[str, tuple[str, ...]] = {}
        sources = list(sources)
        for way, grants in sources:
            for verb in grants.everywhere - grants.restricted.get(schema, frozenset()):
                found[verb] = (*found.get(verb, ()), way)
        for way, verb in self._catalog.of_database(schema, sources, active=active):
            found[verb] = (*found.get(verb, ()), way)
        return {verb: tuple(dict.fromkeys(ways)) for verb, ways in found.items()}

    def _on(
        self, place: Place, sources: Iterable[tuple[str, Grants]], above: dict[str, tuple[str, ...]]
    ) -> Iterator[tuple[str, Reach]]:
        """Yield each verb that is held on a table, view or sequence."""
        found: dict[str, Reach] = {
            verb: Reach(through=ways) for verb, ways in above.items() if verb in BY_TABLE
        }
        for way, grants in sources:
            for verb, columns in grants.tables.get(place, {}).items():
                reach = Reach(None if "" in columns else frozenset(columns), through=(way,))
                known = found.get(verb)
                found[verb] = reach if known is None else known.union(reach)
        yield from found.items()

    @staticmethod
    def _routine(routine: tuple[str, str, str], sources: Iterable[tuple[str, Grants]]) -> Iterator[str]:
        for way, grants in sources:
            if routine in grants.routines:
                yield way


class MySQLEffectiveRights(EffectiveRightsReader):
    """Effective rights on MySQL."""

    catalog: ClassVar[type[GrantCatalog]] = MySQLGrantCatalog


class MariaDBEffectiveRights(EffectiveRightsReader):
    """Effective rights on MariaDB."""

    catalog: ClassVar[type[GrantCatalog]] = MariaDBGrantCatalog


class EffectiveRightsMixin:
    """Mixin for the accounts of the family that returns their effective rights."""

    look: ClassVar[type[EffectiveRightsReader]]
    """The class that computes the effective rights."""

    def effective(
        self,
        connection: sa.Connection,
        deployment: "Deployment",
        logins: Collection[str],
        wanted: Collection[Privilege],
    ) -> Effective:
        """Return the effective rights of logins that exist, now and after an apply."""
        accounts = cast("FamilyAccounts", self)  # the only class with this mixin
        return self.look(connection, accounts, deployment, logins, wanted).found
