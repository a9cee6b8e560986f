"""Variants of models and migrations for MySQL apply to MariaDB too, unless MariaDB has its own."""

import sys
import types

import pytest
import sqlalchemy as sa

from ringfence.runtime.settings import Settings
from ringfence.schema.authoring.revise import revise
from ringfence.schema.engines import reach
from ringfence.schema.models.types import portable
from ringfence.schema.revisions.scripts import scripts_in
from ringfence.schema.sql.mysql_options import extend_metadata
from support.deployments import lay_out_one

pytestmark = pytest.mark.engines("mariadb", "galera", "mysql")

TOML = """
name = "shop"
engines = ["mariadb", "galera", "mysql"]
models = ["shop_models:metadata"]
allow_weak = ["test"]
"""
MODELS = """
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles

metadata = sa.MetaData(naming_convention={"ck": "ck_%(table_name)s_%(constraint_name)s"})


class Opaque(sa.types.UserDefinedType):
    cache_ok = True


@compiles(Opaque)
def _plain(type_, compiler, **given):
    return "VARCHAR(10)"


@compiles(Opaque, "mysql")
def _on_mysql(type_, compiler, **given):
    return "VARCHAR(77)"


class Key(sa.TypeDecorator):
    impl = sa.String(36)
    cache_ok = True

    def load_dialect_impl(self, dialect):
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.BINARY(16))
        return dialect.type_descriptor(sa.String(36))


class Knowing(sa.TypeDecorator):
    impl = sa.String(36)
    cache_ok = True

    def load_dialect_impl(self, dialect):
        words = {"mysql": sa.String(41), "mariadb": sa.String(42)}
        return dialect.type_descriptor(words.get(dialect.name, sa.String(36)))


class Wrapped(sa.TypeDecorator):
    impl = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
    cache_ok = True


t = sa.Table(
    "t",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")),
    sa.Column("doc", sa.Text().with_variant(mysql.LONGTEXT(), "mysql")),
    sa.Column("name", sa.String(50).with_variant(sa.String(50, collation="utf8mb4_bin"), "mysql")),
    sa.Column("both", sa.String(10).with_variant(sa.String(11), "mysql").with_variant(sa.String(12), "mariadb")),
    sa.Column("opaque", Opaque()),
    sa.Column("key", Key()),
    sa.Column("knowing", Knowing()),
    sa.Column("wrapped", Wrapped()),
    sa.Column("path", sa.Text),
    sa.Column("flag", sa.Boolean(create_constraint=True, name="flag").with_variant(mysql.TINYINT(), "mysql")),
    sa.Index("ix_path", "path", mysql_length={"path": 200}),
    sa.Index("ix_words", "path", mysql_prefix="FULLTEXT"),
    sa.Index("ix_here", "name").ddl_if(dialect="mysql"),
    sa.Index("ix_elsewhere", "name").ddl_if(dialect="postgresql"),
    mysql_charset="latin1",
    mysql_collate="latin1_bin",
    mysql_comment="said",
    mysql_row_format="COMPRESSED",
)
sa.Table(
    "own",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(10)),
    mysql_charset="latin1",
    mysql_collate="latin1_bin",
    mariadb_charset="utf8mb4",
    mysql_row_format="COMPRESSED",
)
sa.event.listen(t, "after_create", sa.DDL("CREATE VIEW seen AS SELECT 1 AS a").execute_if(dialect="mysql"))
"""
_MARIADB = sa.make_url("mariadb+pymysql://").get_dialect()()
COLUMNS = """
    SELECT column_name, column_type, collation_name FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 't'
"""


@pytest.fixture
def models(monkeypatch):
    module = types.ModuleType("words_models")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(MODELS, vars(module))  # noqa: S102 - the models of this file, anew for each test
    return module.metadata


@pytest.fixture
def admin(db):
    backend = reach(Settings.from_env(db.env()))
    engine = backend.engine()
    yield engine
    engine.dispose()


def _seen(engine):
    with engine.connect() as connection:
        columns = {name: (kind, collation) for name, kind, collation in connection.execute(sa.text(COLUMNS))}
        indexes = {each["name"]: each for each in sa.inspect(connection).get_indexes("t")}
        made = connection.execute(sa.text("SHOW CREATE TABLE t")).fetchone()[1]
        own = connection.execute(sa.text("SHOW CREATE TABLE own")).fetchone()[1]
    return columns, indexes, made, own


def _look(engine):
    mariadb = engine.dialect.name == "mariadb"
    columns, indexes, made, own = _seen(engine)
    assert columns["at"][0] == "datetime(6)"
    assert columns["doc"] == ("longtext", "latin1_bin")
    assert columns["name"] == ("varchar(50)", "utf8mb4_bin")
    assert columns["both"][0] == ("varchar(12)" if mariadb else "varchar(11)")
    assert columns["opaque"][0] == "varchar(77)"
    assert columns["key"][0] == "binary(16)"
    assert columns["knowing"][0] == ("varchar(42)" if mariadb else "varchar(41)")
    assert columns["wrapped"][0] == "mediumtext"
    assert set(indexes) == {"ix_path", "ix_words", "ix_here"}
    assert "(`path`(200))" in made
    assert "FULLTEXT" in made
    assert "CHECK" not in made  # the variant for MySQL is no Boolean, and has none
    assert "ROW_FORMAT=COMPRESSED" in made
    assert "COMMENT='said'" in made
    assert "CHARSET=latin1" in made
    assert "ROW_FORMAT=COMPRESSED" in own
    assert ("CHARSET=utf8mb4" if mariadb else "CHARSET=latin1") in own


def test_create_all(models, admin):
    if admin.dialect.name == "mariadb":
        extend_metadata(models)
    models.create_all(admin)
    _look(admin)
    with admin.connect() as connection:
        assert connection.execute(sa.text("SELECT a FROM seen")).scalar() == 1


def test_what_is_extended_is_the_same_when_it_is_extended_again(models):
    extend_metadata(models)
    first = [str(sa.schema.CreateTable(table).compile(dialect=_MARIADB)) for table in models.sorted_tables]
    extend_metadata(models)
    again = [str(sa.schema.CreateTable(table).compile(dialect=_MARIADB)) for table in models.sorted_tables]
    assert first == again


def test_a_statement_is_extended_as_it_is_sent(models, admin):
    """A migration written by hand calls `create_all`, `Table.create` or operations; nobody extended what it says."""
    for table in models.sorted_tables:
        table.create(admin)
    _look(admin)


def test_the_mirror_knows_it(models):
    extend_metadata(models)
    columns = models.tables["t"].columns
    for name in ("at", "doc", "name", "wrapped"):
        assert portable(columns[name].type, ("mariadb", "galera")) == portable(columns[name].type, ("mysql",))
    assert portable(columns["both"].type, ("mariadb",)).params == {"length": 12}


SHOP = """
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

metadata = sa.MetaData()
sa.Table(
    "t",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")),
    sa.Column("doc", sa.Text().with_variant(mysql.LONGTEXT(), "mysql")),
    sa.Column("name", sa.String(50).with_variant(sa.String(50, collation="utf8mb4_bin"), "mysql")),
    mysql_charset="latin1",
    mysql_collate="latin1_bin",
)
"""


@pytest.fixture
def shop(db, tmp_path):
    return lay_out_one(tmp_path, db, TOML, SHOP, "t: ro")


def _is_as_said(engine):
    with engine.connect() as connection:
        columns = {name: (kind, collation) for name, kind, collation in connection.execute(sa.text(COLUMNS))}
    assert columns["at"][0] == "datetime(6)"
    assert columns["doc"] == ("longtext", "latin1_bin")
    assert columns["name"] == ("varchar(50)", "utf8mb4_bin")


def test_a_revision_says_both_and_makes_it(shop, admin):
    revised = revise(shop.load(), "first", shop.env())
    text = revised.path.read_text()
    assert ".with_variant(mysql.LONGTEXT(), 'mysql', 'mariadb')" in text
    assert "mysql_collate='latin1_bin'" in text
    assert "mariadb_collate='latin1_bin'" in text
    shop.migrate()
    _is_as_said(admin)


BY_HAND = """
revision = "c3"
down_revision = None
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql


def upgrade():
    op.create_table(
        "t",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("doc", sa.Text()),
        sa.Column("name", sa.String(10)),
        mysql_charset="latin1",
        mysql_collate="latin1_bin",
    )
    op.add_column("t", sa.Column("at", sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")))
    op.alter_column("t", "doc", type_=sa.Text().with_variant(mysql.LONGTEXT(), "mysql"))
    with op.batch_alter_table("t") as batch:
        batch.alter_column(
            "name", type_=sa.String(50).with_variant(sa.String(50, collation="utf8mb4_bin"), "mysql")
        )
    op.create_index("ix_doc", "t", ["doc"], mysql_length={"doc": 20})


def downgrade():
    op.drop_table("t")
"""


def test_a_migration_written_by_hand(shop, admin):
    shop.write("migrations/versions/c3.py", BY_HAND)
    shop.migrate()
    _is_as_said(admin)


def test_the_lint_knows_the_types_that_a_migration_creates(shop):
    shop.write("migrations/versions/c3.py", BY_HAND)
    scripts = scripts_in(shop.root / "migrations")
    (doc,) = [
        done.operation.modify_type
        for done in scripts.recording("c3", "mariadb").done
        if getattr(done.operation, "column_name", None) == "doc"
    ]
    assert portable(doc, ("mariadb",)) == portable(doc, ("mysql",))


def test_a_migration_that_is_printed(shop, admin):
    shop.write("migrations/versions/c3.py", BY_HAND)
    printed = shop.run("alembic", "upgrade", "head", "--sql")
    assert printed.returncode == 0, printed.stderr
    for words in ("COLLATE latin1_bin", "at DATETIME(6)", "doc LONGTEXT", "VARCHAR(50) COLLATE utf8mb4_bin"):
        assert words in printed.stdout
