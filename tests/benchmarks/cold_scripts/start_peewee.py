"""Peewee: import, then a model for each table."""

import json
import sys
import time
from pathlib import Path

given = json.loads(Path(sys.argv[1]).read_text())
begin = time.perf_counter()
__import__(given["driver"])
import peewee  # noqa: E402

TYPES = {
    "int": peewee.IntegerField, "uuid": peewee.UUIDField, "str": peewee.CharField, "decimal": peewee.DecimalField,
    "bool": peewee.BooleanField, "moment": peewee.DateTimeField,
}  # fmt: skip
for table, columns in given["tables"].items():
    made = {name: TYPES[kind]() for name, kind in columns.items()}
    type(table.title(), (peewee.Model,), {**made, "Meta": type("Meta", (), {"table_name": table})})
print(json.dumps({"total": time.perf_counter() - begin}))
