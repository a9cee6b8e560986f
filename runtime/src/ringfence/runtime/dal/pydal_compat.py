"""What the runtime assumes of PyDAL beside its documented face; PyDAL has no other way to change what it sends.

The classes of this package derive from PyDAL's adapters, dialects, tables and rows, and so override and call methods
that begin with an underscore. The tables below name all of them, and the project's tests compare them with the
installed PyDAL: signatures of methods, attributes of objects, and the source of methods that this package
repeats with a change. The version is pinned; a new one is taken by making that test pass. Checked with 20260520.0.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydal._globals import DEFAULT, THREAD_LOCAL
from pydal.helpers.classes import Reference

__all__ = ["ATTRIBUTES", "CHECKED", "DEFAULT", "METHODS", "REPEATED", "drop_from_thread", "reference_to"]

CHECKED: Final = "20260520.0"

METHODS: Final[Mapping[str, Mapping[str, str]]] = {
    # Connections come from sessions, values through codecs, and statements carry a context for their errors.
    "adapters.base.BaseAdapter": {
        "_add_operators_to_parsed_row": "(self, rid, table, row)",
        "_initialize_": "(self)",
        "_load_dependencies": "(self)",
        "_parse": "(self, row, tmps, fields, colnames, blob_decode, cacheable, fields_virtual, fields_lazy)",
        "_parse_expand_colnames": "(self, fieldlist)",
        "_regex_select_as_parser": "(self, colname)",
    },
    "adapters.base.SQLAdapter": {
        "_cached_select": "(self, cache, sql, fields, attributes, colnames)",
        "_count": "(self, query, distinct=None)",
        "_delete": "(self, table, query)",
        "_expand": "(self, expression, field_type=None, colnames=False, query_env={})",
        "_geoexpand": "(self, field, query_env)",
        "_insert": "(self, table, fields)",
        "_select": "(self, query, fields, attributes)",
        "_select_aux": "(self, sql, fields, attributes, colnames)",
        "_select_aux_execute": "(self, sql)",
        "_select_wcols": "(self, query, fields, left=False, join=False, distinct=False, orderby=False, groupby=False,"
        " having=False, limitby=False, orderby_on_limitby=True, for_update=False, outer_scoped=[], required=None,"
        " cache=None, cacheable=None, processor=None, cte_collector=None)",
        "_update": "(self, table, query, fields)",
    },
    "adapters.postgres.PostgrePsyco": {"_config_json": "(self)"},
    # Conditions that mean the same on every engine.
    "dialects.base.SQLDialect": {
        "_and": "(self, first, second, query_env={})",
        "_as": "(self, first, second, query_env={})",
        "_binary_cmp": "(self, op, first, second, null_form, query_env)",
        "_not": "(self, val, query_env={})",
        "_or": "(self, first, second, query_env={})",
    },
    # Tables are made from a mirror, one at a time; only columns with a privilege are read or written.
    "objects.Table": {
        "_create_references": "(self)",
        "_enable_record_versioning": "(self, archive_db=None, archive_name='%(tablename)s_archive',"
        " is_active='is_active', current_record='current_record', current_record_label=None, migrate=None,"
        " redefine=None)",
        "_fields_and_values_for_insert": "(self, fields)",
        "_fields_and_values_for_update": "(self, fields)",
        "_filter_fields": "(self, record, allow_id=False, writable_only=False)",
        "_filter_fields_for_operation": "(self, fields)",
        "_validate": "(self, **vars)",
        "_validate_fields": "(self, fields, record=None)",
    },
    "objects.Select": {
        "_compile": "(self, outer_scoped=[], with_alias=False, cte_collector=None)",
    },
    "objects.LazySet": {"_getset": "(self)"},
}
"""Methods that this package overrides or calls, by the module and class within `pydal`, with their signatures."""

ATTRIBUTES: Final[Mapping[str, tuple[str, ...]]] = {
    "DAL": ("_adapter", "_db_uid", "_tables", "_uri"),
    "Table": (
        "_common_filter", "_dalname", "_db", "_fields", "_id", "_referenced_by", "_rname", "_tablename",
        "_virtual_fields", "_virtual_methods",
    ),
    "Field": ("_db", "_rname", "_table", "_tablename"),
    "Expression": ("_dialect",),
    "Select": ("_attributes", "_db", "_qfields", "_query"),
    "Reference": ("_record", "_table"),
}  # fmt: skip
"""Attributes of objects that PyDAL sets and this package reads or sets."""

REPEATED: Final[Mapping[str, str]] = {
    "adapters.base.SQLAdapter.select": "ac285b102402f10f",
    "base.DAL.define_table": "5061ae790f0ab8cf",
    "base.DAL.lazy_define_table": "d6d70f4a8d76cae5",
    "base.DAL.executesql": "45e2452b90b86db3",
}
"""Methods of which this package repeats a part or uses the inner workings, with the SHA-256 of its source."""


def drop_from_thread(dal: Any) -> None:
    """Remove a DAL from the list by which PyDAL keeps every DAL of a thread alive.

    Args:
        dal: the DAL, just made in this thread.
    """
    THREAD_LOCAL._pydal_db_instances_.pop(dal._db_uid, None)


def reference_to(table: Any, key: int) -> Reference:
    """Return PyDAL's reference to a record, which reads the record when one of its columns is used.

    Args:
        table: the record's table.
        key: its key.
    """
    reference = Reference(key)
    reference._table, reference._record = table, None
    return reference
