"""A deployment as it is loaded: what it holds, and every mistake in its files at once."""

import itertools
import re
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

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
            "ringfence.toml:2: engines: 'galaxy' is not an engine; did you mean 'galera'?",
        ),
        (TOML.replace("galera", "sqlite"), "ringfence.toml:2: engines: 'sqlite' is duplicated"),
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


def test_an_error_in_the_models_is_reported_with_its_own_line(write):
    root = write(more="raise RuntimeError('no')")
    [text] = mistakes(root)
    assert "RuntimeError: no at models_of_test_" in text
    assert text.endswith(".py:16")


@pytest.mark.parametrize(
    ("more", "line", "what", "expected"),
    [
        (
            "    when: Mapped[str] = mapped_column(sa.String())",
            16,
            "notes.when",
            "String() on galera has no length",
        ),
        (
            "    y: Mapped[int] = mapped_column('_x')\n    x: Mapped[int] = mapped_column('x_')",
            12,
            "notes.x_",
            "x_ and _x are both",
        ),
        (
            "    x: Mapped[int] = mapped_column(name='x' * 65)",
            12,
            "notes",
            "the column name 'xxx",
        ),
        (
            "    __table_args__ = (sa.Index('i' * 65, 'title'),)",
            12,
            "notes",
            "the Index name 'iii",
        ),
        (
            "    x: Mapped[str] = mapped_column(sa.String(769), unique=True)",
            12,
            "notes",
            "the key 'uq_notes_x' takes 3076 bytes",
        ),
        (
            "    x: Mapped[str] = mapped_column(models.LongText(), index=True)",
            12,
            "notes",
            "the key 'ix_notes_x' holds 'x', a LONGTEXT",
        ),
        (
            "sa.Table('n', Base.metadata, sa.Column('x', sa.Integer, primary_key=True), sa.Index('ix', 'x'))\n"
            "sa.Table('m', Base.metadata, sa.Column('x', sa.Integer, primary_key=True), sa.Index('ix', 'x'))",
            17,
            "m",
            "m and n both have a 'ix': rename one, for sqlite takes it once",
        ),
        (
            "sa.Table('bare', Base.metadata, sa.Column('x', sa.Integer))",
            16,
            "bare",
            "it has no primary key, which galera",
        ),
    ],
)
def test_what_an_engine_cannot_keep_is_refused_to_who_is_granted_it(write, more, line, what, expected):
    models = MODELS.replace("MORE", more)
    found = mistakes(write(models=models, access="version: 1\naccounts:\n  web: {tables: {all: rw}}\n"))
    pattern = (
        rf"access\.yaml:3: 'web' gets .* on {what} \(models_of_test_\d+\.py:{line}\): {re.escape(expected)}"
    )
    assert any(re.match(pattern, text) for text in found), found
    nobody = "version: 1\naccounts:\n  web: {tables: {notes: {select: [id]}}}\n"
    if what != "notes":
        Deployment.load(write(models=models, access=nobody))


@pytest.mark.parametrize(
    ("more", "line", "expected"),
    [
        (
            "class N(Base):\n    __tablename__ = 'ringfence_x'\n    id: Mapped[int] = mapped_column(primary_key=True)",
            16,
            "ringfence_x: names",
        ),
        (
            "    x: Mapped[int] = mapped_column(sa.ForeignKey('nowhere.id'))",
            16,
            "notes.x refers to 'nowhere', which",
        ),
    ],
)
def test_unusable_models_are_reported_with_file_and_line(write, more, line, expected):
    found = mistakes(write(models=MODELS.replace("MORE", more)))
    assert any(f".py:{line}: {expected}" in text for text in found), found


def test_who_only_reads_does_not_care_how_a_value_arises(write):
    more = "    x: Mapped[int] = mapped_column(default=max)\n    y: Mapped[str] = mapped_column(sa.Enum('', 'a', name='e'))"
    models = MODELS.replace("MORE", more)
    loaded = Deployment.load(write(models=models, access=ACCESS.replace("rw", "ro")))
    assert list(loaded.accounts) == ["web"]
    [text] = mistakes(write(models=models))
    assert "'web' gets insert, update, delete" not in text
    assert re.match(
        r"access\.yaml:3: 'web' gets insert, update on notes.y \(models_of_test_\d+\.py:17\): ", text
    )


def test_a_package_elsewhere_is_named_with_its_file_and_line(write, tmp_path_factory, monkeypatch):
    other = tmp_path_factory.mktemp("site-packages")
    name = f"packaged_{next(_fresh)}"
    (other / name).mkdir()
    (other / name / "__init__.py").write_text(
        "import sqlalchemy as sa\nmetadata = sa.MetaData()\nt = sa.Table(\n    'notes', metadata,\n"
        "    sa.Column('id', sa.Integer, primary_key=True),\n    sa.Column('title', sa.String()),\n)\n"
    )
    monkeypatch.syspath_prepend(str(other))
    [text] = mistakes(write(toml=TOML.replace("MODELS", name), models=None))
    assert f" on notes.title ({other / name / '__init__.py'}:6): String() on galera has no length" in text


def test_alembics_own_table_is_left_out_with_a_note(write):
    more = "sa.Table('alembic_version', Base.metadata, sa.Column('version_num', sa.String(32), primary_key=True))"
    root = write(models=MODELS.replace("MORE", more))
    for _ in range(2):
        loaded = Deployment.load(root)
        assert list(loaded.tables) == ["notes"]
        assert ["alembic_version" in str(note) for note in loaded.notes] == [True]


LEFT = """
class Part(Base):
    __tablename__ = "parts"
    id: Mapped[int] = mapped_column(primary_key=True)
    note_id: Mapped[int] = mapped_column(sa.ForeignKey("notes.id"))
    shape = sa.Column(sa.types.NullType())
"""


def test_tables_and_columns_are_left_out(write):
    models = MODELS.replace("MORE", LEFT)
    everything = "version: 1\naccounts: {web: {tables: {all: rw}}}\n"
    [text] = mistakes(write(models=models, access=everything))
    assert "on parts.shape" in text
    assert "has no portable form" in text
    assert "leave the column out in ringfence.toml" in text
    root = write(TOML + 'leave_out = ["parts.shape"]\n', models=models, access=everything)
    grants = {(grant.key, grant.verb): grant for grant in Deployment.load(root).accounts["web"].grants}
    assert grants["parts", "select"].columns == ("id", "note_id")
    assert grants["notes", "select"].columns is None
    root = write(TOML + 'leave_out = ["parts"]\n', models=models, access=everything)
    for _ in range(2):
        assert list(Deployment.load(root).tables) == ["notes"]
    named = "version: 1\naccounts: {web: {tables: {parts: {select: [shape]}}}}\n"
    [text] = mistakes(write(TOML + 'leave_out = ["parts.shape"]\n', models=models, access=named))
    assert "access.yaml:2: 'shape' of 'parts' is left out in ringfence.toml: no account is granted it" in text


def test_an_index_is_left_out_until_the_next_load(write):
    models = MODELS.replace(
        "MORE", LEFT.replace("Column(sa.types.NullType())", "Column(sa.Integer, index=True)")
    )
    left = TOML + 'leave_out = ["index:parts.ix_parts_shape"]\n'
    everything = "version: 1\naccounts: {web: {tables: {all: rw}}}\n"
    for toml, expected in ((left, []), (left, []), (TOML, ["ix_parts_shape"])):
        loaded = Deployment.load(write(toml, models=models, access=everything))
        assert [index.name for index in loaded.tables["parts"].indexes] == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            'leave_out = ["index:notes.x"]',
            "ringfence.toml:4: leave_out: there is no index 'notes.x' in the models",
        ),
        (
            'leave_out = ["part"]',
            "ringfence.toml:4: leave_out: there is no table or column 'part' in the models; did",
        ),
        ('leave_out = ["notes"]', "ringfence.toml:4: leave_out: 'parts' refers to 'notes': leave both out"),
        ('leave_out = ["notes.id"]', "ringfence.toml:4: leave_out: 'notes.id' is of the primary key"),
        (
            'types = {"nowhere:X" = "Uuid"}',
            "ringfence.toml:4: types: 'nowhere:X' cannot be imported as a type",
        ),
        (
            'types = {"sqlalchemy:Uuid" = "Uuid"}',
            "ringfence.toml:4: types: no column of the models is of the type",
        ),
        (
            'types = {"sqlalchemy:String" = "Strin"}',
            "ringfence.toml:4: types: 'Strin' is not a portable type; did you",
        ),
        ('naming = {xx = "a"}', "ringfence.toml:4: naming"),
    ],
)
def test_a_mistake_in_what_is_adapted_has_its_line(write, line, expected):
    found = mistakes(write(f"{TOML}{line}\n", models=MODELS.replace("MORE", LEFT)))
    assert any(text.startswith(expected) for text in found), found


def test_unnamed_constraints_get_names_by_a_convention(write):
    plain = MODELS.replace("sa.MetaData(naming_convention=models.NAMING)", "sa.MetaData()")
    models = plain.replace(
        "MORE", "    x: Mapped[int] = mapped_column(sa.ForeignKey('notes.id'), unique=True)"
    )
    for line, expected in (
        ('naming = "ringfence"', {"pk_notes", "uq_notes_x", "fk_notes_x_notes"}),
        ('naming = {uq = "unique_%(column_0_name)s"}', {None, "unique_x"}),
    ):
        root = write(f"{TOML}{line}\n", models=models)
        assert {item.name for item in Deployment.load(root).tables["notes"].constraints} == expected


def test_mistakes_of_all_files_come_together(write):
    root = write(
        models=MODELS.replace("MORE", "    when: Mapped[int] = mapped_column(sa.ForeignKey('nowhere.id'))"),
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


TWICE = """
import sqlalchemy as sa

def make(*more):
    metadata = sa.MetaData()
    sa.Table("kept", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.String(9), index=True),
        sa.Index("ix_kept_text", "text"), *more)
    return metadata

one, two, other = make(), make(), make(sa.Column("more", sa.Integer))
"""


def test_models_that_cannot_be_imported_leave_the_process_as_it_was(tmp_path):
    package = f"models_of_test_{next(_fresh)}"
    for name, models in (("one", MODELS), ("two", "import sqlalchemy\nraise RuntimeError('no')\n")):
        (tmp_path / name / package).mkdir(parents=True)
        (tmp_path / name / package / "__init__.py").write_text("")
        (tmp_path / name / package / "tables.py").write_text(models.replace("MORE", ""))
        (tmp_path / name / "ringfence.toml").write_text(TOML.replace("MODELS", f"{package}.tables"))
        (tmp_path / name / "access.yaml").write_text(ACCESS)
    Deployment.load(tmp_path / "one")
    before, path = sys.modules[f"{package}.tables"], list(sys.path)
    (mistake,) = mistakes(tmp_path / "two")
    assert "RuntimeError: no" in mistake
    assert sys.modules[f"{package}.tables"] is before
    assert sys.path == path
    Deployment.load(tmp_path / "one")


def test_threads_load_deployments_with_packages_of_one_name_at_the_same_time(tmp_path):
    package = f"models_of_test_{next(_fresh)}"
    names = ["one", "two", "three"]
    for name in names:
        (tmp_path / name).mkdir()
        more = f"class Own(Base):\n    __tablename__ = '{name}'\n    id: Mapped[int] = mapped_column(primary_key=True)\n"
        (tmp_path / name / f"{package}.py").write_text(MODELS.replace("MORE", more))
        (tmp_path / name / "ringfence.toml").write_text(TOML.replace("MODELS", package))
        (tmp_path / name / "access.yaml").write_text(ACCESS)
    with ThreadPoolExecutor(len(names)) as pool:
        loaded = dict(zip(names, pool.map(Deployment.load, [tmp_path / name for name in names]), strict=True))
    assert {name: set(deployment.tables) for name, deployment in loaded.items()} == {
        name: {"notes", name} for name in names
    }


def test_an_identical_duplicate_counts_once(write):
    toml = TOML.replace('["MODELS:metadata"]', '["MODELS:one", "MODELS:two"]')
    root = write(toml, models=TWICE, access="version: 1\naccounts: {web: {tables: {all: ro}}}\n")
    loaded = Deployment.load(root)
    assert [len(each.tables) for each in loaded.metadata] == [1, 0]
    assert [index.name for index in loaded.tables["kept"].indexes] == ["ix_kept_text"]
    notes = [str(note) for note in loaded.notes]
    assert any("kept is in two MetaData in the same words: it is taken once" in note for note in notes)
    assert any("kept has the index 'ix_kept_text' twice" in note for note in notes)
    assert list(Deployment.load(root).tables) == ["kept"]
    toml = TOML.replace('["MODELS:metadata"]', '["MODELS:one", "MODELS:other"]')
    assert "the table 'kept' is defined twice" in mistakes(write(toml, models=TWICE))[0]
