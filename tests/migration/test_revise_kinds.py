"""Kinds of models whose revisions once failed: written beside a scratch SQLite, and proven on every engine."""

import re
from dataclasses import dataclass

import pytest
from alembic import command

from ringfence.runtime.settings import Settings
from ringfence.schema.authoring.revise import revise
from ringfence.schema.autogenerate.renames import Renames
from ringfence.schema.engines import reach
from ringfence.schema.job.environment import AlembicRun
from ringfence.schema.job.plan import plan_job
from ringfence.schema.lint.finding import Severity
from ringfence.schema.testing.migrations import prove
from support.deployments import TOML, lay_out

HEAD = """
import enum

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from ringfence.schema.models import NAMING

metadata = sa.MetaData(naming_convention=NAMING)


def table(name, *items, **more):
    return sa.Table(name, metadata, sa.Column("id", sa.Integer, primary_key=True), *items, **more)


"""
ACCESS = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  till: {tables: {a: rw, b: rw}}
"""
POSTGRESQL = frozenset({"postgresql"})


@dataclass
class Kind:
    """The models before and after a change; each is laid out, and a revision written."""

    name: str
    models: tuple[str, ...]
    engines: frozenset[str] | None = None
    """The deployment's; None for all."""
    findings: frozenset[str] = frozenset()
    """The rules of the lint that a person is to answer."""


PLAIN = 'table("a")\ntable("b")'
SHARED = """
mood = sa.Enum("ok", "sad", name="mood")
table("a", sa.Column("mood", mood))
table("b", sa.Column("mood", mood), sa.Column("other", sa.Enum("ok", "sad", name="mood")))
"""
KINDS = (
    Kind("enum_of_two_new_tables", (SHARED,)),
    Kind("enum_of_two_old_tables", (PLAIN, SHARED, PLAIN)),
    Kind(
        "enum_of_an_old_and_a_new_table",
        (
            'table("a", sa.Column("mood", sa.Enum("ok", "sad", name="mood")))\ntable("b")',
            SHARED + 'table("c", sa.Column("mood", mood))',
        ),
    ),
    Kind(
        "enum_that_moves",
        (
            'table("a", sa.Column("mood", sa.Enum("ok", "sad", name="mood")))\ntable("b")',
            'table("a")\ntable("b", sa.Column("mood", sa.Enum("ok", "sad", name="mood")))',
        ),
    ),
    Kind(
        "arrays",
        (
            'table("a", sa.Column("mood", sa.Enum("ok", "sad", name="mood")))\ntable("b")',
            """
old, new = sa.Enum("ok", "sad", name="mood"), sa.Enum("x", "y", name="kind")
table("a", sa.Column("mood", old), sa.Column("moods", postgresql.ARRAY(old)), sa.Column("k", postgresql.ARRAY(new)))
table("b", sa.Column("kinds", postgresql.ARRAY(new)))
""",
            """
old, new = sa.Enum("ok", "sad", "wild", name="mood"), sa.Enum("z", "x", "y", name="kind")
table("a", sa.Column("mood", old), sa.Column("moods", postgresql.ARRAY(old)), sa.Column("k", postgresql.ARRAY(new)))
table("b", sa.Column("kinds", postgresql.ARRAY(new)))
""",
        ),
        POSTGRESQL,
    ),
    Kind(
        "labels_added",
        (
            SHARED,
            SHARED.replace('"ok", "sad"', '"ok", "sad", "it\'s 5% \\\\ :up"'),
        ),
    ),
    Kind(
        "labels_lost_and_moved",
        (
            SHARED.replace('"ok", "sad"', '"ok", "sad", "wild"'),
            SHARED.replace('"ok", "sad"', '"sad", "ok"'),
        ),
        findings=frozenset({"RF402", "RF403", "RF408"}),
    ),
    Kind(
        "labels_with_a_default",
        (
            """
table("a", sa.Column("mood", sa.Enum("ok", "sad", name="mood"), nullable=False, server_default="ok"))
table("b")
""",
            """
table("a", sa.Column("mood", sa.Enum("ok", "sad", "wild", name="mood"), nullable=False, server_default="ok"))
table("b")
""",
        ),
    ),
    Kind(
        "type_under_a_function_as_default",
        tuple(
            f'table("a", sa.Column("name", sa.String({length}){more}))\ntable("b")'
            for length, more in (
                (20, ""),
                (20, ', server_default=sa.func.lower("X")'),
                (40, ', server_default=sa.func.lower("X")'),
            )
        ),
    ),
    Kind(
        "enum_of_a_character_set",
        (
            PLAIN,
            """
table("a", sa.Column("mood", mysql.ENUM("ok", "sad", charset="latin1", collation="latin1_bin")))
table("b")
table("c", sa.Column("mood", mysql.ENUM("ok", "sad", charset="latin1"), nullable=False))
""",
            PLAIN,
        ),
        frozenset({"mysql", "mariadb"}),
    ),
    Kind(
        "circle",
        (
            """
table("a", sa.Column("b_id", sa.ForeignKey("b.id")), sa.Column("self_id", sa.ForeignKey("a.id")))
table("b", sa.Column("a_id", sa.ForeignKey("a.id", ondelete="SET NULL")))
table("leans", sa.Column("a_id", sa.ForeignKey("a.id")))
""",
            PLAIN,
        ),
    ),
    Kind(
        "circle_of_three_with_use_alter",
        (
            """
table("a", sa.Column("b_id", sa.ForeignKey("b.id", use_alter=True, name="fk_a_b")))
table("b", sa.Column("c_id", sa.ForeignKey("c.id")))
table("c", sa.Column("a_id", sa.ForeignKey("a.id")))
table("d", sa.Column("a_id", sa.ForeignKey("a.id", use_alter=True)))
""",
            PLAIN,
        ),
    ),
    Kind(
        "circle_through_an_old_table",
        (
            PLAIN,
            PLAIN.replace('table("a")', 'table("a", sa.Column("c_id", sa.ForeignKey("c.id")))')
            + '\ntable("c", sa.Column("a_id", sa.ForeignKey("a.id")))',
        ),
    ),
    Kind(
        "key_to_a_unique_index",
        (
            """
a = table("a", sa.Column("name", sa.String(50), nullable=False))
sa.Index("ix_a_name", a.c.name, unique=True)
table("b", sa.Column("name", sa.String(50), sa.ForeignKey("a.name")))
""",
        ),
    ),
    Kind(
        "key_to_a_new_unique_index_of_an_old_table",
        (
            'table("a", sa.Column("name", sa.String(50), nullable=False))\ntable("b")',
            """
a = table("a", sa.Column("name", sa.String(50), nullable=False))
sa.Index("ix_a_name", a.c.name, unique=True)
table("b", sa.Column("name", sa.String(50), sa.ForeignKey("a.name")))
table("c", sa.Column("name", sa.String(50), sa.ForeignKey("a.name")))
""",
        ),
    ),
    Kind(
        "index_that_a_key_needs",
        tuple(
            f"""
table("a")
table("b", sa.Column("a_id", sa.ForeignKey("a.id")), sa.Column("email", sa.String(80)){more})
"""
            for more in (
                ', sa.Index("plain", "a_id", "email")',
                ', sa.UniqueConstraint("a_id", "email", name="uq_b_other")',
                "",
                ', sa.Index("plain", "a_id")',
                ', sa.Index("plain", "a_id", "email")',
                "",
            )
        ),
    ),
    Kind(
        "checks_of_types",
        (
            """
table("a", sa.Column("yes", sa.Boolean(create_constraint=True, name="yes")),
      sa.Column("size", sa.Enum("s", "m", native_enum=False, create_constraint=True, name="size"), nullable=False))
table("b")
""",
            """
table("a", sa.Column("yes", sa.Boolean(create_constraint=True, name="yes")),
      sa.Column("vip", sa.Boolean(create_constraint=True, name="vip")), sa.Column("more", sa.String(9)),
      sa.Column("size", sa.Enum("s", "m", "xl", native_enum=False, create_constraint=True, name="size"), nullable=False))
table("b")
""",
            PLAIN,
        ),
    ),
    Kind(
        "labels_and_default_and_null_together",
        tuple(
            f"""
table("a", sa.Column("m", sa.Enum({labels}, name="m"), {more}))
table("b", sa.Column("n", sa.Enum({labels}, native_enum=False, create_constraint=True, length=9, name="n"), {more}))
"""
            for labels, more in (
                ("'a', 'b'", "server_default='a'"),
                ("'a', 'b', 'z'", "server_default='z', nullable=False"),
                ("'a', 'b', 'z', 'y'", ""),
            )
        ),
    ),
    Kind(
        "percent_sign_in_the_name_of_an_enum",
        tuple(
            f"""
table("a", sa.Column("m", sa.Enum({labels}, name="50%:x")))
table("b", sa.Column("m", sa.ARRAY(sa.Enum({labels}, name="50%:x"))))
"""
            for labels in ("'a%', 'b'", "'a%', ':c', 'b'", "'b', 'a%', ':c'")
        ),
        engines=POSTGRESQL,
    ),
    Kind(
        "computed_and_identity",
        (
            """
table("a", sa.Column("n", sa.BigInteger), sa.Column("m", sa.BigInteger, sa.Computed("n - 1", persisted=True)))
sa.Table("b", metadata, sa.Column("id", sa.Integer, sa.Identity(), primary_key=True), sa.Column("n", sa.Integer))
""",
            """
table("a", sa.Column("n", sa.BigInteger), sa.Column("o", sa.Integer),
      sa.Column("m", sa.BigInteger, sa.Computed("n - 1", persisted=True)))
sa.Table("b", metadata, sa.Column("id", sa.Integer, sa.Identity(), primary_key=True), sa.Column("n", sa.Integer),
         sa.Column("o", sa.Integer))
""",
        ),
    ),
    Kind(
        "identities",
        (
            """
sa.Table("a", metadata, sa.Column("id", sa.Integer, sa.Identity(always=True, start=100, cache=5), primary_key=True))
sa.Table("b", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer, sa.Identity()))
""",
            """
sa.Table("a", metadata, sa.Column("id", sa.Integer, sa.Identity(start=100, increment=2, maxvalue=900, cycle=True),
                                  primary_key=True))
sa.Table("b", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer, nullable=False))
""",
            """
sa.Table("a", metadata, sa.Column("id", sa.Integer, sa.Identity(start=100), primary_key=True))
sa.Table("b", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer, nullable=False))
""",
        ),
        engines=frozenset({"postgresql"}),
    ),
    Kind(
        "computed_that_is_never_null",
        (
            """
table("a", sa.Column("n", sa.BigInteger, nullable=False),
      sa.Column("m", sa.BigInteger, sa.Computed("n - 1", persisted=True), nullable=False))
table("b")
""",
        ),
    ),
    Kind(
        "defaults",
        (
            """
table("a", sa.Column("at", sa.Date, server_default=sa.text("(CURRENT_DATE)")))  # MySQL wants the parentheses
table("b", sa.Column("yes", sa.Boolean, nullable=False, server_default=sa.true()))
""",
            """
table("a", sa.Column("at", sa.Date), sa.Column("n", sa.Integer, server_default="7"))
table("b", sa.Column("yes", sa.Boolean, nullable=False, server_default=sa.false()))
""",
        ),
    ),
)


@pytest.mark.filterwarnings("ignore:Can.*sort tables:sqlalchemy.exc.SAWarning")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_of_models_goes_up_down_and_up(db, tmp_path, kind):
    if kind.engines is not None and db.server.engine not in kind.engines:
        pytest.skip("the models are not for this engine")
    shop = lay_out(tmp_path, db)
    for path in (shop.root / "migrations/versions").glob("*.py"):
        path.unlink()
    shop.write("access.yaml", ACCESS)
    beside = None
    if kind.engines is not None:  # no SQLite file can serve
        shop.write("ringfence.toml", re.sub(r"engines = .*", f"engines = {sorted(kind.engines)!r}", TOML))
        beside = db.clone()
    found = set()
    for number, models in enumerate(kind.models):
        (shop.root / "shop_models.py").write_text(HEAD + models)
        env = beside.env() if beside else {"DB_TYPE": ""}
        told = Renames.from_options((), ("all",)) if number else Renames()
        made = revise(shop.load(), f"step {number}", env, renames=told)
        assert made.paths, "nothing was found to do"
        found |= {finding.rule for finding in made.findings if finding.severity is Severity.ERROR}
        if beside:
            upgrade(shop, beside)
    assert found <= kind.findings
    planned = plan_job(shop.load(), db.env())
    assert len(planned.revisions) == len(list((shop.root / "migrations/versions").glob("*.py")))
    assert not [line for chapter in planned.revisions for line in chapter.operations if line.endswith("Op")]
    proof = prove(shop.load(), db.env())
    assert not proof.failures
    assert not proof.irreversible


def upgrade(shop, database):
    backend = reach(Settings.from_env(database.env()))
    with (
        backend.locks.hold(patience=30, on_message=print) as held,
        AlembicRun(shop.load(), backend, held).current() as config,
    ):
        command.upgrade(config, "head")
