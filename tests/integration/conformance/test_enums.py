"""Enums: what SQLAlchemy stores for a member is what a service stores and finds, and reads as its label."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ringfence.runtime import Database, DataError, Mirror, Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.mirror import make_mirror
from servers.base import Database as ServerDatabase
from support.pydal_sides import create


@pytest.fixture(scope="module")
def labels() -> Deployment:
    return Deployment.load(Path(__file__).parent / "labels")


@pytest.fixture
def database(
    recycled: Callable[[str, Callable[[ServerDatabase], object]], ServerDatabase], labels: Deployment
) -> ServerDatabase:
    return recycled("labels", lambda made: create(made, labels))


@pytest.fixture
def service(database: ServerDatabase, labels: Deployment) -> Iterator[Database]:
    with _service(database, _written(labels, "labels")) as found:
        yield found


def _written(deployment: Deployment, service: str) -> Mirror:
    """The mirror as a file has it."""
    made = make_mirror(deployment, deployment.accounts[service], None)
    return Mirror.parse(json.loads(made.to_json()))


def _service(database: ServerDatabase, mirror: Mirror) -> Database:
    return Database(Settings.from_env(database.env()), mirror)


def _rows(table: sa.Table) -> list[dict[str, Any]]:
    """Every member of every column, as SQLAlchemy takes it."""
    kinds = {column.name: column.type for column in table.columns if isinstance(column.type, sa.Enum)}
    members = {
        name: [*kind.enum_class] if kind.enum_class else list(kind.enums) for name, kind in kinds.items()
    }
    return [{name: each[number % len(each)] for name, each in members.items()} for number in range(2)]


def test_what_sqlalchemy_wrote_is_found_by_member_and_label_and_read_as_label(
    service: Database, admin: sa.Connection, labels: Deployment
) -> None:
    table = labels.tables["mark"]
    for values in _rows(table):
        key = admin.execute(table.insert().values(**values)).inserted_primary_key[0]
        admin.commit()
        with service.session() as dal:
            row = dal(dal.mark.id == key).select().first()
            for name, value in values.items():
                # The label, whether or not the class can be imported: this process can, and a service cannot.
                assert (row[name], type(row[name])) == (_label(table.c[name], value), str), name
                for asked in (value, _label(table.c[name], value)):
                    assert dal(dal.mark[name] == asked).count() == 1, (name, asked)
                    assert dal(dal.mark[name].belongs([asked])).count() == 1, (name, asked)
                    assert dal(dal.mark[name] != asked).count() == 0, (name, asked)
            dal(dal.mark.id == key).delete()


def test_what_a_service_wrote_is_read_by_sqlalchemy(
    service: Database, admin: sa.Connection, labels: Deployment
) -> None:
    table = labels.tables["mark"]
    for values in _rows(table):
        for given in (values, {name: _label(table.c[name], value) for name, value in values.items()}):
            with service.session() as dal:
                dal(dal.mark).delete()
                key = dal.mark.insert(**given)
                dal.mark.bulk_insert([given, given])
                dal(dal.mark.id == key).update(**given)
            rows = admin.execute(sa.select(table)).mappings().all()
            admin.rollback()
            assert [{name: row[name] for name in values} for row in rows] == [values] * 3


def test_a_label_that_is_another_name_of_a_member_is_stored_as_sqlalchemy_stores_it(
    service: Database, admin: sa.Connection, labels: Deployment
) -> None:
    table = labels.tables["mark"]
    admin.execute(table.insert().values(shade="crimson"))
    admin.commit()
    with service.session() as dal:
        dal.mark.insert(shade="crimson")
        assert dal(dal.mark.shade == "crimson").count() == 2
        assert [row.shade for row in dal(dal.mark).select(dal.mark.shade)] == ["red", "red"]
    stored = set(admin.execute(sa.text("SELECT shade FROM mark")).scalars())
    assert stored == {"red"}
    admin.execute(sa.text("UPDATE mark SET shade = 'crimson'"))
    admin.commit()
    with service.session() as dal:
        assert dal(dal.mark).select().first().shade == "crimson"  # as it is stored


def test_defaults_that_are_members(service: Database, admin: sa.Connection, labels: Deployment) -> None:
    table = labels.tables["mark"]
    with service.session() as dal:
        dal.mark.insert(plain="x")
    (ours,) = admin.execute(sa.select(table)).mappings()
    assert (ours["level"].name, ours["twisted"].name, ours["color"].name) == ("high", "a", "blue")


@pytest.mark.engines("sqlite")  # elsewhere the server keeps it: test_policies, test_access_views
def test_a_scope_on_labels(database: ServerDatabase, labels: Deployment, service: Database) -> None:
    level = labels.tables["mark"].c.level.type.enum_class
    mirror = _written(labels, "high")
    tables = {
        key: replace(table, verbs={verb: replace(given, relations={}) for verb, given in table.verbs.items()})
        for key, table in mirror.tables.items()
    }
    with service.session() as dal:
        dal.mark.bulk_insert([{"level": level.low}, {"level": level.high}])
    with _service(database, replace(mirror, tables=tables)) as scoped, scoped.session() as dal:
        assert [row.level for row in dal(dal.mark).select()] == ["H"]


def test_what_is_no_label_is_refused(service: Database) -> None:
    with service.session() as dal:
        for name, wrong in (
            ("level", "high"),
            ("level", "h"),
            ("twisted", "c"),
            ("veiled", "one"),
            ("plain", ""),
        ):
            with pytest.raises(DataError, match=name):
                dal.mark.insert(**{name: wrong})


def _label(column: sa.Column[Any], member: Any) -> str:
    kind: Any = column.type
    process = kind.bind_processor(sa.create_engine("sqlite://").dialect)
    return str(process(member))
