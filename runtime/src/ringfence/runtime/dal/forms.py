"""Form support of tables: validation with an error per field, and CSV import."""

from typing import Any

from pydal.objects import Table as PydalTable

from ringfence.runtime.dal.csv_files import NULL, Import
from ringfence.runtime.dal.pydal_compat import DEFAULT
from ringfence.runtime.dal.validators import EMPTY
from ringfence.runtime.errors import ArgumentError, NotSupportedError
from ringfence.runtime.mirror import Table as MirrorTable


class Forms(PydalTable):  # type: ignore[misc]  # pydal is untyped
    """Validation and CSV import, mixed into the tables of a mirror."""

    _mirror: MirrorTable
    _denied_fields: Any

    def _validate_fields(self, fields: dict[str, Any], record: Any = None) -> tuple[Any, Any]:
        """Return the errors by field, and the values to store; validators receive the record's key, of any type."""
        barred = self._denied_fields["insert" if record is None else "update"]
        given = {name: value for name, value in fields.items() if name not in barred}
        errors, values = super()._validate_fields(
            given, {"id": self._record_key(record)} if record else record
        )
        errors |= {name: "invalid" for name in fields if name in barred}
        # Some validators accept None: that of an unchecked box, or one set by the program.
        errors |= {name: EMPTY for name, value in values.items() if value is None and self[name].notnull}
        return errors, values

    def validate_and_insert(self, **fields: Any) -> dict[str, Any]:
        """Insert a row if all its values are valid.

        Args:
            fields: values, or their text from a form.

        Returns:
            A dict: `id`, the key as `insert` returns it, or None; `errors`, a message per invalid or missing field;
            `success`.
        """
        wanting = {name: "required" for name in self._wanting() if name not in fields}
        # Its default would raise DataError, which is a form error here.
        asked = {name: None for name in wanting if self[name].default is not None}
        errors, values = self._validate_fields(fields | asked)
        errors |= wanting
        # The asterisks by which a form keeps an unchanged password: a new record has none.
        errors |= {name: EMPTY for name in fields if name not in errors | values and self[name].notnull}
        key = None if errors else self.insert(**values)
        return {"id": key, "errors": errors, "success": not errors}

    def _wanting(self) -> list[str]:
        """Return the fields that an insert must provide, as neither a default nor the server supplies a value."""
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
        """Update a record if all values are valid.

        Args:
            _key: the record's key, or values that identify it.
            fields: values, or their text from a form.

        Returns:
            A dict: `id`, the key, or None where no such record exists; `updated`, how many records were updated;
            `errors`, a message per invalid field; `success`.
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
        """Update the record with a key, or insert it if it does not exist, if all values are valid.

        Args:
            _key: the record's key, or values that identify it; when omitted, the primary key among the fields, or the
                values of required fields.
            fields: values, or their text from a form.

        Returns:
            The result of `validate_and_update` or `validate_and_insert`.

        Raises:
            ArgumentError: when nothing identifies the record.
        """
        if _key is DEFAULT or _key == "":
            keys = [self._mirror.columns[name].field for name in self._mirror.primary_key]
            _key = {name: fields[name] for name in keys if name in fields}
            _key = _key or {name: value for name, value in fields.items() if self[name].required}
            if not _key:
                raise ArgumentError(f"{self._tablename}: name the record, by its key or a dict of values")
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

        Rows keep their keys if the table is empty and the account may insert keys; otherwise references within the file
        are translated to the new keys.

        Args:
            csvfile: a text file opened with `newline=""`; its first line names the fields.
            id_map: per table, old keys and their new ones: filled, and used to translate references.
            null: the text that stands for NULL.
            unique: a field that identifies an existing record to update instead.
            id_offset: ignored; PyDAL's parameter.
            transform: converts the dict of texts of each row.
            validate: whether the fields' validators run.
            encoding: ignored; PyDAL's parameter.
            kwargs: `delimiter`, `quotechar`, `quoting`.

        Raises:
            DataError: for an invalid value, with the line and the field.
            UnknownName: for a column that the table does not have.
            NotSupportedError: for `restore`, which would truncate the table.
        """
        if kwargs.pop("restore", False):
            raise NotSupportedError(f"a service cannot truncate {self._tablename}: delete its rows first")
        ids = {} if id_map is None else id_map
        options = {"unique": unique, "transform": transform, "validate": validate} | kwargs
        Import(self, csvfile, null, ids, **options).run()

    def _record_key(self, record: Any) -> Any:
        """Return a record's key: a value, or a dict for a composite key; None where the account may not read it."""
        columns = [self._mirror.columns.get(name) for name in self._mirror.primary_key]
        found = {each.field: record.get(each.field) for each in columns if each is not None}
        if len(found) != len(columns) or None in found.values():
            return None
        return found if len(found) > 1 else next(iter(found.values()), None)
