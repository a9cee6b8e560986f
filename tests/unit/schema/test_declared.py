"""A type that the engine at hand does not keep apart is altered for those that do."""

import pytest
import sqlalchemy as sa

from ringfence.schema import models
from ringfence.schema.autogenerate.declared_types import retyped


def columns(**kinds):
    metadata = sa.MetaData()
    sa.Table("t", metadata, *(sa.Column(name, kind) for name, kind in kinds.items()))
    return metadata.tables


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (sa.JSON(), models.Json()),
        (models.NaiveTimestamp(), models.Timestamp()),
        (sa.Integer(), models.BigKey()),
        (sa.Text(), models.LongText()),
    ],
)
def test_a_type_that_another_dialect_makes_otherwise_is_altered(old, new):
    (table,) = retyped(columns(a=new), {"t": {"a": old}}, ["postgresql", "mysql", "mariadb"], ())
    (alter,) = table.ops
    assert (alter.table_name, alter.column_name, alter.modify_type, alter.existing_type) == (
        "t",
        "a",
        new,
        old,
    )
    assert not retyped(columns(a=new), {"t": {"a": old}}, ["sqlite"], ())


def test_what_is_spelled_alike_or_known_or_undeclared_is_left():
    tables = columns(a=sa.String(9), b=sa.JSON())
    assert not retyped(tables, {"t": {"a": sa.VARCHAR(9)}}, ["postgresql", "mysql"], ())
    assert not retyped(tables, {"t": {"b": models.Json()}}, ["postgresql"], {("t", "b")})
    assert not retyped(tables, {}, ["postgresql"], ())
