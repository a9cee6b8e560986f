"""Which enum types a script makes and drops, from its operations and the models alone."""

import sqlalchemy as sa
from alembic.operations import ops

from ringfence.schema.autogenerate.enums import enums_of


def _table(name: str, schema: str | None) -> sa.Table:
    mood = sa.Enum("ok", "sad", name="mood", schema=schema)
    return sa.Table(name, sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("m", mood))


def test_a_type_of_the_default_schema_is_one_type_however_the_models_name_it():
    declared = {name: {"m": _table(name, None).c.m.type} for name in ("a", "b")}
    for named in (None, "public"):
        stays = _table("a", named)
        found = [ops.DropTableOp.from_table(_table("b", None))]
        enums = enums_of(found, [stays.metadata], declared)
        assert (enums.created, enums.dropped) == ([], []), named


def test_a_type_of_another_schema_is_another_type():
    declared = {name: {"m": _table(name, None).c.m.type} for name in ("a", "b")}
    other = _table("a", "shop")
    enums = enums_of(
        [ops.DropTableOp.from_table(_table("b", None)), ops.CreateTableOp.from_table(other)],
        [other.metadata],
        {"b": declared["b"]},
    )
    assert [(one.name, one.schema) for one in enums.created] == [("mood", "shop")]
    assert [(one.name, one.schema) for one in enums.dropped] == [("mood", None)]
