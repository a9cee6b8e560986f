"""What each engine is told of a default that is the present moment, and what a revision writes for it."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateColumn

from ringfence.schema import models
from ringfence.schema.autogenerate.hooks import render_item

DIALECTS = {"postgresql": postgresql.dialect(), "mysql": mysql.dialect(), "sqlite": sqlite.dialect()}
UTC_OF_MYSQL = "DATETIME(6) DEFAULT (UTC_TIMESTAMP(6))"
TEXT_OF_SQLITE = "DATETIME DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now'))"


def ddl(type_, default, engine):
    column = sa.Column("at", type_, server_default=default)
    sa.Table("t", sa.MetaData(), column)
    return str(CreateColumn(column).compile(dialect=DIALECTS[engine])).removeprefix("at ")


@pytest.mark.parametrize(
    ("type_", "default", "wanted"),
    [
        (models.Timestamp(), sa.func.now(), "TIMESTAMP WITH TIME ZONE DEFAULT now()"),
        (
            models.Timestamp,
            sa.func.current_timestamp(),
            "TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP",
        ),
        (models.Timestamp(), sa.text("(now())"), "TIMESTAMP WITH TIME ZONE DEFAULT now()"),
        (
            models.NaiveTimestamp(),
            sa.func.now(),
            "TIMESTAMP WITHOUT TIME ZONE DEFAULT timezone('utc', now())",
        ),
    ],
)
def test_now_is_the_moment_in_utc(type_, default, wanted):
    assert ddl(type_, default, "postgresql") == wanted
    assert ddl(type_, default, "mysql") == UTC_OF_MYSQL
    assert ddl(type_, default, "sqlite") == TEXT_OF_SQLITE


@pytest.mark.parametrize(
    ("type_", "default"),
    [
        (models.NaiveTimestamp(), sa.text("now()")),
        (models.Timestamp(), sa.text("CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)")),
        (models.Timestamp(), sa.text("'2030-01-01'")),
        (sa.DateTime(), sa.func.now()),
        (sa.DateTime(), sa.text("CURRENT_TIMESTAMP")),
    ],
)
def test_other_words_and_other_types_stay_what_they_are(type_, default):
    column = sa.Column("at", type_, server_default=default)
    sa.Table("t", sa.MetaData(), column)
    assert column.server_default.arg is default


def test_a_copy_of_a_table_keeps_it():
    table = sa.Table("t", sa.MetaData(), sa.Column("at", models.Timestamp, server_default=sa.func.now()))
    copied = table.to_metadata(sa.MetaData()).c.at
    assert isinstance(copied.server_default.arg, models.UtcNow)


@pytest.mark.parametrize("engine", DIALECTS)
@pytest.mark.parametrize(
    ("type_", "default", "written"),
    [
        (models.Timestamp, sa.func.now(), "ringfence.schema.models.UtcNow()"),
        (models.NaiveTimestamp, sa.func.now(), "ringfence.schema.models.UtcNow(aware=False)"),
        (
            models.Timestamp,
            sa.text("CURRENT_TIMESTAMP"),
            "ringfence.schema.models.UtcNow(words='CURRENT_TIMESTAMP')",
        ),
    ],
)
def test_a_revision_renders_it_independently_of_the_engine(type_, default, written, engine):
    column = sa.Column("at", type_, server_default=default)
    sa.Table("t", sa.MetaData(), column)
    context = AutogenContext(
        MigrationContext.configure(dialect=DIALECTS[engine], opts={}), autogenerate=False
    )
    context.imports = set()
    assert render_item("server_default", column.server_default, context) == written
    assert context.imports == {"import ringfence.schema.models"}
    again = eval(written.removeprefix("ringfence.schema."), {"models": models})  # noqa: S307 - what a revision runs
    assert (again.aware, again.words) == (column.server_default.arg.aware, column.server_default.arg.words)
