#!/usr/bin/env bash
# PyDAL 20260520.0: what export_to_csv_file writes, import_from_csv_file reads back as something else, or not at all.
#   a datetime loses its microseconds (the export cuts isoformat() at 19 characters);
#   a JSON object is written as Python's repr, and stored as a text that says so;
#   bytes are written as b'…' (the repr of base64), and cannot be read back.
# Seen:
#   wrote  x.made,x.info,x.data -> 2026-01-31 14:30:00,"{'a': [1, None]}",b'AP8='
#   read   info is "{'a': [1, None]}"
#   read   data is b'l\x03\xfc', where b'\x00\xff' was written
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pydal==20260520.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import datetime as dt
import io

from pydal import DAL, Field
from pydal.objects import Row, Rows

db = DAL("sqlite:memory")
db.define_table("x", Field("made", "datetime"), Field("info", "json"), Field("data", "blob"))
table = db.x
fields = [table.made, table.info, table.data]
values = {"made": dt.datetime(2026, 1, 31, 14, 30, 0, 5), "info": {"a": [1, None]}, "data": b"\x00\xff"}
# As a select gives them, with an adapter that keeps microseconds and bytes.
rows = Rows(db, [Row(x=Row(**values))], ["x.made", "x.info", "x.data"], fields=fields)
file = io.StringIO(newline="")
rows.export_to_csv_file(file)
text = file.getvalue()
print("wrote ", " -> ".join(text.split("\r\n")[:2]))
assert "14:30:00," in text, "fractions are kept now"
assert "{'a': [1, None]}" in text, "JSON is written as JSON now"
assert "b'AP8='" in text, "bytes are written as plain base64 now"
without = "x.info\r\n" + '"{\'a\': [1, None]}"' + "\r\n"
table.import_from_csv_file(io.StringIO(without, newline=""))
found = db(table).select().first().info
print("read   info is", repr(found))
assert found == "{'a': [1, None]}", "JSON is read back now"
table.import_from_csv_file(io.StringIO("x.data\r\nb'AP8='\r\n", newline=""))
read = db(table.data != None).select().first().data  # noqa: E711
print("read   data is", repr(read))
assert read == b"l\x03\xfc", "bytes are read back otherwise now"
PY
