"""Schemas that models name and a database does not have, each with the statement that creates it."""

from collections.abc import Callable, Iterable, Mapping

import sqlalchemy as sa

from ringfence.schema.engines.base import Server

_SCHEMAS = "SELECT nspname FROM pg_catalog.pg_namespace"
# Where lower_case_table_names is not 0, the server compares the names of databases regardless of case.
_DATABASES = "SELECT schema_name, @@lower_case_table_names FROM information_schema.schemata"


def missing_schemas(backend: Server, connection: sa.Connection, names: Iterable[str]) -> dict[str, str]:
    """Find the schemas that the database does not have.

    Args:
        backend: The engine.
        connection: A connection of the admin account.
        names: The names of schemas.

    Returns:
        Missing schema -> how to resolve it.
    """
    required = sorted(set(names))
    return _MISSING_BY_ENGINE[backend.identity.engine](connection, required) if required else {}


def _postgresql(connection: sa.Connection, names: list[str]) -> dict[str, str]:
    existing = set(connection.exec_driver_sql(_SCHEMAS).scalars())
    me = connection.exec_driver_sql("SELECT current_user").scalar_one()
    quote = connection.dialect.identifier_preparer.quote
    return {
        name: f"CREATE SCHEMA {quote(name)} AUTHORIZATION {quote(me)}"
        for name in names
        if name not in existing
    }


def _mysql(connection: sa.Connection, names: list[str]) -> dict[str, str]:
    rows = connection.exec_driver_sql(_DATABASES).all()
    fold: Callable[[str], str] = str.casefold if any(folded for _, folded in rows) else str
    existing = {fold(name) for name, _ in rows}
    account = connection.exec_driver_sql("SELECT CURRENT_USER()").scalar_one()
    user, _, host = str(account).rpartition("@")
    quote = connection.dialect.identifier_preparer.quote
    return {
        name: f"CREATE DATABASE {quote(name)} CHARACTER SET utf8mb4, and where it exists and is hidden from the admin,"
        f" GRANT on {quote(name)}.* what it holds on its own database TO '{user}'@'{host}' WITH GRANT OPTION"
        for name in names
        if fold(name) not in existing
    }


def _sqlite(connection: sa.Connection, names: list[str]) -> dict[str, str]:
    existing = {row[1] for row in connection.exec_driver_sql("PRAGMA database_list")}
    return {
        name: "SQLite has none: leave sqlite out of `engines` in ringfence.toml, or the schema out of the models"
        for name in names
        if name not in existing
    }


_MISSING_BY_ENGINE: Mapping[str, Callable[[sa.Connection, list[str]], dict[str, str]]] = {
    "postgresql": _postgresql,
    "mysql": _mysql,
    "mariadb": _mysql,
    "galera": _mysql,
    "sqlite": _sqlite,
}
