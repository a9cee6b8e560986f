"""SQLAlchemy Core: import, an engine, then a Table for each table."""

import json
import sys
import time
from pathlib import Path

given = json.loads(Path(sys.argv[1]).read_text())
begin = time.perf_counter()
__import__(given["driver"])
import sqlalchemy as sa  # noqa: E402

TYPES = {
    "int": sa.Integer(), "uuid": sa.Uuid(), "str": sa.String(40), "decimal": sa.Numeric(12, 2), "bool": sa.Boolean(),
    "moment": sa.DateTime(timezone=True),
}  # fmt: skip
engine = sa.create_engine(given["url"])
metadata = sa.MetaData()
for table, columns in given["tables"].items():
    made = [sa.Column(name, TYPES[kind]) for name, kind in columns.items()]
    sa.Table(table, metadata, sa.Column("id", sa.Integer, primary_key=True), *made)
print(json.dumps({"total": time.perf_counter() - begin}))
