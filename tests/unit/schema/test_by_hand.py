"""A change that a person must write: in a file of plain Alembic too, which has to stay Python."""

import ast

from alembic.autogenerate.api import render_python_code
from alembic.operations import ops

from ringfence.schema.comparison.manual_changes import ManualChangeOp


def test_a_function_that_only_names_what_is_to_be_written_is_python():
    text = render_python_code(
        ops.UpgradeOps([ManualChangeOp("modify column song.title:\n options a, wanted b")])
    )
    assert "to be written by hand: modify column song.title: options a, wanted b" in text
    ast.parse(f"def upgrade():\n    {text}")
