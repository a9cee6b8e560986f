"""Owners of the deployment's objects on PostgreSQL, who may do anything with them despite grants and row security."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.postgresql.catalog import MEMBERSHIP_OPTIONS, is_since
from ringfence.schema.engines.postgresql.function_calls import Call
from ringfence.schema.engines.postgresql.quoting import quoted
from ringfence.schema.models.sequences import sequences_of

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

# What the deployment uses: its tables and views with their partitions and children, the sequences, types and schemas of
# these, the functions that its accounts, tables and triggers call, and those of event triggers. Sequences owned by a
# column are left out, because they always have the table's owner.
_USED = """
    WITH RECURSIVE given AS (
            SELECT * FROM unnest(%(schemas)s::text[], %(names)s::text[], %(modelled)s::boolean[])
                     AS given (schema, name, modelled)),
        relations (oid, modelled) AS (
            SELECT c.oid, given.modelled
            FROM given JOIN pg_catalog.pg_namespace n ON n.nspname = given.schema
            JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = given.name
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
            UNION
            SELECT i.inhrelid, false FROM relations JOIN pg_catalog.pg_inherits i ON i.inhparent = relations.oid
            JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relkind IN ('r', 'p', 'f')),
        types (oid) AS (
            SELECT a.atttypid FROM relations
            JOIN pg_catalog.pg_attribute a ON a.attrelid = relations.oid AND a.attnum > 0 AND NOT a.attisdropped
            UNION
            SELECT part.oid FROM types JOIN pg_catalog.pg_type t ON t.oid = types.oid
            CROSS JOIN LATERAL unnest(ARRAY[t.typelem, t.typbasetype]) part (oid) WHERE part.oid <> 0)
    SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE'
                          WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
           n.nspname || '.' || c.relname AS name, quote_ident(n.nspname) || '.' || quote_ident(c.relname),
           pg_catalog.pg_get_userbyid(c.relowner), n.nspname,
           pg_catalog.pg_get_userbyid(n.nspowner), bool_or(relations.modelled)
    FROM relations JOIN pg_catalog.pg_class c ON c.oid = relations.oid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind <> 'S' OR NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND d.objid = c.oid AND d.refobjsubid <> 0 AND d.deptype IN ('a', 'i'))
    GROUP BY c.oid, n.oid
    UNION ALL
    SELECT 'SCHEMA', n.nspname, quote_ident(n.nspname), pg_catalog.pg_get_userbyid(n.nspowner), n.nspname,
           pg_catalog.pg_get_userbyid(n.nspowner), false
    FROM pg_catalog.pg_namespace n
    WHERE n.oid IN (SELECT c.relnamespace FROM relations JOIN pg_catalog.pg_class c ON c.oid = relations.oid)
    UNION ALL
    SELECT CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, n.nspname || '.' || t.typname,
           quote_ident(n.nspname) || '.' || quote_ident(t.typname), pg_catalog.pg_get_userbyid(t.typowner),
           n.nspname, pg_catalog.pg_get_userbyid(n.nspowner), false
    FROM types JOIN pg_catalog.pg_type t ON t.oid = types.oid
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE n.nspname <> 'information_schema' AND left(n.nspname, 3) <> 'pg_' AND t.typelem = 0
      AND (t.typrelid = 0 OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
                      AND e.objid = t.oid AND e.deptype = 'e')
    UNION ALL
    SELECT 'ROUTINE', p.oid::pg_catalog.regprocedure::text, p.oid::pg_catalog.regprocedure::text,
           pg_catalog.pg_get_userbyid(p.proowner), n.nspname, pg_catalog.pg_get_userbyid(n.nspowner), false
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname <> 'information_schema' AND left(n.nspname, 3) <> 'pg_'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                      AND e.objid = p.oid AND e.deptype = 'e')
      AND (EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgfoid = p.oid AND NOT g.tgisinternal
                   AND g.tgrelid IN (SELECT oid FROM relations))
           OR EXISTS (SELECT FROM pg_catalog.pg_event_trigger e WHERE e.evtfoid = p.oid)
           OR p.oid = ANY (%(called)s::oid[])
           OR EXISTS (SELECT FROM aclexplode(p.proacl) x JOIN pg_catalog.pg_roles r ON r.oid = x.grantee
                      WHERE r.rolname = ANY (%(logins)s)))
    ORDER BY 1, 2
"""
# Logins that can act as each owner: the owner and its members, without superusers, the admin and the database's owner.
# pg_database_owner, which owns the schema public since 15, has the database's owner as its only member.
_WHO = """
    SELECT o.rolname, ARRAY(
        SELECT r.rolname::text FROM pg_catalog.pg_roles r
        WHERE r.rolcanlogin AND ({acts}) AND NOT r.rolsuper AND r.rolname <> current_user AND r.oid <> d.datdba
        ORDER BY 1)
    FROM pg_catalog.pg_roles o JOIN pg_catalog.pg_database d ON d.datname = current_database()
    WHERE o.rolname = ANY (%(owners)s) AND NOT o.rolsuper AND o.rolname <> current_user AND o.oid <> d.datdba
      AND o.rolname <> 'pg_database_owner'
"""
_MEMBER = "r.oid = o.oid OR pg_catalog.pg_has_role(r.oid, o.oid, 'MEMBER')"
_SETS = "r.oid = o.oid OR pg_catalog.pg_has_role(r.oid, o.oid, 'USAGE') OR pg_catalog.pg_has_role(r.oid, o.oid, 'SET')"
_RINGFENCE_TABLES = ("ringfence_release", "ringfence_retired", "ringfence_account", "alembic_version")


@dataclass(frozen=True, slots=True)
class _Used:
    """An object that the deployment uses.

    Args:
        kind: the keyword of ALTER, such as TABLE.
        name: its name for messages.
        written: its quoted name for statements.
        owner: its owner.
        schema: its schema.
        schema_owner: the owner of its schema.
        modelled: whether it is a table or view of the models.
    """

    kind: str
    name: str
    written: str
    owner: str
    schema: str
    schema_owner: str
    modelled: bool


def owners(
    connection: sa.Connection, deployment: "Deployment", logins: list[str], called: Iterable[Call]
) -> Iterator[Exposure]:
    """Yield an exposure for each object of the deployment whose owner is none of the expected ones.

    Expected are the admin account, the owner of the database, superusers, and the role that owns most of the
    deployment's tables: another admin created them, or the admin account is a member of that role. A role without
    another login among its members lets no one in now, but would let in any future member. It is reported too, unless
    it owns most objects of the deployment on purpose (see `_meant`).

    Args:
        connection: a connection of the admin account.
        deployment: its tables and accounts.
        logins: managed logins that exist on the server.
        called: the functions and sequences that the deployment's tables and views call.

    Yields:
        One exposure per object, without a repair.
    """
    me = str(connection.exec_driver_sql("SELECT current_user").scalar_one())
    used = _used(connection, deployment, logins, called)
    newer = is_since(connection, MEMBERSHIP_OPTIONS)
    rows = connection.exec_driver_sql(
        _WHO.format(acts=_SETS if newer else _MEMBER), {"owners": sorted({one.owner for one in used})}
    )
    who: dict[str, list[str]] = {str(owner): acting for owner, acting in rows}
    tables = [one for one in used if one.kind == "TABLE"]
    most = _most(tables)
    for one in used:
        thing = f"{one.kind.lower()} {one.name}"
        if one.owner in logins:
            says = f"the account {one.owner} owns {thing}, and so may do anything with it"
            yield Exposure("owner", one.owner, says, reported_elsewhere=True)
            continue
        if one.owner not in who or one.owner == most:
            continue
        outsiders = [login for login in who[one.owner] if login not in logins and login != most]
        if outsiders:
            members = [login for login in outsiders if login != one.owner]
            through = (
                f", of which {', '.join(members)} {'is a member' if len(members) == 1 else 'are members'}"
            )
            says = (
                f"the {thing} belongs to {one.owner}{through if members else ''}: an owner and its members may do"
                " anything with it"
            )
        elif not _meant(one, used):
            says = (
                f"the {thing} belongs to {one.owner}, and not to {most or me} as the rest: any future member of"
                f" {one.owner} may do anything with it"
            )
        else:
            continue
        resolution = f"ALTER {one.kind} {one.written} OWNER TO {quoted(most or me)}"
        yield Exposure("owner", None, says, resolution=resolution, refuses=True)


def _used(
    connection: sa.Connection, deployment: "Deployment", logins: list[str], called: Iterable[Call]
) -> list[_Used]:
    default = str(connection.exec_driver_sql("SELECT current_schema()").scalar_one())
    tables = [(table.schema or default, str(table.name)) for table in deployment.tables.values()]
    drawn = {
        (str(sequence.schema or default), str(sequence.name))
        for table in deployment.tables.values()
        for column in table.columns
        for sequence, _ in sequences_of(column)
    }
    calls = [call for call in called if (call.schema, call.table) in set(tables)]
    drawn |= {call.callee for call in calls if call.kind == "sequence"}
    others = [*sorted(drawn), *((default, name) for name in _RINGFENCE_TABLES)]
    given = {
        "schemas": [schema for schema, _ in [*tables, *others]],
        "names": [name for _, name in [*tables, *others]],
        "modelled": [True] * len(tables) + [False] * len(others),
        "called": [call.oid for call in calls if call.kind == "function"],
        "logins": logins,
    }
    return [_Used(*row) for row in connection.exec_driver_sql(_USED, given)]


def _most(tables: Iterable[_Used]) -> str | None:
    """Return the role that owns more than half of the tables; None if there is none."""
    numbers = Counter(table.owner for table in tables)
    return next((owner for owner, number in numbers.items() if 2 * number > numbers.total()), None)


def _meant(one: _Used, used: Iterable[_Used]) -> bool:
    """Return whether the owner is a role that owns most of the deployment's objects, as an administrator may choose.

    Either the models have several tables, and it owns most of them; or it owns the object's schema, and most tables of
    the models in that schema, if there are any. A role that was only given one of many tables meets neither condition.

    Args:
        one: the object.
        used: all objects that the deployment uses.
    """
    modelled = [each for each in used if each.kind == "TABLE" and each.modelled]
    if len(modelled) > 1 and _most(modelled) == one.owner:
        return True
    of_schema = [each for each in modelled if each.schema == one.schema]
    return one.owner == one.schema_owner and (not of_schema or _most(of_schema) == one.owner)
