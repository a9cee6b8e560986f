"""The declarations of a contract revision: what it removes, what it makes stricter, and which backfills must have run.

retires = {"auth_user": ["nickname"], "legacy_login": None}   # None: the whole table
tightens = {"auth_user": ["locale"]}                          # may no longer be NULL, or omitted from an insert
backfills = ["nicknames_move"]                                # must have copied what the revision removes
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alembic.script import Script

from ringfence.schema.errors import BadDeployment, Mistake


@dataclass(frozen=True)
class Obstacle:
    """One reason why a contract revision may not run yet."""

    revision: str
    """The contract revision."""
    message: str
    """A sentence that names the revision, what it removes or makes stricter, and what still uses it."""

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Contract:
    """The declarations of one revision, by table: `name` or `schema.name`."""

    retires: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    tightens: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    backfills: tuple[str, ...] = ()
    """Backfills that must have covered every row, in addition to those that read what the revision removes."""

    def __bool__(self) -> bool:
        return bool(self.retires or self.tightens)

    def retires_column(self, key: str, column: str | None = None) -> bool:
        """Return whether a column, or the whole table if `column` is None, is declared as retired.

        Args:
            key: the table: `name` or `schema.name`.
            column: the column.
        """
        if key not in self.retires:
            return False
        columns = self.retires[key]
        return columns is None or (column is not None and column in columns)

    def tightens_column(self, key: str, column: str) -> bool:
        """Return whether a column is declared in `tightens`."""
        return column in self.tightens.get(key, ())


def contract_of(script: Script) -> Contract:
    """Return what a revision declares.

    Raises:
        BadDeployment: a declaration has the wrong form; the error names the file.
    """
    module: Any = script.module
    retires = _mapping(script, "retires", getattr(module, "retires", None), whole=True)
    tightens = _mapping(script, "tightens", getattr(module, "tightens", None), whole=False)
    backfills = getattr(module, "backfills", ())
    if not isinstance(backfills, list | tuple) or not all(isinstance(name, str) for name in backfills):
        problem = f'backfills = {backfills!r}: must be ["name", …], of files in migrations/backfills/'
        raise BadDeployment([Mistake(script.path, None, problem)])
    return Contract(retires, {key: columns or () for key, columns in tightens.items()}, tuple(backfills))


def _mapping(script: Script, name: str, value: Any, *, whole: bool) -> dict[str, tuple[str, ...] | None]:
    if value is None:
        return {}
    found: dict[str, tuple[str, ...] | None] = {}
    items = value.items() if isinstance(value, Mapping) else [(None, None)]
    for key, columns in items:
        listed = isinstance(columns, list | tuple) and all(
            isinstance(column, str) for column in columns or ()
        )
        if not isinstance(key, str) or not (listed or (columns is None and whole)):
            shape = '{"table": ["column", …]}' + (
                ", or None in place of the list for the whole table" if whole else ""
            )
            raise BadDeployment([Mistake(script.path, None, f"{name} = {value!r}: must be {shape}")])
        found[key] = None if columns is None else tuple(columns)
    return found
