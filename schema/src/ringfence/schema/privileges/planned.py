"""The plan of an apply: the differences between server and manifest, and the statements that resolve them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from ringfence.schema.engines import Change, Exposure, Statement
from ringfence.schema.grants.difference import Difference, Privilege
from ringfence.schema.privileges.adoption import Adoption, Line
from ringfence.schema.privileges.open_connections import RemainingConnections
from ringfence.schema.state.apply_journal import Unfinished

Key = tuple[str, str, str, str, str]
"""Login, kind, schema, name and verb of a privilege."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a plan: the present and the declared state of one thing of an account, and what is done about it.

    For a privilege, a row is about one verb on one object, and `held` and `wanted` are `all` or the names of columns;
    `-` means nothing. `login` is empty for what concerns all accounts, and `origin` is the lines of the manifest.
    """

    login: str
    on: str
    verb: str
    current: str
    declared: str
    action: str
    origin: str
    kind: str = "privilege"

    @classmethod
    def of(cls, change: Change, do: str = "") -> "Row":
        """Make the row for the change of a statement.

        Args:
            change: the present and the declared state.
            do: the word for what is done; if empty, created, changed or removed, as the states imply.
        """
        done = {(True, False): "created", (False, True): "removed"}.get(
            (change.current == "-", change.declared == "-"), "changed"
        )
        return cls(
            change.login, change.on, "", change.current, change.declared, do or done, change.by, change.kind
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One statement and its purpose.

    `kind` is create, unlock, password, limit, close, row-security, grant, revoke, drop-old-host, lock, drop or record.
    `of` holds the differences that the statement resolves: rows, or the keys of privileges.
    """

    kind: str
    login: str | None
    statement: Statement
    of: tuple[Row | Key, ...]


def steps_for(
    kind: str, statements: Sequence[Statement], change: Change, login: str | None = None
) -> list[Step]:
    """Make one step for each statement.

    A statement that names no change belongs to the change of the statement before it; at the beginning, to the first
    change that is named.

    Args:
        kind: the kind of the steps.
        statements: the statements, in their order.
        change: the change of all of them if no statement names one.
        login: the account that they concern.
    """
    named = [one.about for one in statements]
    last = next((one for one in named if one is not None), change)
    steps = []
    for statement in statements:
        last = statement.about or last
        steps.append(Step(kind, login, statement, (Row.of(last),)))
    return steps


@dataclass
class Plan:
    """The present and the declared state of the server's accounts, and the steps between, in the order of execution."""

    steps: list[Step] = field(default_factory=list)
    declared: set[Privilege] = field(default_factory=set)
    held: set[Privilege] = field(default_factory=set)
    change: Difference = field(default_factory=lambda: Difference((), ()))
    origins: dict[tuple[str, str, str, str], str] = field(default_factory=dict)
    """(login, schema, table, verb) -> the lines of the manifest."""
    obstacles: list[str] = field(default_factory=list)
    """The reasons for which an apply refuses to begin."""
    missing: list[str] = field(default_factory=list)
    """The obstacles about granted tables and columns that the database lacks."""
    warnings: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    """Existing logins that the apply would take over."""
    adoption: Adoption = field(default_factory=Adoption)
    """The changes in what adopted accounts can do."""
    exposures: list[Exposure] = field(default_factory=list)
    """What, besides grants and row security, gives access beyond the manifest, or takes access that it gives."""
    notes: list[str] = field(default_factory=list)
    """Remarks on what the accounts can use, such as a view that runs with the privileges of its owner."""
    kept: list[str] = field(default_factory=list)
    """Privileges that accounts keep until a contract revision retires them, one line each."""
    managed: list[str] = field(default_factory=list)
    """The existing logins that are managed, or will be adopted."""
    open_connections: list[RemainingConnections] = field(default_factory=list)
    """Open connections of accounts that are removed, or that keep a right after it is revoked."""
    unfinished: Unfinished | None = None
    """The point at which an earlier apply stopped, if it did not finish."""
    passwords_compared: bool = True
    uninitialized: bool = False
    """Whether the database lacks Ringfence's tables, which the first `ringfence migrate` creates."""

    @property
    def agrees(self) -> bool:
        """Whether there is nothing to do."""
        return not self.steps and not self.obstacles

    @property
    def losses(self) -> list[Line]:
        """The effective rights that adopted accounts lose."""
        return self.adoption.losses

    def sql(self) -> list[str]:
        """Return the statements of the steps, in their order, as SQL that can be pasted; without secrets."""
        return [step.statement.manual_sql or f"{step.statement};" for step in self.steps]

    def differences(self) -> dict[Row, list[int]]:
        """Map each difference to the indexes in `steps` of the statements that resolve it.

        An exposure for which an apply refuses to begin has no statement. Privileges come last; the others are in the
        order of their statements.
        """
        privileges = self._privileges()
        found: dict[Row, list[int]] = {}
        rights: dict[Row, list[int]] = {row: [] for row in privileges.values() if row.action}
        for number, step in enumerate(self.steps):
            for one in step.of:
                if isinstance(one, Row):
                    found.setdefault(one, []).append(number)
                else:
                    rights.setdefault(privileges[one], []).append(number)
        for exposure in self.exposures:
            if exposure.repair is None and exposure.refuses:
                found.setdefault(exposure_row(exposure), [])
        return found | rights

    def rows(self) -> list[Row]:
        """Return a row for every held or declared privilege, also where both agree, sorted by login and object."""
        return list(self._privileges().values())

    def _privileges(self) -> dict[Key, Row]:
        things: dict[Key, tuple[list[str], list[str]]] = {}
        for side, privileges in enumerate((self.held, self.declared)):
            for p in privileges:
                key = (p.login, p.kind, p.schema, p.name, p.verb)
                things.setdefault(key, ([], []))[side].append(p.column)
        return {key: self._row(key, *both) for key, both in sorted(things.items())}

    def _row(self, key: Key, held: list[str], wanted: list[str]) -> Row:
        login, kind, schema, name, verb = key
        change = (bool(set(wanted) - set(held)), bool(set(held) - set(wanted)))
        do = {(True, True): "changed", (True, False): "granted", (False, True): "revoked"}.get(change, "")
        on = f"{kind} {'.'.join(filter(None, (schema, name)))}".strip()
        origin = self.origins.get((login, schema, name, verb), "implied" if wanted else "")
        return Row(login, on, verb, _listed(held), _listed(wanted), do, origin)

    def as_dict(self) -> dict[str, object]:
        """Return the plan as a dictionary for a JSON document."""
        return {
            "agrees": self.agrees,
            "differences": [{**asdict(row), "steps": at} for row, at in self.differences().items()],
            "steps": [
                {"kind": s.kind, "login": s.login, "sql": sql}
                for s, sql in zip(self.steps, self.sql(), strict=True)
            ],
            "as_declared": len(self.declared & self.held),
            "exposures": [
                {
                    "kind": one.kind,
                    "login": one.login,
                    "message": one.message,
                    "resolution": one.resolution,
                    "action": _done(one),
                }
                for one in self.exposures
            ],
            "adopted": self.adopted,
            "losses": list(map(str, self.losses)),
            **self.adoption.as_dict(),
            "obstacles": self.obstacles,
            "warnings": self.warnings,
            "notes": self.notes,
            "kept": self.kept,
            "open_connections": [one.as_dict() for one in self.open_connections],
            "unfinished": None if self.unfinished is None else asdict(self.unfinished),
            "passwords_compared": self.passwords_compared,
        }


def exposure_row(one: Exposure) -> Row:
    """Make the row of an exposure.

    Args:
        one: the exposure found on the server.

    Returns:
        A row without a verb, which says whether the exposure is repaired or makes an apply refuse.
    """
    return Row(one.login or "", one.message, "", "present", "-", _done(one), "", one.kind)


def _done(one: Exposure) -> str:
    if one.repair is not None:
        return "repaired"
    return "refused" if one.refuses else ""


def _listed(columns: list[str]) -> str:
    return "-" if not columns else ", ".join(sorted(column or "all" for column in columns))
