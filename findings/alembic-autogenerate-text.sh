#!/usr/bin/env bash
# Alembic 1.20.1 with SQLAlchemy 2.1.9: two things that autogenerate writes are not what the models say.
#   server_default="'x'", a text of three characters, is written as server_default='x', of one: the quotes are cut off.
#   JSON().with_variant(postgresql.JSONB(), "postgresql"), compared on SQLite, is written with a bare `Text()`, which the
#   revision does not import: NameError when it runs. (Compared on PostgreSQL it is sa.Text().)
# Seen:
#   sa.Column('quoted', sa.String(length=9), server_default='x', nullable=True)
#   sa.Column('doc', sa.JSON().with_variant(postgresql.JSONB(astext_type=Text()), 'postgresql'), nullable=True)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet alembic==1.20.1 sqlalchemy==2.1.9
"$folder/venv/bin/python" - <<'PY'
import sqlalchemy as sa
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects import postgresql

models = sa.MetaData()
sa.Table(
    "t",
    models,
    sa.Column("quoted", sa.String(9), server_default="'x'"),
    sa.Column("doc", sa.JSON().with_variant(postgresql.JSONB(), "postgresql")),
)
with sa.create_engine("sqlite://").connect() as connection:
    context = MigrationContext.configure(connection)
    imports = set()
    text = render_python_code(
        produce_migrations(context, models).upgrade_ops, migration_context=context, imports=imports
    )
print(text)
assert "server_default='x'" in text, "the quotes are kept now"
assert "JSONB(astext_type=Text())" in text, "the inner type has its prefix now"
PY
