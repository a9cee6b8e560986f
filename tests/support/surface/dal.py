"""The DAL itself."""

import io
import json
import uuid
from typing import Any

from support.surface.core import Of

_OF = Of("DAL")
_same, _differs, _refused = _OF.same, _OF.differs, _OF.refused


def _exported(dal: Any) -> str:
    target = io.StringIO()
    dal.export_to_csv_file(target)
    return target.getvalue().partition("TABLE tally")[2].partition("TABLE")[0].strip()


def _timed(dal: Any) -> int:
    dal._timings.clear()  # which PyDAL keeps by thread, and no more than some
    dal(dal.tally).count()
    return len(dal._timings)


def _imported(dal: Any) -> Any:
    dal.import_from_csv_file(io.StringIO("TABLE tally\r\ntally.name,tally.hits\r\nnew,7\r\n\r\nEND"))
    return dal(dal.tally.name == "new").select(dal.tally.hits).as_list()


def _undone(dal: Any) -> int:
    dal.tally.insert(name="undone", hits=1)
    dal.rollback()
    return int(dal(dal.tally.name == "undone").count())


def _parsed(dal: Any) -> Any:
    found = dal.parse_as_rest(["/tally/{tally.name}"], ["tally", "n1"], {})
    return found.status, [row.name for row in found.response]


_same("__call__ where", lambda dal: [row.name for row in dal(dal.tally.hits == 2).select()], everywhere=True)
_same("__getitem__ __getattr__", lambda dal: dal["tally"] is dal.tally)
_same("__contains__ has_key", lambda dal: ("tally" in dal, "nothing" in dal))
_differs(
    "__iter__",
    "the tables that were used, and those of the mirror when readiness made all",
    lambda dal: len(list(dal)),
)
_differs("tables", "the tables of the mirror, whether used or not", lambda dal: sorted(dal.tables))
_same("rollback", _undone)
_same("commit", lambda dal: dal.commit())
_refused("close", "leave the session, or call `Database.close()`", lambda dal: dal.close())
_refused(
    "single_transaction", "`with db.session():` is one transaction", lambda dal: dal.single_transaction()
)
_refused(
    "distributed_transaction_begin distributed_transaction_commit",
    "commit one session after the other",
    lambda dal: dal.distributed_transaction_begin(dal),
)
_refused(
    "get_connection_from_pool_or_new recycle_connection_in_pool_or_close",
    "`with db.session():` takes a connection and gives it back",
    lambda dal: dal.recycle_connection_in_pool_or_close(),
)
_refused(
    "define_table", "add it to the models and make the mirrors again", lambda dal: dal.define_table("more")
)
_refused("lazy_define_table", "as `define_table`", lambda dal: dal.lazy_define_table("more"))
_refused("import_table_definitions", "as `define_table`", lambda dal: dal.import_table_definitions("."))
_same(
    "executesql",
    lambda dal: dal.executesql("SELECT name, hits FROM tally ORDER BY id", as_dict=True),
    everywhere=True,
)
_same(
    "smart_query",
    lambda dal: dal.smart_query([dal.tally.name], "tally.name contains n1").count(),
    everywhere=True,
)
_same("parse_as_rest", _parsed)
_same("export_to_csv_file", _exported)
_same("import_from_csv_file", _imported)
_same("as_dict", lambda dal: sorted(dal.as_dict(flat=True)))
_same("as_json", lambda dal: sorted(json.loads(dal.as_json())))
_refused(
    "as_xml",
    "stock PyDAL has no serializer for it either",
    lambda dal: dal.as_xml(),
    "NotImplementedError",
)
_OF.same("as_yaml", lambda dal: len((dal).as_yaml()) > 20)
_same("has_representer represent representers", lambda dal: dal.has_representer("rows_render"))
_refused("can_join", "no adapter of stock PyDAL has it either", lambda dal: dal.can_join(), "AttributeError")
_same("uuid", lambda dal: uuid.UUID(dal.uuid()).version)
_differs("Field", "a Field with the operators of this page", lambda dal: dal.Field.__module__)
_differs(
    "Row Rows",
    "rows that are made when they are asked for",
    lambda dal: (dal.Row.__module__, dal.Rows.__module__),
)
_same("Table", lambda dal: dal.Table.__name__)
_differs(
    "record_operators", "for keys of every kind", lambda dal: dal.record_operators["update_record"].__name__
)
_same("logger", lambda dal: dal.logger.name)
_same("serializers validators", lambda dal: (dal.serializers, dal.validators))
_same("validators_method", lambda dal: callable(dal.validators_method))
_same("set_folder", lambda dal: callable(dal.set_folder))
_same("get_instances", lambda dal: type(dal.get_instances()))
_same("check_reserved_keyword", lambda dal: callable(dal.check_reserved_keyword))
_same("get", lambda dal: dal.get("tally") is dal.tally)
_same("keys iterkeys", lambda dal: ("tally" in list(dal.keys()), "tally" in list(dal.iterkeys())))
_same("values itervalues", lambda dal: (dal.tally in dal.values(), dal.tally in dal.itervalues()))
_same("items iteritems", lambda dal: ("tally" in dict(dal.items()), "tally" in dict(dal.iteritems())))
_same("pop update clear copy", lambda dal: callable(dal.copy))
_differs("execution_handlers _timings _lastsql", "not called and not kept: a statement holds values", _timed)
_differs("_uri", "no host, login or password", lambda dal: dal._uri)
MEMBERS = tuple(_OF.members)
