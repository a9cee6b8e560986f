#!/usr/bin/env bash
# SQLAlchemy 2.1.9, SQLite: of two computed columns in one table, the first is read with the rest of the statement as
# its expression, and the second with none:
#
#   CREATE TABLE t (a INTEGER, twice INTEGER GENERATED ALWAYS AS (a * 2) STORED, b INTEGER CHECK (b > 0),
#                   thrice INTEGER AS (a * 3))
#   twice   sqltext "a * 2) STORED, b INTEGER CHECK (b > 0), thrice INTEGER AS (a * 3"
#   thrice  sqltext ""
#
# What builds such a table anew from what was read, as Alembic's batch mode does, sends a statement that is no SQL.
# Exit 0: still so. Exit 1: it is read otherwise now.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q sqlalchemy==2.1.9
"$folder/venv/bin/python" - <<'PY'
import sqlalchemy as sa

with sa.create_engine("sqlite://").connect() as connection:
    connection.exec_driver_sql(
        "CREATE TABLE t (a INTEGER, twice INTEGER GENERATED ALWAYS AS (a * 2) STORED,"
        " b INTEGER CHECK (b > 0), thrice INTEGER AS (a * 3))"
    )
    read = {each["name"]: each.get("computed") for each in sa.inspect(connection).get_columns("t")}
print(read)
assert read["twice"]["sqltext"].endswith("thrice INTEGER AS (a * 3")
assert read["thrice"]["sqltext"] == ""
PY
