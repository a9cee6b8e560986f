"""The rule by which tables and columns get their names in PyDAL, where their own names are not usable.

A name that PyDAL uses itself, that is a Python keyword, or that starts with an underscore gets an underscore at its end
(`update` -> `update_`, `_hidden` -> `hidden_`); characters that a Python name cannot contain become underscores.
"""

import keyword
import re

from ringfence.runtime.errors import BadMirror

# Attributes of PyDAL's Table and Row: a field of that name would hide them, or be hidden.
FIELD_NAMES_TAKEN = frozenset(
    """
    ALL add_method as_dict as_json as_xml as_yaml bulk_insert clear copy create_index delete_record drop drop_index
    fields get has_key id_ import_from_csv_file insert items iteritems iterkeys itervalues keys on pop
    query_name sql_fullref sql_shortref sqlsafe sqlsafe_alias truncate update
    update_or_insert update_record validate_and_insert validate_and_update validate_and_update_or_insert values
    virtualfields with_alias
    """.split()
) - {"id_"}

# Attributes of PyDAL's DAL.
TABLE_NAMES_TAKEN = frozenset(
    """
    Field Row Rows Table as_dict as_json as_xml as_yaml can_join check_reserved_keyword clear close commit copy
    define_table distributed_transaction_begin distributed_transaction_commit execution_handlers executesql
    export_to_csv_file get get_connection_from_pool_or_new get_instances has_key has_representer
    import_from_csv_file import_table_definitions items iteritems iterkeys itervalues keys lazy_define_table
    logger parse_as_rest pop record_operators recycle_connection_in_pool_or_close represent representers
    rollback serializers set_folder single_transaction smart_query tables update uuid
    validators validators_method values where
    """.split()
)


def _safe(name: str, taken: frozenset[str]) -> str:
    safe = re.sub(r"\W", "_", name, flags=re.ASCII)
    stripped = safe.lstrip("_")
    if stripped != safe:
        safe = f"{stripped}_"
    if safe[:1].isdigit():
        safe = f"n{safe}"
    if safe in taken or keyword.iskeyword(safe.lower()) or keyword.iskeyword(safe):
        safe = f"{safe}_"
    if not safe.strip("_"):
        raise BadMirror(f"{name!r} holds nothing that a Python name may hold: rename it in the database")
    return safe


def field_name(column: str) -> str:
    """Return the name of the PyDAL field for a database column.

    Raises:
        BadMirror: for a name without any usable character.
    """
    return _safe(column, FIELD_NAMES_TAKEN)


def table_name(table: str, schema: str | None = None) -> str:
    """Return the name of the PyDAL table for a database table.

    Args:
        table: the table's name.
        schema: its schema, which becomes a prefix; None for the default schema.

    Raises:
        BadMirror: for a name without any usable character.
    """
    return _safe(f"{schema}_{table}" if schema else table, TABLE_NAMES_TAKEN)
