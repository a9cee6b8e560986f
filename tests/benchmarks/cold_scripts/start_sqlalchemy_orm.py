"""SQLAlchemy ORM: import, an engine, then a mapped class for each table."""

import json
import sys
import time
from pathlib import Path

given = json.loads(Path(sys.argv[1]).read_text())
begin = time.perf_counter()
__import__(given["driver"])
import sqlalchemy as sa  # noqa: E402
from sqlalchemy.orm import DeclarativeBase, configure_mappers, mapped_column  # noqa: E402

TYPES = {
    "int": sa.Integer(), "uuid": sa.Uuid(), "str": sa.String(40), "decimal": sa.Numeric(12, 2), "bool": sa.Boolean(),
    "moment": sa.DateTime(timezone=True),
}  # fmt: skip


class Base(DeclarativeBase):
    """The root of the models."""


engine = sa.create_engine(given["url"])
for table, columns in given["tables"].items():
    made = {name: mapped_column(TYPES[kind]) for name, kind in columns.items()}
    key = mapped_column(sa.Integer, primary_key=True)
    type(table.title(), (Base,), {"__tablename__": table, "id": key, **made})
configure_mappers()
print(json.dumps({"total": time.perf_counter() - begin}))
