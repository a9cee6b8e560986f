"""Django: import, setup, then a model for each table."""

import json
import sys
import time
from pathlib import Path

given = json.loads(Path(sys.argv[1]).read_text())
begin = time.perf_counter()
__import__(given["driver"])
import django  # noqa: E402
from django.conf import settings  # noqa: E402

if given["db_type"] == "mysql":
    import pymysql

    pymysql.version_info = (2, 2, 1, "final", 0)  # Django asks for mysqlclient's version
    pymysql.install_as_MySQLdb()
backend = {"sqlite": "sqlite3"}.get(given["db_type"], given["db_type"])
settings.configure(
    DATABASES={"default": {"ENGINE": f"django.db.backends.{backend}", "NAME": given["env"]["DB_NAME"]}},
    USE_TZ=True,
    INSTALLED_APPS=[],
)
django.setup()
from django.db import models  # noqa: E402

TYPES = {
    "int": models.IntegerField,
    "uuid": models.UUIDField,
    "str": lambda: models.CharField(max_length=40),
    "decimal": lambda: models.DecimalField(max_digits=12, decimal_places=2),
    "bool": models.BooleanField,
    "moment": models.DateTimeField,
}
for table, columns in given["tables"].items():
    made = {name: TYPES[kind]() for name, kind in columns.items()}
    meta = type("Meta", (), {"app_label": "cold", "db_table": table})
    type(
        table.title(),
        (models.Model,),
        {"id": models.AutoField(primary_key=True), **made, "Meta": meta, "__module__": "cold.models"},
    )
print(json.dumps({"total": time.perf_counter() - begin}))
