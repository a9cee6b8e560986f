#!/usr/bin/env bash
# alembic 1.20.1 with SQLAlchemy 2.1.9 and psycopg2-binary 2.9.13: a CHECK whose text holds a colon before a word, or a
# percent sign, is written into a revision as another CHECK, without a warning. `sqlalchemy.text` wants such a colon
# escaped (`\:x`); autogenerate compiles the expression, which takes the escape away and doubles percent signs, and
# writes the result as a text again, where `:x` is a parameter. The table that the revision makes refuses other rows.
# The same happens to Computed and to the WHERE of an index.
#
# Seen:
#   models:   CHECK (a <> ':x' AND a NOT LIKE '5%')
#   written:  sa.CheckConstraint("a <> ':x' AND a NOT LIKE '5%%'")
#   made:     CHECK (a <> 'NULL' AND a NOT LIKE '5%%')
#
# Exits 0 while it is so, 1 when the behaviour has changed, 2 when the packages cannot be had.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check alembic==1.20.1 sqlalchemy==2.1.9 psycopg2-binary==2.9.13 ||
  exit 2
"$folder/venv/bin/python" - <<'PY'
import sys

import sqlalchemy as sa
from alembic.autogenerate import render_op_text
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import CreateTableOp
from alembic.runtime.migration import MigrationContext
from sqlalchemy.schema import CreateTable

table = sa.Table("t", sa.MetaData(), sa.Column("a", sa.Text), sa.CheckConstraint(r"a <> '\:x' AND a NOT LIKE '5%'"))
dialect = sa.make_url("postgresql+psycopg2://").get_dialect()()


def check_of(table):
    """The text that is sent: the driver makes one percent sign of two."""
    (line,) = [line for line in str(CreateTable(table).compile(dialect=dialect)).splitlines() if "CHECK" in line]
    return line.strip().replace("%%", "%")


options = {"sqlalchemy_module_prefix": "sa.", "alembic_module_prefix": "op.", "user_module_prefix": None}
context = MigrationContext.configure(dialect=dialect, opts=options)
written = render_op_text(AutogenContext(context, metadata=table.metadata), CreateTableOp.from_table(table))
made = []


class op:
    """What the revision calls, kept instead of sent."""

    @staticmethod
    def create_table(name, *items):
        made.append(sa.Table(name, sa.MetaData(), *items))


exec(written)
before, after = check_of(table), check_of(made[0])
print("models: ", before, "\nwritten:", [line.strip() for line in written.splitlines() if "Check" in line], "\nmade:   ", after)
changed = (before, after) != ("CHECK (a <> ':x' AND a NOT LIKE '5%')", "CHECK (a <> 'NULL' AND a NOT LIKE '5%%')")
sys.exit(1 if changed else 0)
PY
