#!/usr/bin/env bash
# SQLite 3.54.1 by apsw 3.54.1.0 (and 3.40.1 of Python 3.11): what an authorizer is asked about a statement that reads a
# view depends on which column that is. The last argument of SQLITE_READ should name the view for whose sake a table is read, and
# does for each column in the view's own text. But where the statement needs the INTEGER PRIMARY KEY alone, or counts
# rows, the authorizer is asked once more for the table itself, with an empty column and no view. So a rule "who may read
# the view may read what is read for it" lets `SELECT name FROM shown` pass and refuses `SELECT id FROM shown`, though the
# documentation has the empty column for tables that a statement refers to, and this one refers to a view alone.
#
# Expected beforehand: every read of the table names the view.
# Seen:
#   SELECT name FROM shown: [('customer', 'id', 'shown'), ('customer', 'name', 'shown'), ('shown', 'name', None)]
#   SELECT id FROM shown: [('customer', '', None), ('customer', 'id', 'shown'), ('customer', 'name', 'shown'),
#     ('shown', 'id', None)]
#
# Exits 0 while it is so, 1 when the behaviour has changed, 2 when the package cannot be had.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check apsw==3.54.1.0 || exit 2
"$folder/venv/bin/python" - <<'PY'
import sys

import apsw

connection = apsw.Connection(":memory:")
connection.execute(
    "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT);"
    "CREATE VIEW shown AS SELECT id, name FROM customer WHERE id > 10"
)


def reads(sql):
    seen = set()

    def asked(operation, table, column, database, view):
        if operation == apsw.SQLITE_READ:
            seen.add((table, column, view))
        return apsw.SQLITE_OK

    connection.authorizer = asked
    list(connection.execute(sql))
    found = sorted(seen, key=repr)
    print(f"{sql}: {found}")
    return found


by_name, by_key, counted = (
    reads(f"SELECT {what} FROM shown") for what in ("name", "id", "count(*)")
)
bare = ("customer", "", None)
sys.exit(not (bare not in by_name and bare in by_key and bare in counted))
PY
