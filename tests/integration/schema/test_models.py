"""The reference deployment's migrations, and the portable types, on every engine."""

import datetime as dt
import enum
import shutil
import uuid
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from ringfence.runtime.settings import Settings
from ringfence.schema import models
from ringfence.schema.engines import reach
from servers.base import clean_environment
from support import forked_commands

pytestmark = pytest.mark.newer

SERVICES = Path(__file__).parents[3] / "services"
EAST = dt.timezone(dt.timedelta(hours=5, minutes=30))
MICRO = dt.timedelta(microseconds=1)


class Base(models.Base):
    __abstract__ = True
    metadata = sa.MetaData(naming_convention=models.NAMING)


class Colour(enum.Enum):
    red = 1
    blue = 2


class Everything(models.UuidKey, models.CreatedUpdatedDeleted, models.SyncTimes, Base):
    __tablename__ = "everything"

    yes: Mapped[bool]
    small: Mapped[int] = mapped_column(sa.SmallInteger)
    number: Mapped[int]
    big: Mapped[int] = mapped_column(sa.BigInteger)
    fraction: Mapped[float]
    price: Mapped[Decimal] = mapped_column(sa.Numeric(12, 2))
    name: Mapped[str] = mapped_column(sa.String(50))
    text: Mapped[str] = mapped_column(models.LongText())
    data: Mapped[bytes]
    day: Mapped[dt.date]
    clock: Mapped[dt.time]
    moment: Mapped[dt.datetime]
    wall: Mapped[dt.datetime] = mapped_column(models.NaiveTimestamp())
    span: Mapped[dt.timedelta]
    other: Mapped[uuid.UUID]
    document: Mapped[dict[str, object]]
    names: Mapped[list[str]]
    colour: Mapped[Colour] = mapped_column(sa.Enum(Colour, name="colour"))


class Counted(Base):
    __tablename__ = "counted"

    id: Mapped[int] = mapped_column(models.BigKey(), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(10))


def full(**changes):
    given = {
        "yes": True,
        "small": -(2**15),
        "number": 2**31 - 1,
        "big": -(2**63),
        "fraction": 0.1 + 0.2,
        "price": Decimal("1234567890.12"),
        "name": "snow ☃ and 🎵",
        "text": "é" * 70_000,
        "data": bytes(range(256)) * 300,
        "day": dt.date(1969, 2, 28),
        "clock": dt.time(23, 59, 59, 999999),
        "moment": dt.datetime(2038, 1, 19, 3, 14, 8, 1, tzinfo=EAST),
        "wall": dt.datetime(2026, 3, 29, 2, 30, 0, 123456),
        "span": dt.timedelta(days=400, seconds=1, microseconds=7),
        "other": uuid.uuid4(),
        "document": {"a": [1, 2.5, None, "ü"], "b": {"c": True}},
        "names": ["x", "y"],
        "colour": Colour.blue,
    }
    return given | changes


@pytest.fixture
def engine(db):
    engine = reach(Settings.from_env(db.env())).engine()
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("span", [dt.timedelta(0), MICRO, -MICRO, dt.timedelta(days=-3, microseconds=5)])
def test_every_portable_type_comes_back_as_it_went(engine, span):
    given = full(span=span, yes=span >= dt.timedelta(0))
    with Session(engine) as session:
        row = Everything(**given)
        session.add(row)
        session.commit()
        key = row.id
    with Session(engine) as session:
        found = session.get_one(Everything, key)
        assert {name: getattr(found, name) for name in given} == given
        assert isinstance(found.id, uuid.UUID)
        assert found.moment.tzinfo is dt.UTC
        assert found.created_at.tzinfo is dt.UTC
        assert found.deleted_at is None
        same = sa.select(Everything.id).where(Everything.moment == given["moment"].astimezone(dt.UTC))
        assert session.scalars(same).all() == [key]


def test_keys_are_new_and_counted(engine):
    with Session(engine) as session:
        rows = [Everything(**full()) for _ in range(3)]
        counted = [Counted(name=str(n)) for n in range(3)]
        session.add_all([*rows, *counted])
        session.commit()
        assert len({row.id for row in rows}) == 3
        assert len({row.id for row in counted}) == 3


def test_updated_at_moves_and_created_at_stays(engine):
    with Session(engine) as session:
        row = Everything(**full())
        session.add(row)
        session.commit()
        created, updated = row.created_at, row.updated_at
        row.name = "new"
        session.commit()
        assert row.created_at == created
        assert row.updated_at > updated


def alembic(db, *arguments, folder=SERVICES):
    done = forked_commands.run(("alembic", *arguments), folder, clean_environment() | db.env())
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_reference_migrations_go_up_down_and_up_again(db):
    alembic(db, "upgrade", "head")
    assert "No new upgrade operations" in alembic(db, "check")
    db.execute(
        "INSERT INTO auth_user (id, email, password, active, fs_uniquifier, created_at)"
        " VALUES (1, 'a@example.com', 'x', '1', 'f', '2026-01-01 00:00:00')"
    )
    alembic(db, "downgrade", "-1")
    alembic(db, "upgrade", "head")
    [(newsletter,)] = db.execute("SELECT newsletter FROM auth_user")
    assert newsletter in (0, False)
    alembic(db, "downgrade", "base")
    alembic(db, "upgrade", "head")
    assert db.execute("SELECT count(*) FROM auth_user") in ([(0,)], [[0]])


def test_autogenerate_writes_what_changed_and_nothing_of_our_own(db, tmp_path):
    folder = tmp_path / "services"
    shutil.copytree(SERVICES, folder, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    alembic(db, "upgrade", "head", folder=folder)
    music = folder / "platform_models" / "music.py"
    added = (
        "    explicit: Mapped[bool] = mapped_column(default=False, server_default=sa.true())\n\n\nclass Play("
    )
    music.write_text(music.read_text().replace("\n\nclass Play(", added))
    alembic(db, "revision", "--autogenerate", "-m", "explicit songs", folder=folder)
    [path] = (folder / "migrations" / "versions").glob("*_explicit_songs.py")
    written = [line.strip() for line in path.read_text().splitlines()]
    assert [line for line in written if line.startswith(("batch_op.", "op."))] == [
        "batch_op.add_column(sa.Column('explicit', sa.Boolean(), server_default=sa.true(), nullable=False))",
        "batch_op.drop_column('explicit')",
    ]
    alembic(db, "upgrade", "head", folder=folder)
    alembic(db, "downgrade", "-1", folder=folder)
    alembic(db, "upgrade", "head", folder=folder)
    assert "No new upgrade operations" in alembic(db, "check", folder=folder)
