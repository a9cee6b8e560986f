"""Column types: what they are in the mirror, and on which engines they would change a value."""

import datetime as dt
import enum
import uuid
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.runtime.values import generators
from ringfence.schema import models
from ringfence.schema.models.engine_types import map_type, parse_type
from ringfence.schema.models.types import ENGINES, needs_integer_key, portable
from ringfence.schema.sampling.rows import value


class Colour(enum.Enum):
    red = "R"
    blue = "B"


@pytest.mark.parametrize(
    ("type_", "name", "params"),
    [
        (models.Timestamp(), "datetime", {"timezone": True}),
        (models.NaiveTimestamp(), "datetime", {"timezone": False}),
        (models.PreciseTime(), "time", {}),
        (models.Duration(), "interval", {}),
        (models.LongText(), "text", {}),
        (models.LongBytes(), "bytes", {}),
        (models.BigKey(), "bigint", {}),
        (sa.Boolean(), "boolean", {}),
        (sa.SmallInteger(), "smallint", {}),
        (sa.Integer(), "integer", {}),
        (sa.BigInteger(), "bigint", {}),
        (sa.Double(), "float", {}),
        (sa.Float(53), "float", {}),
        (sa.Numeric(12, 2), "decimal", {"precision": 12, "scale": 2}),
        (sa.Numeric(12), "decimal", {"precision": 12, "scale": 0}),
        (sa.String(20), "string", {"length": 20}),
        (sa.Text(), "text", {"length": 65535}),
        (sa.LargeBinary(), "bytes", {"length": 65535}),
        (sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb"), "text", {"length": 16777215}),
        (sa.Date(), "date", {}),
        (sa.Time().with_variant(mysql.TIME(fsp=6), "mysql", "mariadb"), "time", {}),
        (sa.Uuid(), "uuid", {}),
        (sa.JSON(), "json", {}),
        (sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), "json", {"binary": True}),
        (sa.Enum("a", "b", name="x"), "enum", {"values": ["a", "b"]}),
        (mysql.INTEGER(unsigned=True), "integer", {"unsigned": True}),
        (mysql.BIGINT(unsigned=True), "bigint", {"unsigned": True}),
        (
            sa.SmallInteger().with_variant(mysql.TINYINT(unsigned=True), "mysql", "mariadb"),
            "smallint",
            {"bits": 8, "unsigned": True},
        ),
    ],
)
def test_a_type_is_this_on_every_engine(type_, name, params):
    found = portable(type_, ENGINES)
    assert (found.type, found.params, found.problems) == (name, params, ())


def test_an_enum_names_its_class_and_the_values_that_are_stored():
    plain = portable(sa.Enum(Colour), ENGINES)
    assert plain.params == {"values": ["red", "blue"], "enum": f"{__name__}:Colour"}
    by_value = sa.Enum(Colour, values_callable=lambda members: [m.value for m in members])
    params = portable(by_value, ENGINES).params
    assert (params["values"], params["members"]) == (["R", "B"], {"R": "red", "B": "blue"})


class _Outer:
    class Inner(enum.Enum):
        one = 1


def test_an_enum_within_a_class_is_named_by_its_path_and_one_within_a_function_by_its_labels():
    class Hidden(enum.Enum):
        one = 1

    assert portable(sa.Enum(_Outer.Inner), ENGINES).params["enum"] == f"{__name__}:_Outer.Inner"
    assert portable(sa.Enum(Hidden), ENGINES).params == {"values": ["one"]}
    functional = enum.Enum("Other", ["one"], module=__name__)  # bound to another name than its own
    assert portable(sa.Enum(functional), ENGINES).params == {"values": ["one"]}


@pytest.mark.parametrize(
    ("type_", "name", "params"),
    [
        (mysql.MEDIUMINT(unsigned=True), "integer", {"bits": 24, "unsigned": True}),
        (mysql.DECIMAL(8, 2, unsigned=True), "decimal", {"precision": 8, "scale": 2, "unsigned": True}),
        (mysql.YEAR(), "year", {}),
        (mysql.BIT(), "bit", {"length": 1}),
        (mysql.SET("a", "b"), "set", {"values": ["a", "b"]}),
        (sa.BINARY(16), "bytes", {"length": 16, "fixed": True}),
    ],
)
def test_mysql_and_mariadb_take_more(type_, name, params):
    found = portable(type_, ["mysql", "mariadb", "galera"])
    assert (found.type, found.params, found.problems) == (name, params, ())


@pytest.mark.parametrize(
    ("type_", "name", "params"),
    [
        (sa.Text(), "text", {}),
        (sa.String(), "text", {}),
        (sa.LargeBinary(), "bytes", {}),
        (sa.DateTime(), "datetime", {"timezone": False}),
        (sa.DateTime(timezone=True), "datetime", {"timezone": True}),
        (sa.Interval(), "interval", {}),
        (sa.Numeric(30, 10), "decimal", {"precision": 30, "scale": 10}),
        (sa.Numeric(), "decimal", {}),
        (postgresql.CITEXT(), "citext", {}),
        (postgresql.INET(), "inet", {}),
        (sa.ARRAY(sa.String(5)), "array", {"item": {"type": "string", "params": {"length": 5}}}),
    ],
)
def test_postgresql_alone_takes_more(type_, name, params):
    found = portable(type_, ["postgresql"])
    assert (found.type, found.params, found.problems) == (name, params, ())


class Shouting(sa.TypeDecorator[str]):
    impl = sa.String(10)
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return value.upper()


class Email(sa.TypeDecorator[str]):
    impl = sa.String(255)
    cache_ok = True


@pytest.mark.parametrize(
    ("type_", "where", "resolution"),
    [
        (sa.Time(timezone=True), "postgresql", "models.PreciseTime"),
        (sa.String(), "mysql, mariadb, galera", "models.LongText"),
        (sa.ARRAY(sa.Integer), "mysql, mariadb, galera, sqlite", "JSON"),
        (postgresql.JSONB(), "mysql, mariadb, galera, sqlite", "models.Json"),
        (postgresql.CITEXT(), "mysql, mariadb, galera, sqlite", "String(length)"),
        (sa.UUID(), "mysql, sqlite", "Uuid"),
        (mysql.LONGTEXT(), "postgresql, sqlite", "models.LongText"),
        (mysql.YEAR(), "postgresql, sqlite", "SmallInteger"),
        (mysql.BIT(4), "postgresql, sqlite", "BigInteger"),
        (mysql.TINYINT(), "postgresql, sqlite", "SmallInteger().with_variant(mysql.TINYINT()"),
        (mysql.MEDIUMINT(), "postgresql, sqlite", "Integer().with_variant(mysql.MEDIUMINT()"),
        (mysql.SET("a", "b"), "postgresql, sqlite", "JSON"),
        (mysql.SET("a", "", retrieve_as_bitwise=True), "mysql, mariadb, galera", "name it"),
        (sa.BINARY(16), "postgresql", "LargeBinary"),
        (sa.Interval(), "mysql, mariadb, galera, sqlite", "one type for all"),
        (sa.Integer().with_variant(sa.String(9), "sqlite"), "sqlite", "one type for all"),
    ],
)
def test_what_an_engine_has_no_type_for_is_refused_with_a_resolution(type_, where, resolution):
    problems = portable(type_, ["postgresql", "mysql", "mariadb", "galera", "sqlite"]).problems
    assert any(f" on {where} " in text and resolution in text for text in problems), problems


def test_what_only_a_writer_could_lose_is_refused_to_writers():
    found = portable(sa.Enum("a", "", name="x"), ENGINES)
    assert found.problems == ()
    assert "has an empty label" in found.writing[0]
    assert "rounds" in portable(mysql.FLOAT(10, 2), ["mysql"]).writing[0]


@pytest.mark.parametrize(
    ("type_", "engines", "name", "params"),
    [
        (sa.DateTime(), ENGINES, "datetime", {"timezone": False, "precision": 0}),
        (sa.DateTime(timezone=True), ["mysql", "sqlite"], "datetime", {"timezone": False, "precision": 0}),
        (sa.DateTime(timezone=True), ["postgresql", "sqlite"], "datetime", {"timezone": True}),
        (mysql.TIMESTAMP(fsp=6), ["mysql"], "datetime", {"timezone": False}),
        (sa.TIMESTAMP(), ["mariadb"], "datetime", {"timezone": False, "precision": 0}),
        (postgresql.TIMESTAMP(precision=3), ["postgresql"], "datetime", {"timezone": False, "precision": 3}),
        (sa.Time(), ENGINES, "time", {"precision": 0}),
        (sa.Interval(), ["mariadb"], "datetime", {"timezone": False, "precision": 0}),
        (sa.CHAR(3), ENGINES, "string", {"length": 3, "fixed": True}),
        (sa.CHAR(), ENGINES, "string", {"length": 1, "fixed": True}),
        (sa.Uuid(native_uuid=False), ENGINES, "string", {"length": 32, "fixed": True}),
        (sa.Float(), ["postgresql", "sqlite"], "float", {}),
        (sa.Float(24), ["postgresql"], "float", {"digits": 6}),
        (sa.REAL(), ["postgresql"], "float", {"digits": 6}),
        (sa.REAL(), ["mysql"], "float", {}),
        (sa.Float(), ENGINES, "float", {"digits": 6, "single": True}),
        (sa.Float(53), ENGINES, "float", {}),
        (sa.Numeric(), ENGINES, "decimal", {"precision": 10, "scale": 0}),
        (sa.Numeric(20, 4), ["sqlite"], "decimal", {"precision": 15, "scale": 4}),
        (sa.BigInteger().with_variant(sa.Integer(), "sqlite"), ENGINES, "bigint", {}),
        (sa.BigInteger().with_variant(sa.Integer(), "mysql"), ["postgresql", "mysql"], "integer", {}),
        (sa.BigInteger(), ["sqlite"], "bigint", {}),
        (sa.Text().with_variant(sa.String(90), "mysql"), ["postgresql", "mysql"], "string", {"length": 90}),
        (sa.PickleType(), ["sqlite"], "bytes", {}),
        (Shouting(), ENGINES, "string", {"length": 10}),
    ],
)
def test_what_an_engine_holds_less_of_is_taken_within_its_limits(type_, engines, name, params):
    found = portable(type_, engines)
    assert (found.type, found.params, found.problems, found.writing) == (name, params, (), ())


def test_a_type_that_converts_in_python_is_its_stored_form_and_a_note_says_so():
    [note] = portable(Shouting(), ENGINES).notes
    assert note.startswith(f"{__name__}:Shouting on ")
    assert note.endswith(" converts values in Python: services see what is stored, string")
    assert portable(Email(), ENGINES).notes == ()
    [zone] = portable(sa.DateTime(timezone=True), ["postgresql", "sqlite"]).notes
    assert "on sqlite keeps no zone" in zone


class ByEngine(sa.TypeDecorator[str]):
    """A UUID where there is such a type, else its digits."""

    impl = sa.CHAR(32)
    cache_ok = True

    def load_dialect_impl(self, dialect):
        return dialect.type_descriptor(sa.UUID() if dialect.name == "postgresql" else sa.CHAR(32))


def test_the_type_that_a_decorator_chooses_for_an_engine_counts():
    assert portable(ByEngine(), ["postgresql"]).type == "uuid"
    assert portable(ByEngine(), ["sqlite"]).params == {"length": 32, "fixed": True}
    assert "`types` of ringfence.toml" in portable(ByEngine(), ["postgresql", "sqlite"]).problems[0]


@pytest.mark.parametrize(
    ("type_", "to", "engines", "name", "params"),
    [
        (ByEngine(), "Uuid", ["postgresql", "sqlite", "mariadb"], "uuid", {}),
        (sa.Text(), "Json", ["sqlite", "mariadb"], "json", {"binary": True}),
        (
            sa.DateTime(timezone=True),
            "Timestamp",
            ["sqlite", "mariadb"],
            "datetime",
            {"timezone": True, "precision": 0},
        ),
        (sa.BigInteger(), "Duration", ["sqlite"], "interval", {}),
        (sa.String(80), "String(20)", ["postgresql"], "string", {"length": 20}),
    ],
)
def test_a_type_is_seen_as_the_deployment_maps_it(type_, to, engines, name, params):
    map_type(type_, parse_type(to))
    found = portable(type_, engines)
    assert (found.type, found.params, found.problems, found.notes) == (name, params, (), ())
    map_type(type_, None)
    assert portable(type_, engines).type != "interval"


@pytest.mark.parametrize(
    ("type_", "to", "engine", "why"),
    [
        (sa.DateTime(), "Timestamp", "postgresql", "without a zone, so map it to DateTime"),
        (sa.String(36), "Uuid", "sqlite", "cannot be kept in it"),
        (sa.Text(), "Json", "postgresql", "cannot be kept in it"),
        (sa.Integer(), "Date", "sqlite", "cannot be kept in it"),
    ],
)
def test_a_mapping_that_the_column_cannot_keep_is_refused(type_, to, engine, why):
    map_type(type_, parse_type(to))
    assert why in portable(type_, [engine]).problems[0]


def test_a_decorator_that_only_names_a_type_is_that_type():
    assert portable(Email(), ENGINES).params == {"length": 255}


def test_sqlite_counts_up_integers_alone():
    table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.BigInteger, primary_key=True))
    good = sa.Table("t", sa.MetaData(), sa.Column("id", models.BigKey(), primary_key=True))
    assert needs_integer_key(table.c.id, ["sqlite"])
    assert not needs_integer_key(table.c.id, ["postgresql"])
    assert not needs_integer_key(good.c.id, ["sqlite"])


class Base(models.Base):
    __abstract__ = True
    metadata = sa.MetaData(naming_convention=models.NAMING)


class Thing(models.UuidKey, models.CreatedUpdatedDeleted, models.SyncTimes, Base):
    __tablename__ = "things"
    __table_args__ = (sa.CheckConstraint("size > 0", name="size"), sa.UniqueConstraint("name", "size"))

    name: Mapped[str] = mapped_column(sa.String(20), index=True)
    size: Mapped[int]
    parent_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("things.id"))
    moment: Mapped[dt.datetime]
    fraction: Mapped[float]


def test_every_constraint_has_a_name():
    table = Thing.metadata.tables["things"]
    assert {item.name for item in table.constraints} == {
        "pk_things",
        "uq_things_name_size",
        "fk_things_parent_id_things",
        "ck_things_size",
    }
    assert "ix_things_name" in {index.name for index in table.indexes}


def test_python_types_get_columns_that_keep_them():
    columns = Thing.metadata.tables["things"].columns
    assert isinstance(columns.moment.type, models.Timestamp)
    assert isinstance(columns.fraction.type, sa.Double)


def test_the_mixins_bring_their_columns():
    table = Thing.metadata.tables["things"]
    syncs = [
        "sync_start_min_datetime",
        "sync_end_max_datetime",
        "sync_last_start_datetime",
        "sync_last_end_datetime",
    ]
    for name in [*syncs, "deleted_at"]:
        assert table.c[name].nullable
        assert table.c[name].index
    assert next(iter(table.columns)).name == "id"
    assert generators.name_of(table.c.updated_at.onupdate.arg.__wrapped__) == "now"


@pytest.mark.parametrize(
    ("type_", "value", "resolution"),
    [
        (models.Timestamp(), dt.datetime(2026, 1, 1), "NaiveTimestamp"),
        (models.NaiveTimestamp(), dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "Timestamp"),
        (models.PreciseTime(), dt.time(1, tzinfo=dt.UTC), "naive"),
    ],
)
def test_a_zone_is_neither_guessed_nor_lost(type_, value, resolution):
    with pytest.raises(ValueError, match=resolution):
        type_.process_bind_param(value, sa.create_engine("sqlite://").dialect)


@pytest.mark.parametrize(
    ("type_", "engine"),
    [
        (sa.CHAR(12), "postgresql"),
        (sa.CHAR(3), "mysql"),
        (sa.DateTime(), "mysql"),
        (sa.Time(), "mysql"),
        (sa.Float(), "mysql"),
    ],
)
def test_a_made_up_value_is_one_that_the_column_gives_back(type_, engine):
    form = portable(type_, [engine])
    made = [value(form.type, form.params, number, "a_column") for number in (1, 2, 99)]
    for each in made:
        assert getattr(each, "microsecond", 0) == 0
        assert form.type != "string" or len(each) == type_.length
    assert len(set(made)) == 3


def test_a_generated_decimal_has_as_many_digits_as_its_column():
    assert str(value("decimal", {"precision": 65, "scale": 30}, 7, "a")) == "7." + "0" * 30
    assert value("decimal", {"precision": 2, "scale": 2}, 7, "a") == Decimal(0)
