#!/usr/bin/env bash
# psycopg2 2.9.13: a length of time comes as another one where a role, a database or the server sets IntervalStyle.
# psycopg2 reads the style `postgres` alone, sets none, and raises nothing for two of the three others; the texts are those of
# PostgreSQL's manual, 8.5.5 "Interval Output" (`ALTER ROLE … SET intervalstyle = sql_standard` is all it takes).
# Seen:
#   postgres          3 days 04:05:06                     -> 3 days, 4:05:06
#   sql_standard      3 4:05:06                           -> 1 day, 10:05:06
#   postgres_verbose  @ 3 days 4 hours 5 mins 6 secs      -> 3 days, 0:00:00
#   iso_8601          P3DT4H5M6S                          -> NotSupportedError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet psycopg2-binary==2.9.13
"$folder/venv/bin/python" - <<'PY'
import datetime as dt

from psycopg2 import NotSupportedError
from psycopg2.extensions import PYINTERVAL

right = dt.timedelta(days=3, hours=4, minutes=5, seconds=6)
texts = {
    "postgres": "3 days 04:05:06",
    "sql_standard": "3 4:05:06",
    "postgres_verbose": "@ 3 days 4 hours 5 mins 6 secs",
    "iso_8601": "P3DT4H5M6S",
}
read = {}
for style, text in texts.items():
    try:
        read[style] = PYINTERVAL(text, None)
    except NotSupportedError:
        read[style] = "NotSupportedError"
    print(f"{style:<17} {text:<35} -> {read[style]}")
assert read["postgres"] == right
assert read["sql_standard"] == dt.timedelta(days=1, hours=10, minutes=5, seconds=6), "read otherwise now"
assert read["postgres_verbose"] == dt.timedelta(days=3), "read otherwise now"
assert read["iso_8601"] == "NotSupportedError", "read now"
PY
