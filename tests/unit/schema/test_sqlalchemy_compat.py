"""What `sqlalchemy_compat` uses of SQLAlchemy beyond its public face is still there, and means what it meant."""

import enum

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.dialects.mysql.base import MySQLDDLCompiler
from sqlalchemy.ext.compiler import compiles

from ringfence.schema import sqlalchemy_compat as compat
from ringfence.schema.models.columns import DeclaredAs


class Mood(enum.Enum):
    GOOD = "g"


class Spelled(sa.types.UserDefinedType):
    pass


@compiles(Spelled, "mysql")
def _spell(kind, compiler, **options):
    return "SPELLED"


def test_variants_are_read_and_set_in_place():
    kind = sa.String(20).with_variant(sa.Text(), "mysql")
    assert list(compat.variants(kind)) == ["mysql"]
    compat.add_variant(kind, "mariadb", sa.Integer())
    assert isinstance(compat.variants(kind)["mariadb"], sa.Integer)
    assert kind.compile(dialect=mysql.dialect()) == "TEXT"
    assert not compat.variants(sa.String(20))


def test_affinity_recognizes_integers():
    assert compat.is_integer(sa.BigInteger())
    assert not compat.is_integer(sa.Numeric())


def test_cache_keys_distinguish_types():
    assert compat.static_cache_key(sa.String(20)) != compat.static_cache_key(sa.String(30))
    assert compat.static_cache_key(sa.String(20)) == compat.static_cache_key(sa.String(20))
    first, second = DeclaredAs(sa.Integer, mysql="INT"), DeclaredAs(sa.Integer, mysql="INTEGER")
    assert compat.static_cache_key(first) != compat.static_cache_key(second)


def test_members_of_an_enum_are_found_by_label():
    assert compat.enum_members(sa.Enum(Mood))["GOOD"] is Mood.GOOD


def test_compilers_of_a_class_are_found():
    found = compat.compilers(Spelled)
    assert found is not None
    assert found["mysql"] is _spell
    assert compat.compilers(sa.Integer) is None


def test_a_copied_column_keeps_its_constraints_and_belongs_to_no_table():
    table = sa.Table("song", sa.MetaData(), sa.Column("id", sa.Integer, sa.CheckConstraint("id > 0")))
    made = compat.copy_column(table.c.id)
    assert made.table is None
    assert [str(check.sqltext) for check in made.constraints] == ["id > 0"]


def test_a_function_is_called_when_a_column_or_its_copy_gets_a_table():
    called = []
    column = sa.Column("id", sa.Integer)
    compat.on_table_attach(column, lambda column, table: called.append(table.name))
    sa.Table("song", sa.MetaData(), column)
    assert called == ["song"]


def test_a_server_default_is_replaced():
    column = sa.Column("id", sa.Integer, server_default="1")
    column.server_default = None
    default = sa.DefaultClause("2")
    compat.set_server_default(column, default)
    assert column.server_default is default
    assert default.column is column


def test_a_table_that_was_removed_is_added_again():
    metadata = sa.MetaData()
    table = sa.Table("song", metadata, sa.Column("id", sa.Integer), schema="music")
    metadata.remove(table)
    compat.add_table(metadata, table)
    assert metadata.tables["music.song"] is table


def test_sequences_of_a_metadata_are_listed():
    metadata = sa.MetaData()
    sequence = sa.Sequence("numbers", metadata=metadata)
    assert list(compat.sequences(metadata)) == [sequence]


def test_the_statement_of_a_view_is_found():
    metadata = sa.MetaData()
    table = sa.Table("song", metadata, sa.Column("id", sa.Integer))
    view = sa.CreateView(sa.select(table.c.id), "songs", metadata=metadata)
    assert view.table.is_view
    assert compat.creator_statement(view.table) is view
    assert compat.creator_statement(table) is None


def test_names_of_a_convention_are_found_and_are_those_that_are_shortened():
    metadata = sa.MetaData(naming_convention={"uq": "uq_%(table_name)s_%(column_0_name)s"})
    table = sa.Table("song", metadata, sa.Column("id", sa.Integer))
    unique = sa.UniqueConstraint(table.c.id)
    assert str(unique.name) == "uq_song_id"
    assert compat.is_truncated(unique.name)
    assert not compat.is_truncated("uq_song_id")
    assert not compat.is_truncated(None)
    check = sa.CheckConstraint("id > 0")
    table.append_constraint(check)
    assert not isinstance(compat.conventional_name(check, table), str)
    other = sa.UniqueConstraint("id", name=None)
    table.append_constraint(other)
    assert compat.conventional_name(other, table) == "uq_song_id"


def test_constraints_are_created_in_the_order_of_their_numbers():
    first, second = sa.CheckConstraint("a"), sa.CheckConstraint("b")
    assert compat.creation_order(first) < compat.creation_order(second)


def test_the_check_of_a_type_is_known_and_has_a_rule():
    kind = sa.Boolean(create_constraint=True, name="flag")
    table = sa.Table("song", sa.MetaData(), sa.Column("hit", kind), sa.CheckConstraint("hit", name="own"))
    checks = {check.name: check for check in table.constraints if isinstance(check, sa.CheckConstraint)}
    assert compat.belongs_to_type(checks["flag"])
    assert not compat.belongs_to_type(checks["own"])
    assert callable(compat.create_rule(checks["flag"]))
    assert "variant_mapping" in compat.create_rule(checks["flag"]).keywords
    assert compat.create_rule(checks["own"]) is None


def test_conditions_are_read_replaced_and_asked():
    check = sa.CheckConstraint("id > 0", name="positive").ddl_if(dialect="mysql")
    table = sa.Table("song", sa.MetaData(), sa.Column("id", sa.Integer), check)
    given = compat.condition(check)
    assert given is not None
    assert given.dialect == "mysql"
    dialect = postgresql.dialect()
    compiler = dialect.ddl_compiler(dialect, None)
    statement = sa.schema.CreateTable(table)
    assert not compat.holds(given, statement, check, None, compiler=compiler, checkfirst=False)
    compat.set_condition(check, given._replace(dialect=("mysql", "postgresql")))
    changed = compat.condition(check)
    assert compat.holds(changed, statement, check, None, compiler=compiler, checkfirst=False)
    assert "positive" in str(statement.compile(dialect=dialect))
    assert compat.condition(sa.DDL("SELECT 1")) is None
    assert compat.condition(sa.DDL("SELECT 1").execute_if(dialect="mysql")).dialect == "mysql"


def test_statements_that_create_or_drop_are_known():
    table = sa.Table("song", sa.MetaData(), sa.Column("id", sa.Integer))
    assert compat.creates_or_drops(sa.schema.CreateTable(table))
    assert compat.creates_or_drops(sa.schema.DropSequence(sa.Sequence("numbers")))
    assert compat.creates_or_drops(postgresql.CreateEnumType(postgresql.ENUM("a", name="kind")))
    assert not compat.creates_or_drops(sa.text("SELECT 1"))


def test_doubled_percents_and_parameters_of_text_are_known():
    from sqlalchemy.dialects.postgresql import psycopg, psycopg2

    assert compat.doubles_percents(psycopg2.dialect())
    assert not compat.doubles_percents(mysql.dialect(paramstyle="named"))
    assert compat.has_parameters(sa.text("SELECT :a"))
    assert not compat.has_parameters(sa.text("SELECT 1"))
    assert compat.doubles_percents(psycopg.dialect())


def test_hooks_that_are_overridden_are_called():
    called = []

    class Noting(sa.TypeDecorator):
        impl = sa.String
        cache_ok = True

        def _set_parent(self, parent, outer=False, **options):
            super()._set_parent(parent, outer=outer, **options)
            called.append(parent.name)

    sa.Column("id", Noting())
    assert called == ["id"]
    table = sa.Table("song", sa.MetaData(), sa.Column("id", sa.Integer, nullable=False))
    dialect = mysql.dialect()
    compiler = MySQLDDLCompiler(dialect, None)
    assert "NOT NULL" in compiler.get_column_specification(table.c.id)
    assert "NOT NULL" not in compiler.get_column_specification(table.c.id, _force_column_to_nullable=True)


@pytest.mark.parametrize("kind", [sa.String(20), sa.Enum("a", "b", name="kind")])
def test_types_have_a_cache_key(kind):
    assert compat.static_cache_key(kind)
