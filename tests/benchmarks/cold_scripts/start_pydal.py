"""PyDAL: import, then define_table for each table."""

import json
import sys
import time
from pathlib import Path

given = json.loads(Path(sys.argv[1]).read_text())
begin = time.perf_counter()
__import__(given["driver"])
from pydal import DAL, Field  # noqa: E402

TYPES = {
    "int": "integer", "uuid": "string", "str": "string", "decimal": "decimal(12,2)", "bool": "boolean",
    "moment": "datetime",
}  # fmt: skip
scheme = {"postgresql": "postgres:psycopg2", "mysql": "mysql", "sqlite": "sqlite"}[given["db_type"]]
uri = f"{scheme}://{given['url'].partition('://')[2].partition('?')[0]}"
dal = DAL(uri, migrate=False, migrate_enabled=False)
for table, columns in given["tables"].items():
    dal.define_table(table, *(Field(name, TYPES[kind]) for name, kind in columns.items()))
print(json.dumps({"total": time.perf_counter() - begin}))
dal.close()
