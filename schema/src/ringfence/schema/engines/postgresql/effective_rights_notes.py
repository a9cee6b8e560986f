"""Notes on grants and policies that have no effect now, and on other roles that an adoption affects."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.effective_rights import Effective, Right, dotted, listed
from ringfence.schema.engines.postgresql.effective_rights_queries import BY_PUBLIC, MEMBERS, UNREACHED
from ringfence.schema.engines.postgresql.policy import COMMANDS, ExistingPolicy

if TYPE_CHECKING:
    from ringfence.schema.engines.postgresql.effective_rights import Relation

RelationKey = tuple[str, str]
"""The schema and name of a table, view or sequence in the database."""
_VERB = {command: verb for verb, command in COMMANDS.items()}


class Notes:
    """Collects grants and policies without effect while effective rights are evaluated.

    Args:
        ours: managed logins, and those that are to be adopted.
        default: the default schema, whose name is omitted.
    """

    def __init__(self, ours: Collection[str], default: str) -> None:
        self._ours = frozenset(ours)
        self._default = default
        self._unusable: dict[tuple[str, RelationKey], list[str]] = {}
        self._unshown: dict[tuple[str, RelationKey], list[str]] = {}
        self._blinded: dict[tuple[str, RelationKey], list[str]] = {}

    def unusable(self, login: str, key: RelationKey, verb: str) -> None:
        """Record a privilege that has no effect because the login has no USAGE on the schema.

        Args:
            login: who holds it.
            key: the table, view or sequence.
            verb: the privilege.
        """
        self._unusable.setdefault((login, key), []).append(verb)

    def without_policy(self, login: str, key: RelationKey, verb: str) -> None:
        """Record a privilege on a table whose row security shows the login no row.

        Args:
            login: who holds it.
            key: the table.
            verb: the privilege.
        """
        self._unshown.setdefault((login, key), []).append(verb)

    def blinded(self, login: str, key: RelationKey, verb: str) -> None:
        """Record a privilege of the manifest that will reach no row after an apply.

        Args:
            login: who gets it.
            key: the table.
            verb: the privilege.
        """
        self._blinded.setdefault((login, key), []).append(verb)

    def lines(
        self,
        found: Effective,
        policies: Mapping[RelationKey, Sequence[ExistingPolicy]],
        relations: Mapping[RelationKey, "Relation"],
        scoped: Collection[RelationKey],
    ) -> list[str]:
        """Return a line for each recorded privilege, and for each policy that has no effect or stays.

        Args:
            found: the effective rights now and after an apply.
            policies: the policies of each table.
            relations: the tables, views and sequences of the database.
            scoped: tables to which the manifest gives a row scope.
        """
        lines = []
        for login, key, verbs in _in_order(self._unusable):
            schema = key[0]
            lives = [v for v in verbs if Right(login, "table", *key, v) in found.after]
            lines.append(
                f"{login}: {', '.join(verbs)} on {self._name(key)} does nothing now, for the login has no USAGE on"
                f" the schema {schema}; an apply {self._becomes(lives, verbs, 'gives that, and')}"
            )
        for login, key, verbs in _in_order(self._unshown):
            lives = [v for v in verbs if Right(login, "table", *key, v) in found.after]
            lines.append(
                f"{login}: {', '.join(verbs)} on {self._name(key)} reaches no row now, for row security is on and no"
                f" policy is for the login; an apply {self._becomes(lives, verbs, 'gives it rows, and')}"
            )
        lines += [
            f"{login}: the manifest gives {', '.join(verbs)} on {self._name(key)}, where row security stays on and no"
            " policy is for the login: it will reach no row, until `rows:` are written for the table or row security is"
            " switched off"
            for login, key, verbs in _in_order(self._blinded)
        ]
        for key, every in policies.items():
            for policy in every:
                lines += self._policy(found, policy, secured=relations[key].secured, scoped=key in scoped)
        return lines

    def _name(self, key: RelationKey) -> str:
        return dotted(*key, self._default)

    @staticmethod
    def _becomes(lives: list[str], verbs: list[str], how: str) -> str:
        if not lives:
            return "takes the grant away"
        rest = "" if len(lives) == len(verbs) else ", and takes the rest away"
        return f"{how} {', '.join(lives)} comes alive{rest}"

    def _policy(
        self, found: Effective, policy: ExistingPolicy, *, secured: bool, scoped: bool
    ) -> Iterator[str]:
        """Describe a policy that has no effect now, or that applies to an account and stays."""
        logins = sorted(policy.roles & {right.login for right in found.now | found.after})
        verbs = list(COMMANDS) if policy.command == "*" else [_VERB[policy.command]]
        whom = "everybody" if "" in policy.roles else ", ".join(sorted(policy.roles))
        what = f"the policy {policy.name} on {self._name(policy.place)}, for {whom},"
        drops = policy.made_by_us or policy.roles <= self._ours
        others = sorted(policy.roles - self._ours - {""})
        fate = "an apply drops it" if drops else "it stays"
        if not secured:
            if scoped and not drops:
                fate = f"an apply switches row security on, and it comes alive for {', '.join(others) or 'everybody'}"
            if policy.roles & (self._ours | {""}) or scoped:
                yield f"{what} does nothing now, for row security is off there; {fate}"
            return
        idle = [login for login in logins if not self._reached(found, login, policy.place, verbs)]
        if idle:
            gets = [x for x in idle if any(Right(x, "table", *policy.place, v) in found.after for v in verbs)]
            if gets and not drops:
                fate = f"the manifest's grants bring it alive for {', '.join(gets)}"
            named = f"{', '.join(verbs)} there is not granted to {', '.join(idle)}"
            yield f"{what} does nothing for {'them' if len(idle) > 1 else 'it'} now, for {named}; {fate}"
        elif logins and not drops:
            yield f"{what} is left over: it is for others too, and stays"

    @staticmethod
    def _reached(found: Effective, login: str, key: RelationKey, verbs: list[str]) -> bool:
        return any(Right(login, "table", *key, verb) in found.now for verb in verbs)

    def others(self, connection: sa.Connection, logins: list[str]) -> list[str]:
        """Return lines on unmanaged roles that an adoption affects, and on adopted logins that cannot log in yet.

        Args:
            connection: a connection of the admin account.
            logins: the logins to adopt.
        """
        ask, given = connection.exec_driver_sql, {"logins": sorted(self._ours), "ours": sorted(self._ours)}
        lines = [
            f"{listed(members)} {'is a member' if len(members) == 1 else 'are members'} of {role}, and no account of"
            f" the manifest: they may do all that {role} may, until that membership is revoked"
            for role, members in ask(MEMBERS, {**given, "logins": logins})
        ]
        taken: dict[tuple[tuple[str, ...], str], dict[str, list[str]]] = {}
        for schema, name, verb, column, guests in ask(BY_PUBLIC, given):
            columns = taken.setdefault((tuple(guests), verb), {}).setdefault(
                dotted(schema, name, self._default), []
            )
            columns += [column] if column else []
        for (guests, verb), things in taken.items():
            on = ", ".join(f"{name} ({', '.join(cols)})" if cols else name for name, cols in things.items())
            lines.append(
                f"{verb} on {on} is taken from PUBLIC, and {listed(guests)}, no account of the manifest, "
                f"{'has' if len(guests) == 1 else 'have'} it in no other way"
            )
        lines += [
            f"{login} cannot log in here now: {'it may not connect' if can else 'it is locked (NOLOGIN)'};"
            " an apply lets it"
            for login, can in ask(UNREACHED, {"logins": logins})
        ]
        return lines


_VERBS = {verb: position for position, verb in enumerate(COMMANDS)}


def _in_order(
    noted: Mapping[tuple[str, RelationKey], list[str]],
) -> Iterator[tuple[str, RelationKey, list[str]]]:
    """What was noted, by login and table, so that the order in which the server returns rows does not show.

    Args:
        noted: (login, table) -> verbs.

    Yields:
        The login, the table, and its verbs: those of rows first, the others by name.
    """
    for (login, key), verbs in sorted(noted.items()):
        yield login, key, sorted(verbs, key=lambda verb: (_VERBS.get(verb, len(_VERBS)), verb))
