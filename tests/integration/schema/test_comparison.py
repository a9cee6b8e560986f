"""The comparison of models and database, object by object: the models changed, the database changed, neither did."""

import re

import pytest
import sqlalchemy as sa
from alembic.operations import ops

from ringfence.runtime.settings import Settings
from ringfence.schema.comparison.deployment_diff import compare_deployment, models_of, operations
from ringfence.schema.comparison.manual_changes import remove_manual_changes
from ringfence.schema.engines import reach
from ringfence.schema.errors import JobFailed
from support.comparisons import PAIRS, PARENT, A, Ours, create, item, reference, several

pytestmark = pytest.mark.newer


def models(make):
    metadata = sa.MetaData()
    make(metadata)
    return metadata, models_of([metadata], dict(metadata.tables))


def compared(db, known):
    """What differs, each as `verb kind table.name`, with the facets of a change."""
    backend = reach(Settings.from_env(db.env()))
    with backend.engine().connect() as connection:
        found = compare_deployment(connection, backend.introspection.catalog, known, Ours())
    assert not found.foreign
    return [
        f"{str(each).partition(':')[0]}{': ' + ', '.join(each.changed) if each.changed else ''}"
        for each in (*found.missing, *found.obsolete)
    ]


def turned(text):
    """The same difference seen from the other side."""
    verb, _, rest = text.partition(" ")
    return f"{ {'add': 'remove', 'remove': 'add'}.get(verb, verb) } {rest}"


def same(found, wanted):
    """Whether they are the same; `*` stands for the facets that an engine has for it."""
    return sorted(found) == sorted(wanted) or sorted(
        each.partition(":")[0] + ": *" if each.startswith("modify") else each for each in found
    ) == sorted(wanted)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
@pytest.mark.engines("sqlite", "postgresql", "mariadb", "mysql")
def test_each_kind_of_change_is_seen_from_both_sides(db, pair):
    engine = reach(Settings.from_env(db.env())).identity.engine
    if engine not in pair.engines:
        pytest.skip(f"{engine} has no such object, or the models cannot say it there")
    (one, known_one), (other, known_other) = models(pair.one), models(pair.other)
    create(db, one)
    assert compared(db, known_one) == []
    assert same(compared(db, known_other), pair.differs)
    again = db.clone() if hasattr(db, "clone") else db
    empty(again)
    create(again, other)
    assert compared(again, known_other) == []
    # What a migration makes in its own words is no difference from models that do not name it.
    silent = ("view", "trigger", "function", "sequence", "enum")
    back = [
        turned(text) for text in pair.differs if text.startswith("modify") or text.split()[1] not in silent
    ]
    assert same(compared(again, known_one), back)


@pytest.mark.engines("sqlite", "postgresql", "mariadb", "mysql")
@pytest.mark.parametrize("keys", [("a",), ()])
def test_a_primary_key_that_differs_is_to_be_written_by_hand(db, keys):
    def keyed(*keys):
        return models(
            lambda metadata: sa.Table(
                "item",
                metadata,
                *(sa.Column(name, sa.Integer, nullable=False, autoincrement=False) for name in ("a", "b")),
                *([sa.PrimaryKeyConstraint(*keys)] if keys else []),
            )
        )

    create(db, keyed(*keys)[0])
    known = keyed("a", "b")[1]
    backend = reach(Settings.from_env(db.env()))
    with backend.engine().connect() as connection:
        found = compare_deployment(connection, backend.introspection.catalog, known, Ours())
        written = ops.UpgradeOps(operations(connection, known, found))
    (what,) = remove_manual_changes(written)
    assert re.match(rf"{'modify' if keys else 'add'} primary key item\.", what)
    assert written.is_empty()


def empty(db):
    """Drop what the tests made."""
    from ringfence.schema.testing.migrations import drop_everything as drop

    backend = reach(Settings.from_env(db.env()))
    drop(backend)
    with backend.engine().begin() as connection:
        if connection.dialect.name == "postgresql":
            for statement in ("DROP TYPE IF EXISTS mood", "DROP SEQUENCE IF EXISTS numbers"):
                connection.exec_driver_sql(statement)


@pytest.mark.engines("postgresql")
def test_an_enum_without_labels_lacks_all_of_them(db):
    metadata, known = models(
        lambda metadata: sa.Table("item", metadata, sa.Column("a", sa.Enum("x", "y", name="mood")))
    )
    create(db, metadata)
    db.execute(
        "DROP TABLE item", "DROP TYPE mood", "CREATE TYPE mood AS ENUM ()", "CREATE TABLE item (a mood)"
    )
    backend = reach(Settings.from_env(db.env()))
    with backend.engine().connect() as connection:
        found = compare_deployment(connection, backend.introspection.catalog, known, Ours())
        written = operations(connection, known, found)
    assert [(each.label, each.before, each.after) for each in written] == [
        ("x", None, None),
        ("y", None, "x"),
    ]


@pytest.mark.engines("postgresql")
@pytest.mark.parametrize("right", ["CREATE", "TEMPORARY", ""])
def test_the_scratch_needs_one_of_two_rights_and_leaves_nothing(db, right):
    metadata, known = models(several(PARENT, item(A, reference(), lambda: sa.Index("ix_item", "a"))))
    create(db, metadata)
    login = f"{db.prefix}looker"
    name = f'"{db.name}"'
    db.execute(
        f"CREATE ROLE \"{login}\" LOGIN PASSWORD 'a-long-enough-one'",
        f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
        f'GRANT CONNECT{f", {right}" if right else ""} ON DATABASE {name} TO "{login}"',
    )
    backend = reach(Settings.from_env(db.env(login, "a-long-enough-one")))
    with backend.engine().connect() as connection:
        if right:
            found = compare_deployment(connection, backend.introspection.catalog, known, Ours())
            assert (found.missing, found.obsolete) == ([], [])
        else:
            with pytest.raises(JobFailed, match=f"GRANT CREATE ON DATABASE .*{db.name}"):
                compare_deployment(connection, backend.introspection.catalog, known, Ours())
        left = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_class WHERE relname = 'item' AND relkind = 'r'"
        ).scalar_one()
        assert left == 1
        assert not connection.exec_driver_sql(
            r"SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ringfence\_scratch%%'"
        ).all()
