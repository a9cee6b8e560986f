"""Exports and imports all tables of a DAL in one CSV file in PyDAL's format: a section `TABLE name` for each."""

import csv
from collections.abc import Iterator, Mapping
from typing import Any

from ringfence.runtime.dal.csv_files import NULL, csv_options, export_rows
from ringfence.runtime.dal.csv_import import DeferredReferences
from ringfence.runtime.errors import ArgumentError, UnknownName


class TablesInFiles:
    """CSV export and import of the whole DAL, mixed in before PyDAL's DAL."""

    def export_to_csv_file(self, ofile: Any, *args: Any, **kwargs: Any) -> None:
        """Write every table that the account may read, each after the tables it refers to.

        Args:
            ofile: a text file opened with `newline=""`.
            args: the text that stands for NULL.
            kwargs: the options of `export_rows`.
        """
        dal: Any = self
        tables = dal._mirror.tables
        for name in in_order(tables):
            if "select" not in tables[name].verbs:
                continue
            ofile.write(f"TABLE {name}\r\n")
            table = dal[name]
            order = {"orderby": [table[key] for key in table._key_names()]} if table._key_names() else {}
            export_rows(dal(table).iterselect(**order), ofile, *args, **kwargs)
            ofile.write("\r\n\r\n")
        ofile.write("END")

    def import_from_csv_file(
        self,
        ifile: Any,
        id_map: dict[str, Any] | None = None,
        null: str = NULL,
        unique: str = "uuid",
        map_tablenames: Mapping[str, str | None] | None = None,
        ignore_missing_tables: bool = False,
        **kwargs: Any,
    ) -> None:
        """Insert the rows of a file that `export_to_csv_file` wrote.

        Args:
            ifile: a text file opened with `newline=""`.
            id_map: per table, old keys and their new ones: filled, and used to translate references.
            null: the text that stands for NULL.
            unique: a field that identifies an existing record to update instead.
            map_tablenames: other names for tables of the file; None skips a table.
            ignore_missing_tables: whether to skip tables that the mirror does not have.
            kwargs: the options of a table's import.

        Raises:
            UnknownName: for a table that the mirror does not have.
            ArgumentError: for a file in another format.
        """
        dal: Any = self
        ids = {} if id_map is None else id_map
        later = DeferredReferences()
        for line in ifile:
            said = line.strip()
            if said == "END":
                break
            if not said:
                continue
            if not said.startswith("TABLE "):
                raise ArgumentError(
                    "this is no file that dal.export_to_csv_file wrote: a line TABLE name is wanted"
                )
            name = (map_tablenames or {}).get(said[6:], said[6:])
            if name is not None and name in dal.tables:
                dal[name].import_from_csv_file(ifile, ids, null, unique, later=later, **kwargs)
            elif name is None or ignore_missing_tables:
                for _ in _section(ifile, kwargs):
                    pass
            else:
                raise UnknownName(
                    f"{dal._unknown(name)}; say map_tablenames={{{name!r}: …}} or ignore_missing_tables=True"
                )
        later.settle()


def _section(file: Any, options: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the CSV records up to an empty one; a quoted text may contain empty lines."""
    for line in csv.reader(file, **csv_options(options)):
        if not line:
            return
        yield line


def in_order(tables: Mapping[str, Any]) -> list[str]:
    """Return the names of a mirror's tables, each after those it refers to, except in cycles.

    Args:
        tables: the mirror's tables.
    """
    keys = {(table.schema, table.name): key for key, table in tables.items()}
    order: dict[str, None] = {}
    seen: set[str] = set()
    stack = [(name, False) for name in sorted(tables, reverse=True)]
    while stack:
        name, done = stack.pop()
        if done:
            order[name] = None
        elif name not in seen:
            seen.add(name)
            stack.append((name, True))
            targets = (keys.get((each.schema, each.table)) for each in tables[name].foreign_keys)
            stack += [(target, False) for target in targets if target is not None]
    return list(order)
