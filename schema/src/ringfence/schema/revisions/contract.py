"""What a contract revision says of itself: which tables and columns it takes away, and which it makes stricter.

retires = {"auth_user": ["nickname"], "legacy_login": None}   # None: the whole table
tightens = {"auth_user": ["locale"]}                          # may not be NULL, or left out, any more
backfills = ["nicknames_move"]                                # must have carried over what it takes away
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alembic.script import Script

from ringfence.schema.errors import BadDeployment, Mistake


@dataclass(frozen=True)
class Contract:
    """What one revision declares, by table: a name, or `schema.name`."""

    retires: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    tightens: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    backfills: tuple[str, ...] = ()
    """Those that must have covered every row, beside those that read what it takes away."""

    def __bool__(self) -> bool:
        return bool(self.retires or self.tightens)

    def drops(self, key: str, column: str | None = None) -> bool:
        """Whether a column of a table, or the whole of it, is declared to go."""
        if key not in self.retires:
            return False
        columns = self.retires[key]
        return columns is None or (column is not None and column in columns)

    def narrows(self, key: str, column: str) -> bool:
        """Whether a column is declared to become stricter."""
        return column in self.tightens.get(key, ())


def contract_of(script: Script) -> Contract:
    """What a revision declares. Raises BadDeployment with its file when that cannot be read."""
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
