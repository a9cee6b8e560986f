"""What a Table does for forms: values are validated, with errors by field; and files are read and written."""

from typing import Any

from pydal._globals import DEFAULT
from pydal.objects import Table as PydalTable

from ringfence.runtime.dal.csv_files import NULL
from ringfence.runtime.dal.csv_import import Import
from ringfence.runtime.dal.validators import EMPTY
from ringfence.runtime.errors import Misuse
from ringfence.runtime.mirror import Table as MirrorTable


class Forms(PydalTable):  # type: ignore[misc]  # pydal is untyped
    """Mixed into the tables of a mirror."""

    _mirror: MirrorTable
    _barred: Any

    def _validate_fields(self, fields: dict[str, Any], record: Any = None) -> tuple[Any, Any]:
        """The errors by field, and the values to store; validators get a record of any key."""
        barred = self._barred["insert" if record is None else "update"]
        given = {name: value for name, value in fields.items() if name not in barred}
        errors, values = super()._validate_fields(
            given, {"id": self._record_key(record)} if record else record
        )
        errors |= {name: "invalid" for name in fields if name in barred}
        # Some validators let it pass: a box that was not ticked, one that the program set.
        errors |= {name: EMPTY for name, value in values.items() if value is None and self[name].notnull}
        return errors, values

    def validate_and_insert(self, **fields: Any) -> dict[str, Any]:
        """Insert a row, if all its values are valid.

        Args:
            fields: values, or the text that a form has for them.

        Returns:
            `id`, its key as `insert` gives it, or None; `errors`, a text for each field that is wrong or missing; and
            `success`.
        """
        wanting = {name: "required" for name in self._wanting() if name not in fields}
        # Its default would raise what is an error of the form here.
        asked = {name: None for name in wanting if self[name].default is not None}
        errors, values = self._validate_fields(fields | asked)
        errors |= wanting
        # The stars that stand for a password which stays as it is: here there is none.
        errors |= {name: EMPTY for name in fields if name not in errors | values and self[name].notnull}
        key = None if errors else self.insert(**values)
        return {"id": key, "errors": errors, "success": not errors}

    def _wanting(self) -> list[str]:
        """The fields that an insert has to give, for neither the program nor the server knows a value."""
        names = []
        for column in self._mirror.columns.values():
            default, field = column.default, self[column.field]
            given_up = default is not None and default.kind == "service"
            has_one = default is not None and not given_up
            if not column.insertable or field.compute or column.autoincrement or field.type == "id":
                continue
            if (given_up and field.default is not None) or not (
                column.nullable or has_one or field.default is not None
            ):
                names.append(column.field)
        return names

    def validate_and_update(self, _key: Any, **fields: Any) -> dict[str, Any]:
        """Update a record, if all values are valid.

        Args:
            _key: the record's key, or values that find it.
            fields: values, or the text that a form has for them.

        Returns:
            `id`, its key, or None where there is no such record; `updated`, how many were; `errors`, a text for each
            field that is wrong; and `success`.
        """
        record = self(_key)
        errors, values = self._validate_fields(fields, {} if record is None else record)
        updated = 0
        if record is not None and not errors:
            found = self._db(self._same_record(record, self._query_of(_key, fields)))
            updated = found.update(**values)
        key = None if record is None else self._record_key(record)
        return {"id": key, "updated": updated, "errors": errors, "success": updated > 0}

    def validate_and_update_or_insert(self, _key: Any = DEFAULT, **fields: Any) -> dict[str, Any]:
        """Update the record that a key finds, or insert it where there is none, if all values are valid.

        Args:
            _key: the record's key, or values that find it; when left out, the primary key among the fields, or the
                values of the fields that are required.
            fields: values, or the text that a form has for them.

        Returns:
            As `validate_and_update` or `validate_and_insert`.
        """
        if _key is DEFAULT or _key == "":
            keys = [self._mirror.columns[name].field for name in self._mirror.primary_key]
            _key = {name: fields[name] for name in keys if name in fields}
            _key = _key or {name: value for name, value in fields.items() if self[name].required}
            if not _key:
                raise Misuse(f"{self._tablename}: say which record is meant, by its key or a dict of values")
        if self(_key) is None:
            return self.validate_and_insert(**fields)
        return self.validate_and_update(_key, **fields)

    def import_from_csv_file(
        self,
        csvfile: Any,
        id_map: dict[str, Any] | None = None,
        null: str = NULL,
        unique: str = "uuid",
        id_offset: Any = None,
        transform: Any = None,
        validate: bool = False,
        encoding: str = "utf-8",
        **kwargs: Any,
    ) -> None:
        """Insert the rows of a file, up to an empty line.

        In an empty table they keep their keys, where the account may give them; else references of the file to each
        other are turned to the new ones.

        Args:
            csvfile: of text, opened with `newline=""`; its first line names the fields.
            id_map: for each table the keys of the file and those they became: filled, and read for references.
            null: what stands for NULL.
            unique: a field by which a record that is there is updated instead.
            id_offset: not needed.
            transform: makes of a dict of texts another one.
            validate: whether the fields' validators are asked, too.
            encoding: of PyDAL; the file says its own.
            kwargs: `delimiter`, `quotechar`, `quoting`.

        Raises:
            BadValue: with the line and the field, for what is no value of it.
            Misuse: for a column that the table does not have.
        """
        if kwargs.pop("restore", False):
            raise Misuse(f"a service cannot truncate {self._tablename}: delete its rows first")
        ids = {} if id_map is None else id_map
        options = {"unique": unique, "transform": transform, "validate": validate} | kwargs
        Import(self, csvfile, null, ids, **options).run()

    def _record_key(self, record: Any) -> Any:
        """A record's key: the value of a single one, a dict of several; None where the account may not read it."""
        columns = [self._mirror.columns.get(name) for name in self._mirror.primary_key]
        found = {each.field: record.get(each.field) for each in columns if each is not None}
        if len(found) != len(columns) or None in found.values():
            return None
        return found if len(found) > 1 else next(iter(found.values()), None)
