"""Rows one at a time: PyDAL's IterRows over what a statement gave, whatever else the session runs meanwhile."""

from collections.abc import Iterator, Sequence
from typing import Any

from pydal.objects import IterRows


class StoredRows(IterRows):  # type: ignore[misc]  # pydal is untyped
    """Rows that the driver holds, decoded one by one as they are asked for."""

    def __init__(self, db: Any, raw: Sequence[Any], fields: Any, colnames: Any, cacheable: bool) -> None:
        self.db, self.fields, self.colnames = db, fields, colnames
        self.blob_decode, self.cacheable, self.compact = True, cacheable, True
        self.fields_virtual, self.fields_lazy, self.tmps = db._adapter._parse_expand_colnames(fields)
        self._head = self.last_item = self.last_item_id = None
        self.cursor = _Cursor(iter(raw))


class _Cursor:
    def __init__(self, raw: Iterator[Any]) -> None:
        self._raw = raw

    def fetchone(self) -> Any:
        return next(self._raw, None)
