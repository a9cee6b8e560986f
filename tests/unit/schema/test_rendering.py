"""What a revision says of a type or a default means what the models say, on every dialect, with its imports."""

import ast
import enum
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import CreateTableOp
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.functions import FunctionElement

from ringfence.schema import models
from ringfence.schema.autogenerate import rendering  # noqa: F401 - it registers the renderers
from ringfence.schema.rendering.types import render_default, render_type

DIALECTS = {
    name: sa.make_url(url).get_dialect()()
    for name, url in {
        "postgresql": "postgresql+psycopg2://",
        "mysql": "mysql+pymysql://",
        "mariadb": "mariadb+pymysql://",
        "sqlite": "sqlite://",
    }.items()
}


class Level(enum.Enum):
    low = "L"
    high = "H"


class Word(enum.StrEnum):
    """Packages give a member as the default that it is."""

    ready = "it's ready"


class Worded(str, enum.Enum):  # noqa: UP042 - its str() is another than that of StrEnum
    ready = "READY"


class Key(sa.TypeDecorator[str]):
    """As packages write it: another type on each dialect, and a constructor that takes nothing of it."""

    impl = sa.CHAR
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(36)

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.UUID(as_uuid=False))
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.BINARY(16))
        return dialect.type_descriptor(sa.CHAR(32))


class Moment(sa.TypeDecorator[Any]):
    impl = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql")
    cache_ok = True


class JsonText(sa.TypeDecorator[Any]):
    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        return postgresql.JSONB() if dialect.name == "postgresql" else self.impl_instance


class Outer:
    class Own(sa.types.UserDefinedType[str]):
        cache_ok = True

        def get_col_spec(self, **options: Any) -> str:
            return "OWN"


class Moving(FunctionElement[Any]):
    inherit_cache = True
    type = sa.DateTime()


@compiles(Moving)
def _moving(element: Any, compiler: Any, **options: Any) -> str:
    return f"moving_{compiler.dialect.name}()"


TYPES: list[Any] = [
    sa.JSON().with_variant(sa.Text(), "mysql", "mariadb"),
    sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
    sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
    sa.JSON().with_variant(mysql.LONGTEXT(), "mysql").with_variant(postgresql.JSON(), "postgresql"),
    sa.Text().with_variant(models.LongText(), "mysql"),
    models.LongText().with_variant(sa.String(10), "sqlite"),
    sa.JSON().with_variant(postgresql.ARRAY(sa.String(10)), "postgresql"),
    sa.JSON().with_variant(postgresql.HSTORE(), "postgresql"),
    sa.Text().with_variant(sa.ARRAY(sa.Enum("a", "b", name="ab")), "postgresql"),
    sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
    sa.String(50).with_variant(sa.String(50, collation="utf8mb4_bin"), "mysql"),
    sa.Enum(Level, values_callable=lambda members: [member.value for member in members]),
    sa.Enum("a", "it's", name="quoted", native_enum=False, length=40),
    sa.Boolean().with_variant(mysql.TINYINT(), "mysql"),
    sa.Numeric(10, 2, asdecimal=False),
    sa.Float(53),
    sa.Uuid(native_uuid=False),
    sa.Interval(second_precision=6),
    sa.PickleType(),
    sa.LargeBinary(2000).with_variant(mysql.LONGBLOB(), "mysql", "mariadb"),
    mysql.ENUM("a", "b").with_variant(sa.String(3), "sqlite", "postgresql"),
    models.Timestamp(),
    models.Json(),
    Key(),
    Key().with_variant(sa.String(99), "sqlite"),
    Moment(),
    JsonText(),
    sa.Text().with_variant(Key(), "postgresql"),
    Outer.Own(),
]
AUTOGENERATING = ("sqlite", "postgresql", "mariadb")


def _context(dialect: str) -> AutogenContext:
    migration = MigrationContext.configure(dialect_name=dialect)
    opts = {"sqlalchemy_module_prefix": "sa.", "alembic_module_prefix": "op.", "user_module_prefix": None}
    return AutogenContext(migration, autogenerate=False, opts=opts)


def _read(text: str, imports: set[str]) -> Any:
    """What a revision would make of it, with the imports that it has."""
    names: dict[str, Any] = {"sa": sa}
    for line in sorted(imports):
        exec(line, names)  # noqa: S102 - the revision's own lines
    return eval(text, names)  # noqa: S307


def _ddl(kind: Any, dialect: sa.Dialect, **options: Any) -> str:
    try:
        table = sa.Table("t", sa.MetaData(), sa.Column("a", kind, **options))
        return str(CreateTable(table).compile(dialect=dialect))
    except sa.exc.CompileError as error:
        return type(error).__name__


@pytest.mark.parametrize("dialect", AUTOGENERATING)
@pytest.mark.parametrize("kind", TYPES, ids=repr)
def test_a_type_is_the_same_on_every_dialect(kind: Any, dialect: str) -> None:
    context = _context(dialect)
    text = render_type(kind, context)
    read = _read(text, context.imports)
    for each in DIALECTS.values():
        assert _ddl(read, each) == _ddl(kind, each), text


def test_a_custom_type_decorator_is_written_as_its_implementation_without_imports() -> None:
    for kind in (Key(), Moment(), JsonText()):
        context = _context("sqlite")
        assert type(kind).__name__ not in render_type(kind, context)
        assert not [line for line in context.imports if __name__ in line]


def test_a_class_within_a_function_is_named() -> None:
    class Hidden(sa.types.UserDefinedType[str]):
        pass

    with pytest.raises(CommandError, match="Hidden is defined in a function"):
        render_type(Hidden(), _context("sqlite"))


DEFAULTS: list[Any] = [
    "it's",
    "",
    "'x'",
    "''",
    "a%b %s %(x)s",
    "a\\b",
    ":x",
    '{"a":true}',
    sa.text("'it''s'"),
    sa.text("''"),
    sa.text(r"'12\:30'"),
    sa.text("CURRENT_TIMESTAMP"),
    sa.func.now(),
    sa.func.current_timestamp(),
    sa.func.lower("It's"),
    sa.func.pg_catalog.lower("x"),
    sa.true(),
    sa.false(),
    sa.null(),
    Moving(),
    Word.ready,
    Worded.ready,
]


@pytest.mark.parametrize("dialect", AUTOGENERATING)
@pytest.mark.parametrize("default", DEFAULTS, ids=str)
def test_a_default_is_the_same_on_every_dialect(default: Any, dialect: str) -> None:
    context = _context(dialect)
    text = render_default(sa.DefaultClause(default), context)
    assert text
    read = _read(text, context.imports)
    for each in DIALECTS.values():
        ours, theirs = (_ddl(sa.String(60), each, server_default=each_) for each_ in (read, default))
        assert ours == theirs, text


def test_what_a_package_keeps_in_info_is_written_where_it_is_plain() -> None:
    kept = {"view": False, "of": Key, "by": {Worded.ready}, 3: ["a", None]}
    table = sa.Table("t", sa.MetaData(), sa.Column("a", sa.Integer), info=kept)
    context = _context("sqlite")
    operation = CreateTableOp.from_table(table)
    text = renderers.dispatch(operation)(context, operation)
    assert ast.parse(str(text))
    assert "info={'view': False, 3: ['a', None]}" in str(text)
    assert operation.info == kept


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_is_a_default_as_it_is(value: str) -> None:
    text = render_default(sa.DefaultClause(value), _context("sqlite"))
    assert _read(str(text), set()) == value


def test_what_only_an_engine_can_spell_is_left_to_alembic() -> None:
    expression = sa.cast(1, sa.String)
    assert render_default(sa.DefaultClause(expression), _context("sqlite")) is False
    assert render_default(sa.Computed("1"), _context("sqlite")) is False
