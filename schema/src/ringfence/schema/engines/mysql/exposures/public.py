"""What MariaDB's PUBLIC was granted, which every account has."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.mysql import routines as mysql_routines
from ringfence.schema.engines.mysql.privileges import (
    PUBLIC,
    AdminPrivileges,
    escaped_pattern,
    matches,
    privileges_and_object,
    unescaped,
)
from ringfence.schema.engines.types import Statement
from ringfence.schema.grants.difference import Privilege, bundles

if TYPE_CHECKING:
    from ringfence.schema.engines.mysql.accounts import FamilyAccounts

_PUBLIC = (
    "SELECT 'database', table_schema, '', privilege_type, '' FROM information_schema.schema_privileges"
    " WHERE grantee = '''PUBLIC''@'''''",
    "SELECT 'table', table_schema, table_name, privilege_type, '' FROM information_schema.table_privileges"
    " WHERE grantee = '''PUBLIC''@''''' AND table_schema IN %(schemas)s",
    "SELECT 'table', table_schema, table_name, privilege_type, column_name FROM information_schema.column_privileges"
    " WHERE grantee = '''PUBLIC''@''''' AND table_schema IN %(schemas)s",
)


def public(
    accounts: "FamilyAccounts", connection: sa.Connection, schemas: frozenset[str]
) -> Iterator[Exposure]:
    """Yield what MariaDB's PUBLIC was granted.

    Args:
        accounts: writes the engine's statements for accounts and grants.
        connection: the admin's.
        schemas: the databases of the deployment.
    """
    rights = AdminPrivileges.read(connection)
    found = set()
    for query in _PUBLIC:
        for kind, schema, name, verb, column in connection.exec_driver_sql(
            query, {"schemas": tuple(schemas)}
        ):
            if verb.upper() != "USAGE":
                found.add(Privilege("", kind, schema, name, verb.lower(), column))
    routines = mysql_routines.held(connection, (PUBLIC,), tuple(schemas))
    for bundle in bundles(found | {replace(routine, login="") for routine in routines}):
        on = privileges_and_object(bundle)
        says, revoke = f"PUBLIC has {on}", f"REVOKE {on} FROM PUBLIC"
        is_table_or_routine = bundle.kind != "database"
        in_deployment = [
            schema for schema in schemas if is_table_or_routine or matches(bundle.schema, schema)
        ]
        if not in_deployment:
            yield Exposure("public", None, says, resolution=f"if that is not meant: {revoke}", finding=None)
        elif (is_table_or_routine or unescaped(bundle.schema) in schemas) and all(
            rights.may_revoke(verb, escaped_pattern(bundle.schema) if is_table_or_routine else bundle.schema)
            for verb, _ in bundle.verbs
        ):
            yield Exposure("public", None, says, repair=Statement.plain(revoke))
        else:
            resolution = f"as an administrator of the server: {revoke}"
            yield Exposure("public", None, says, resolution=resolution, refuses=True)
    access = connection.exec_driver_sql(
        "SELECT JSON_VALUE(Priv, '$.access') FROM mysql.global_priv WHERE User = 'PUBLIC' AND Host = ''"
    ).scalar()
    if int(access or 0):
        for (line,) in connection.exec_driver_sql("SHOW GRANTS FOR PUBLIC"):
            verbs, given, _ = str(line).partition(" ON *.* ")
            if given and verbs != "GRANT USAGE":
                on = f"{verbs.removeprefix('GRANT ')} ON *.*"
                resolution = f"as an administrator of the server: REVOKE {on} FROM PUBLIC"
                yield Exposure("public", None, f"PUBLIC has {on}", resolution=resolution, refuses=True)
