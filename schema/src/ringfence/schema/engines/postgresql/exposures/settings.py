"""Settings with which sessions of an account start: those of the role, of the database and of all roles."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.postgresql import role_settings
from ringfence.schema.engines.postgresql.catalog import PARAMETER_PRIVILEGES, is_since
from ringfence.schema.engines.postgresql.quoting import quoted
from ringfence.schema.engines.types import Statement
from ringfence.schema.features.postgresql import FEATURES

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

# Settings of the accounts and, without a role, of all roles; for this database or for every one.
_SETTINGS = """
    SELECT r.rolname, s.setdatabase <> 0, split_part(c.setting, '=', 1),
           substr(c.setting, position('=' in c.setting) + 1), me.rolsuper OR {may},
           me.rolsuper, pg_catalog.pg_has_role(d.datdba, 'USAGE'), d.datname, current_schema()
    FROM pg_catalog.pg_db_role_setting s
    CROSS JOIN LATERAL unnest(s.setconfig) c (setting)
    JOIN pg_catalog.pg_database d ON d.datname = current_database()
    JOIN pg_catalog.pg_roles me ON me.rolname = current_user
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
    LEFT JOIN pg_catalog.pg_settings g ON lower(g.name) = lower(split_part(c.setting, '=', 1))
    WHERE s.setdatabase IN (0, d.oid) AND (s.setrole = 0 OR r.rolname = ANY (%(logins)s))
    ORDER BY 1 NULLS LAST, 2, 3
"""
_MAY = "coalesce(g.context IN ('user', 'backend'), false)"
_MAY_BY_RIGHT = (
    f"{_MAY} OR pg_catalog.has_parameter_privilege(current_user, split_part(c.setting, '=', 1), 'SET')"
)
_OFF = ("off", "false", "no", "0")
_ON = ("on", "true", "yes", "1")
# Settings that must not apply to all roles: the harmful values, or None and the harmless ones; the effect; and the
# proof's finding.
_OF_ALL_ROLES = {
    "role": (None, ("none",), "every session acts as that role, and no account as itself", "excess"),
    "session_replication_role": (None, ("origin",), "triggers and foreign keys do not act", "excess"),
    "row_security": (_OFF, (), "a statement on a table with row scopes fails", "missing"),
    "lo_compat_privileges": (_ON, (), "every role reads and writes every large object", "excess"),
    "standard_conforming_strings": (_OFF, (), "a backslash in a text that is sent is an escape", "excess"),
    "default_transaction_read_only": (_ON, (), "no account can write", "missing"),
}
_MISSING = ("connection_limit", "valid_until")
"""Limits that restrict an account rather than let it do more."""


def settings(connection: sa.Connection, deployment: "Deployment", logins: list[str]) -> Iterator[Exposure]:
    """Yield an exposure for each setting outside the manifest that changes what an account reaches.

    Args:
        connection: a connection of the admin account.
        deployment: the accounts with their settings, and the settings that bind row scopes.
        logins: managed logins that exist on the server.
    """
    yield from _limits(connection, deployment, logins)
    by_right = is_since(connection, PARAMETER_PRIVILEGES)
    query = _SETTINGS.format(may=_MAY_BY_RIGHT if by_right else _MAY)
    binds = {bound.setting.lower() for bound in deployment.policy.scopes.values()}
    declared = {account.login: dict(account.limits) for account in deployment.accounts.values()}
    for login, here, word, value, may, *context in connection.exec_driver_sql(query, {"logins": logins}):
        if login is None:
            yield from _for_all_roles(connection, binds, word, value, *context, here=here)
        else:
            given = declared.get(login, {}).get(word)
            audits = given is None and word.lower().startswith(FEATURES.audit_settings)
            # A setting for this database that the admin may reset is reset by the plan together with the limits.
            if here and not audits and (may or given == value):
                continue
            where = f" IN DATABASE {quoted(context[2])}" if here else ""
            sql = f"ALTER ROLE {quoted(login)}{where} RESET {quoted(word)}"
            says = f"each session of {login} begins with {word} = {value!r}, in every database"
            if here:
                says = f"each session of {login} begins with {word} = {value!r}"
            if audits:
                yield Exposure(
                    "setting", login, says, resolution=f"if that is not meant: {sql}", finding=None
                )
            elif may:
                yield Exposure("setting", login, says, repair=Statement.plain(sql))
            else:
                yield Exposure("setting", login, says, resolution=f"as a superuser: {sql}", refuses=True)


def _limits(connection: sa.Connection, deployment: "Deployment", logins: Iterable[str]) -> Iterator[Exposure]:
    """Yield an exposure for each limit or setting that differs from the manifest; an apply sets it."""
    held = role_settings.limits(connection, logins)
    managed = set(logins)
    for account in deployment.accounts.values():
        if account.login not in managed:
            continue
        has, should = held.get(account.login, {}), dict(account.limits)
        for word in sorted({*has, *should}):
            if has.get(word) == should.get(word) or (
                word not in should and word.lower().startswith(FEATURES.audit_settings)
            ):
                continue
            says = (
                f"the account {account.login} has {word} = {has[word]!r}"
                if word in has
                else f"the account {account.login} has no {word}"
            )
            wanted = f", and the manifest says {should[word]!r}" if word in should else ""
            finding = "missing" if word in _MISSING and word in has else "excess"
            yield Exposure("setting", account.login, says + wanted, finding=finding, reported_elsewhere=True)


def _for_all_roles(
    connection: sa.Connection,
    binds: set[str],
    word: str,
    value: str,
    superuser: bool,
    owner: bool,
    database: str,
    schema: str | None,
    *,
    here: bool,
) -> Iterator[Exposure]:
    """Yield an exposure for a harmful setting of all roles; only one that binds a row scope has a repair.

    Other applications may need the other settings, so a person has to reset them.
    """
    sql = (
        f"ALTER DATABASE {quoted(database)} RESET {quoted(word)}"
        if here
        else f"ALTER ROLE ALL RESET {quoted(word)}"
    )
    begins = f"each session of every role begins with {word} = {value!r}"
    name, given = word.lower(), value.lower()
    if name in binds:
        says = f"{begins}, which binds a row scope: a session that binds none sees its rows all the same"
        if superuser:
            yield Exposure("setting", None, says, repair=Statement.plain(sql))
        else:
            yield Exposure("setting", None, says, resolution=f"as a superuser: {sql}", refuses=True)
    elif name in _OF_ALL_ROLES:
        meant, harmless, does, finding = _OF_ALL_ROLES[name]
        if (given in meant) if meant is not None else (given not in harmless):
            who = "" if superuser or (here and owner) else "as a superuser: "
            yield Exposure(
                "setting", None, f"{begins}: {does}", resolution=f"{who}{sql}", refuses=True, finding=finding
            )
    elif name == "search_path" and schema is not None:
        first = _first_schema(connection, value)
        if first is not None and first != schema:
            says = f"{begins}: services look for tables in the schema {first}, and the admin in {schema}"
            yield Exposure("setting", None, says, resolution=sql, refuses=True, finding="missing")


def _first_schema(connection: sa.Connection, path: str) -> str | None:
    """Return the first schema of a search_path that exists."""
    names = [part.strip().strip('"') for part in path.split(",")]
    rows = connection.exec_driver_sql(
        "SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname = ANY (%(names)s)", {"names": names}
    )
    existing = {str(name) for (name,) in rows}
    return next((name for name in names if name in existing), None)
