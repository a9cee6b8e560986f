"""What the runtime assumes of its libraries beside their public faces holds for those that are installed."""

import hashlib
import importlib
import importlib.metadata
import inspect
import re
from pathlib import Path
from typing import Any

import flask
import pydal
import pytest
from pydal.helpers.classes import Reference
from pymysql import connections

from ringfence.runtime.dal import pydal_compat
from ringfence.runtime.engines.mysql import pymysql_compat
from ringfence.runtime.engines.postgresql.psycopg2_compat import LIBPQ


def pydal_class(name: str) -> Any:
    module, _, cls = name.rpartition(".")
    return getattr(importlib.import_module(f"pydal.{module}"), cls)


def test_pydal_is_the_version_that_was_checked() -> None:
    assert importlib.metadata.version("pydal") == pydal_compat.CHECKED


@pytest.mark.parametrize(
    ("cls", "method", "signature"),
    [(cls, *item) for cls, methods in pydal_compat.METHODS.items() for item in methods.items()],
)
def test_a_method_of_pydal_takes_what_it_took(cls: str, method: str, signature: str) -> None:
    assert str(inspect.signature(vars(pydal_class(cls))[method])) == signature


@pytest.mark.parametrize(("name", "digest"), pydal_compat.REPEATED.items())
def test_a_method_of_pydal_that_is_repeated_is_unchanged(name: str, digest: str) -> None:
    cls, _, method = name.rpartition(".")
    source = inspect.getsource(getattr(pydal_class(cls), method))
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == digest


def test_objects_of_pydal_have_the_attributes() -> None:
    dal = pydal.DAL("sqlite:memory", db_uid="ringfence-compat")
    table = dal.define_table("thing", pydal.Field("name"))
    objects = {
        "DAL": dal,
        "Table": table,
        "Field": table.name,
        "Expression": table.name + "x",
        "Select": dal(table).nested_select(table.name),
        "Reference": Reference(1),
    }
    objects["Reference"]._table = objects["Reference"]._record = None
    assert objects.keys() == pydal_compat.ATTRIBUTES.keys()
    for name, attributes in pydal_compat.ATTRIBUTES.items():
        assert [each for each in attributes if not hasattr(objects[name], each)] == [], name
    dal.close()


def test_every_underscored_method_of_pydal_that_is_overridden_is_listed() -> None:
    """Find the names by reading the package, so that a new override cannot be forgotten."""
    listed = {name for methods in pydal_compat.METHODS.values() for name in methods}
    known = {
        name
        for path in Path(str(pydal.__file__)).parent.rglob("*.py")
        if "contrib" not in path.parts
        for name in re.findall(r"def (_[a-z]\w*)\(", path.read_text(encoding="utf-8"))
    }
    folder = Path(str(pydal_compat.__file__)).parent
    used = {
        name
        for path in folder.glob("*.py")
        for name in re.findall(
            r"(?:    def (?=\w+\(self)|super\(\)\.)(_[a-z]\w*)\(", path.read_text(encoding="utf-8")
        )
    }
    own = {"_json", "_text"}  # of classes that do not derive from the classes of PyDAL that have these names
    assert used & known - listed - own == set()


@pytest.mark.parametrize(("name", "signature"), pymysql_compat.PRIVATE.items())
def test_a_private_method_of_pymysql_takes_what_it_took(name: str, signature: str) -> None:
    cls, _, method = name.partition(".")
    assert str(inspect.signature(vars(getattr(connections, cls))[method])) == signature


def test_connections_of_pymysql_have_the_attributes() -> None:
    source = inspect.getsource(connections.Connection)
    assert [name for name in pymysql_compat.ATTRIBUTES if f"self.{name} = " not in source] == []
    assert "unbuffered_active" in vars(connections.MySQLResult(connections.Connection(defer_connect=True)))


def test_pymysql_reads_a_result_in_the_steps_that_are_repeated() -> None:
    """`RuntimeConnection._read_query_result` repeats this method with another class of results."""
    source = inspect.getsource(connections.Connection._read_query_result)
    for step in (
        "self._result = None",
        "MySQLResult(self)",
        "result.init_unbuffered_query()",
        "result.read()",
        "self._result = result",
        "self.server_status = result.server_status",
        "return result.affected_rows",
    ):
        assert step in source


def test_libpq_is_found_through_psycopg2() -> None:
    assert LIBPQ is not None
    assert all(hasattr(LIBPQ, name) for name in ("PQgetCancel", "PQfreeCancel", "PQcancel"))


def test_flask_calls_the_methods_that_are_replaced_on_the_application() -> None:
    app, called = flask.Flask("compat"), []
    for name in ("preprocess_request", "dispatch_request"):

        def replaced(name: str = name) -> Any:
            called.append(name)
            return None if name == "preprocess_request" else "done"

        setattr(app, name, replaced)
    assert app.test_client().get("/").text == "done"
    assert called == ["preprocess_request", "dispatch_request"]
