#!/usr/bin/env bash
# PyDAL 20260520.0: two things that a select gives and nobody asked for, or nothing where there is something.
#   A cast is taken for an alias: `CAST("t"."n" AS TEXT)` matches the pattern for `… AS name`, so the row has a column `TEXT)`.
#   `iterselect().as_trees()` is always empty: it goes through the rows twice, and the second time there are none.
# Seen:
#   row   {'t': {'id': 1}, 'TEXT)': '5', '_extra': {'CAST("t"."n" AS TEXT)': '5'}}
#   trees 1 of select, 0 of iterselect
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pydal==20260520.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from pydal import DAL, Field

db = DAL("sqlite:memory")
thing = db.define_table("t", Field("n", "integer"))
thing.insert(n=5)
row = db(thing).select(thing.id, thing.n.cast("text")).first().as_dict()
print("row  ", row)
assert row["TEXT)"] == "5", "no column of that name now"
tree = db.define_table("tree", Field("parent_id", "reference tree"), Field("name"))
root = tree.insert(name="root")
tree.insert(name="leaf", parent_id=root)
whole, streamed = (len(rows.as_trees()) for rows in (db(tree).select(), db(tree).iterselect()))
print("trees", whole, "of select,", streamed, "of iterselect")
assert (whole, streamed) == (1, 0), "streamed rows are trees now"
PY
