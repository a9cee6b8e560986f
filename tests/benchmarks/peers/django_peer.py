"""Django's ORM, with USE_TZ and connections that stay open."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import django
from django.conf import settings

from benchmarks import data
from benchmarks.data import Row
from benchmarks.peers.base import Peer
from benchmarks.place import Place

_ENGINES = {
    "postgresql": "django.db.backends.postgresql",
    "mysql": "django.db.backends.mysql",
    "sqlite": "django.db.backends.sqlite3",
}


class DjangoPeer(Peer):
    """Models made outside an application, which is all that the ORM needs."""

    name = "django"
    notes = ("Django on MariaDB uses PyMySQL, as all others here, in the place of mysqlclient",)

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        configure(place)
        from django.db import connection, transaction

        self.connection, self.transaction = connection, transaction
        self.models = {table: self.model(table, columns) for table, columns in data.COLUMNS.items()}
        for table in ("entry", "event"):
            self.models[table] = self.model(table, data.COLUMNS["item"])

    def model(self, table: str, columns: Any) -> Any:
        """An unmanaged model of a table."""
        from django.apps import apps
        from django.db import models

        if table in apps.all_models["benchmark"]:
            return apps.all_models["benchmark"][table]
        makers: dict[str, Any] = {
            "int": models.BigIntegerField,
            "uuid": models.UUIDField,
            "str": lambda: models.CharField(max_length=200, null=True),
            "decimal": lambda: models.DecimalField(max_digits=12, decimal_places=2),
            "bool": models.BooleanField,
            "float": models.FloatField,
            "moment": models.DateTimeField,
        }
        fields: dict[str, Any] = {name: makers[kind]() for name, kind in columns.items() if name != "id"}
        for name, target in (("product_id", "Product"), ("maker_id", "Maker")):
            if name in fields:
                del fields[name]
                fields[name.removesuffix("_id")] = models.ForeignKey(target, models.DO_NOTHING)
        fields["id"] = models.AutoField(primary_key=True)
        meta = type("Meta", (), {"app_label": "benchmark", "db_table": table, "managed": False})
        return type(
            table.title(), (models.Model,), {**fields, "Meta": meta, "__module__": "benchmark.models"}
        )

    def close(self) -> None:
        """See Peer."""
        self.connection.close()

    @contextlib.contextmanager
    def unit(self, commit: bool = False) -> Iterator[None]:
        """See Peer."""
        with self.transaction.atomic():
            yield
            if not commit:
                self.transaction.set_rollback(True)

    def one_row(self, key: int) -> Any:
        """See Peer."""
        return self.models["item"].objects.get(pk=key)

    def rows(self, count: int) -> Any:
        """See Peer."""
        return list(self.models["item"].objects.filter(id__lte=count))

    def wide(self) -> Any:
        """See Peer."""
        return list(self.models["wide"].objects.all())

    def join(self) -> Any:
        """See Peer."""
        columns = ("id", "quantity", "sold_at", "product__name", "product__price", "product__maker__name")
        return list(self.models["sale"].objects.values_list(*columns))

    def stream(self) -> Iterable[Any]:
        """See Peer."""
        return self.models["event"].objects.iterator(chunk_size=2000)  # type: ignore[no-any-return]

    def insert_one(self, row: Row) -> Any:
        """See Peer."""
        return self.models["entry"].objects.create(**row).pk

    def insert_many(self, rows: list[Row]) -> Any:
        """See Peer."""
        entry = self.models["entry"]
        return entry.objects.bulk_create([entry(**row) for row in rows], batch_size=1000)

    def update(self, key: int, row: Row) -> Any:
        """See Peer."""
        return self.models["item"].objects.filter(pk=key).update(price=row["price"], active=row["active"])

    def upsert(self, row: Row) -> Any:
        """See Peer."""
        counter = self.models["counter"]
        unique = {} if self.place.db_type == "mysql" else {"unique_fields": ["name"]}
        counter.objects.bulk_create(
            [counter(**row)], update_conflicts=True, update_fields=["value", "changed"], **unique
        )

    def session(self) -> None:
        """See Peer."""
        with self.transaction.atomic(), self.connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchall()

    def empty_session(self) -> None:
        """See Peer."""
        with self.transaction.atomic():
            pass

    def request(self, key: int) -> dict[str, Any]:
        """See Peer."""
        with self.transaction.atomic():
            item = self.models["item"].objects.get(pk=key)
        return {name: getattr(item, name) for name in data.ITEM}

    def joined(self, row: Any) -> tuple[Any, ...]:
        """See Peer."""
        return tuple(row)


def configure(place: Place) -> None:
    """Django's settings, which a process has once; a later place replaces the database alone."""
    login = place.login
    database = {"ENGINE": _ENGINES[place.db_type], "NAME": login.pop("database"), "CONN_MAX_AGE": None}
    database |= {name.upper(): value for name, value in login.items()}
    if place.db_type == "mysql":
        import pymysql

        pymysql.version_info = (2, 2, 1, "final", 0)  # Django asks for mysqlclient's version
        pymysql.install_as_MySQLdb()
    if settings.configured:
        from django.db import connections

        connections.close_all()
        connections.databases["default"].update(database)
        del connections["default"]
        return
    settings.configure(DATABASES={"default": database}, USE_TZ=True, TIME_ZONE="UTC", INSTALLED_APPS=[])
    django.setup()
    if place.db_type == "postgresql":
        _keep_uuids_apart()


def _keep_uuids_apart() -> None:
    """Give UUIDs to Django's own connections alone: it teaches psycopg2 as a whole, and so all other peers."""
    import psycopg2.extensions
    import psycopg2.extras
    from django.db import connection
    from django.db.backends.signals import connection_created

    assert connection.vendor == "postgresql"  # its backend is loaded by now
    uuids = (2950, 2951)  # the type's number, and its array's
    for number in uuids:
        psycopg2.extensions.string_types.pop(number, None)

    def teach(connection: Any, **_: Any) -> None:
        psycopg2.extras.register_uuid(conn_or_curs=connection.connection)

    connection_created.connect(teach, weak=False)
