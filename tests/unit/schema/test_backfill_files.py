"""The backfills that `ringfence revision` writes: their file runs as it is where the models have a default."""

from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from uuid import UUID

import pytest
import sqlalchemy as sa

from ringfence.runtime.values import generators
from ringfence.schema.autogenerate.arranger import Fill
from ringfence.schema.backfills.declared import write_backfills
from ringfence.schema.deployment import Deployment


def written(root: Path, column: sa.Column) -> dict[str, object]:
    """What the file of a column's backfill defines."""
    sa.Table("thing", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), column)
    made = Deployment(
        root=root,
        name="shop",
        engines=("sqlite",),
        migrations=root / "migrations",
        mirrors=root / "mirrors",
        metadata=(),
        tables=MappingProxyType({}),
        accounts=MappingProxyType({}),
    )
    [(path, to_complete)] = write_backfills(made, [Fill(None, "thing", column)]).items()
    assert not to_complete
    defined: dict[str, object] = {}
    exec(compile(path.read_text(), str(path), "exec"), defined)  # noqa: S102  # as the job does
    return defined


def test_a_generated_default_is_made_for_each_row(tmp_path):
    column = sa.Column("code", sa.Uuid(), default=generators.uuid4, nullable=False)
    backfill = written(tmp_path, column)["backfill"]
    assert isinstance(backfill.each({})["code"], UUID)


@pytest.mark.parametrize("value", [3, "x", Decimal("1.50"), True])
def test_a_constant_default_is_set_in_all_rows(tmp_path, value):
    column = sa.Column("code", sa.JSON(), default=value, nullable=False)
    assert written(tmp_path, column)["backfill"].set == {"code": value}
