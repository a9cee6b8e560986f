"""A deployment as it is loaded: what it holds, and every mistake in its files at once."""

import itertools
import textwrap

import pytest

from ringfence.schema.deployment import Deployment
from ringfence.schema.errors import BadDeployment

TOML = """\
name = "shop"
engines = ["sqlite", "galera"]
models = ["MODELS:metadata"]
"""
MODELS = """
import datetime, uuid
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column
from ringfence.schema import models
from ringfence.schema.models import generators

class Base(models.Base):
    __abstract__ = True
    metadata = sa.MetaData(naming_convention=models.NAMING)

class Note(Base):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(sa.String(20))
MORE
metadata = Base.metadata
"""
ACCESS = """\
version: 1
accounts:
  web: {tables: {notes: rw}}
"""
_fresh = itertools.count()


@pytest.fixture
def write(tmp_path):
    """Write a deployment whose models have a name of their own, and return its folder."""

    def make(toml=TOML, more="", models=MODELS, access=ACCESS):
        package = f"models_of_test_{next(_fresh)}"
        (tmp_path / "ringfence.toml").write_text(toml.replace("MODELS", package))
        if models is not None:
            (tmp_path / f"{package}.py").write_text(models.replace("MORE", textwrap.dedent(more)))
        if access is not None:
            (tmp_path / "access.yaml").write_text(access)
        return tmp_path

    return make


def mistakes(root):
    with pytest.raises(BadDeployment) as caught:
        Deployment.load(root)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_a_good_one_holds_tables_and_accounts(write):
    root = write()
    deployment = Deployment.load(root)
    assert deployment.root == root
    assert (deployment.name, deployment.engines) == ("shop", ("sqlite", "galera"))
    assert list(deployment.tables) == ["notes"]
    assert [(a.service, a.login) for a in deployment.accounts.values()] == [("web", "web")]
    assert deployment.mirrors == root / "mirrors"
    assert deployment.metadata[0] is deployment.tables["notes"].metadata


def test_it_is_found_from_below(write):
    root = write()
    (root / "a" / "b").mkdir(parents=True)
    assert Deployment.load(root / "a" / "b").root == root


def test_none_is_found_where_there_is_none(tmp_path):
    assert "`ringfence init NAME` lays out a new deployment" in mistakes(tmp_path)[0]


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        (
            'name = "x"\nengins = []\nmodels = []\nengines = []\n',
            "ringfence.toml:2: there is no key 'engins'; did you mean",
        ),
        ("name = x\n", "ringfence.toml:1: is not TOML"),
        (
            TOML.replace("galera", "galaxy"),
            "ringfence.toml:2: engines: 'galaxy' is no engine; did you mean 'galera'?",
        ),
        (TOML.replace("galera", "sqlite"), "ringfence.toml:2: engines: 'sqlite' stands twice"),
        (TOML.replace('name = "shop"', ""), "ringfence.toml: lacks 'name'"),
        (TOML.replace(":metadata", ""), "ringfence.toml:3: models: 'models_of_"),
        (
            TOML.replace("MODELS", "nowhere_at_all"),
            "ringfence.toml:3: models: 'nowhere_at_all:metadata' cannot be imported",
        ),
        (TOML.replace(":metadata", ":Note.id"), "ringfence.toml:3: models: "),
        (TOML + 'access = "other.yaml"\n', "ringfence.toml:4: access: there is no file 'other.yaml'"),
    ],
)
def test_a_mistake_in_the_deployment_file_has_its_line(write, toml, expected):
    found = mistakes(write(toml))
    assert any(text.startswith(expected) for text in found), found


def test_an_error_in_the_models_is_told_with_its_own_line(write):
    root = write(more="raise RuntimeError('no')")
    [text] = mistakes(root)
    assert "RuntimeError: no at models_of_test_" in text
    assert text.endswith(".py:16")


@pytest.mark.parametrize(
    ("more", "line", "expected"),
    [
        (
            "    when: Mapped[str] = mapped_column(sa.DateTime())",
            16,
            "notes.when: DateTime() on galera loses microseconds",
        ),
        (
            "    x: Mapped[int] = mapped_column(default=lambda: 1)",
            16,
            "notes.x: default=Note.<lambda> is a function that",
        ),
        (
            "    x: Mapped[int] = mapped_column(default=sa.func.now())",
            16,
            "notes.x: default= is an SQL expression",
        ),
        ("    x: Mapped[int] = mapped_column(onupdate=max)", 16, "notes.x: onupdate=max is a function"),
        (
            "    x: Mapped[str] = mapped_column(sa.String(9), default=object())",
            16,
            "notes.x: default=<object",
        ),
        (
            "    y: Mapped[int] = mapped_column('_x')\n    x: Mapped[int] = mapped_column('x_')",
            12,
            "notes.x_ and _x are both",
        ),
        (
            "    x: Mapped[int] = mapped_column(index=True, name='x' * 60)",
            12,
            "notes: the Index name 'ix_notes_xxx",
        ),
        (
            "class N(Base):\n    __tablename__ = 'ringfence_x'\n    id: Mapped[int] = mapped_column(primary_key=True)",
            16,
            "ringfence_x: names",
        ),
        (
            "class N(Base):\n    __tablename__ = 'n'\n    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)",
            18,
            "n.id: SQLite counts up",
        ),
        (
            "    x: Mapped[int] = mapped_column(sa.ForeignKey('nowhere.id'))",
            16,
            "notes.x refers to 'nowhere', which",
        ),
        (
            "    x: Mapped[str] = mapped_column(sa.String(769), unique=True)",
            12,
            "notes: the key 'uq_notes_x' takes 3076 bytes",
        ),
        (
            "    x: Mapped[str] = mapped_column(models.LongText(), index=True)",
            12,
            "notes: the key 'ix_notes_x' holds 'x', a text",
        ),
        (
            "sa.Table('n', Base.metadata, sa.Column('x', sa.Integer, primary_key=True), sa.Index('ix', 'x'))\nsa.Table('m', Base.metadata, sa.Column('x', sa.Integer, primary_key=True), sa.Index('ix', 'x'))",
            None,
            "m and n both have a 'ix'",
        ),
        (
            "sa.Table('bare', Base.metadata, sa.Column('x', sa.Integer))",
            None,
            "bare has no primary key, which galera",
        ),
    ],
)
def test_models_that_an_engine_cannot_keep_are_told_with_file_and_line(write, more, line, expected):
    root = write()
    root = write(models=MODELS.replace("MORE", more))
    found = mistakes(root)
    place = f".py:{line}: {expected}" if line else f"models: {expected}"
    assert any(place in text for text in found), found


def test_mistakes_of_all_files_come_together(write):
    root = write(
        models=MODELS.replace("MORE", "    when: Mapped[str] = mapped_column(sa.DateTime())"),
        access=ACCESS.replace("notes", "nots"),
    )
    found = mistakes(root)
    assert len(found) == 2
    assert found[0].startswith("access.yaml:3: there is no table 'nots' in the models; did you mean 'notes'?")


def test_two_deployments_with_packages_of_one_name_live_in_one_process(tmp_path):
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / "same_name_models").mkdir(parents=True)
        (folder / "ringfence.toml").write_text(TOML.replace("MODELS", "same_name_models"))
        (folder / "access.yaml").write_text(ACCESS.replace("notes", name))
        (folder / "same_name_models" / "__init__.py").write_text(
            MODELS.replace("notes", name).replace("MORE", "")
        )
    assert list(Deployment.load(tmp_path / "one").tables) == ["one"]
    assert list(Deployment.load(tmp_path / "two").tables) == ["two"]
    assert list(Deployment.load(tmp_path / "one").tables) == ["one"]
