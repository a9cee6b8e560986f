"""What an apply is to do: what the server has beside what is wanted, and the statements between."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from ringfence.schema.engines import Change, Exposure, Statement
from ringfence.schema.grants.difference import Difference, Privilege
from ringfence.schema.privileges.adoption import Adoption, Line
from ringfence.schema.privileges.open_connections import Outlasting
from ringfence.schema.state.apply_journal import Unfinished

Key = tuple[str, str, str, str, str]
"""Login, kind, schema, name and verb of a privilege."""


@dataclass(frozen=True, slots=True)
class Row:
    """What an account has and should have of one thing, and what is done; for a privilege, of one verb on it.

    `held` and `wanted` are, of a privilege, `all` or columns; `-` is nothing. `login` is empty for what is everybody's,
    and `origin` is the lines of the manifest.
    """

    login: str
    on: str
    verb: str
    held: str
    wanted: str
    do: str
    origin: str
    kind: str = "privilege"

    @classmethod
    def of(cls, change: Change, do: str = "") -> "Row":
        """The row of what a statement changes.

        Args:
            change: what stands, and what should.
            do: the word for what is done; without one it is made, changed or removed.

        Returns:
            The row.
        """
        done = {(True, False): "made", (False, True): "removed"}.get(
            (change.held == "-", change.wanted == "-"), "changed"
        )
        return cls(
            change.login, change.on, "", change.held, change.wanted, do or done, change.by, change.kind
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One statement, and what it is for.

    `kind` is create, unlock, password, limit, close, fence, grant, revoke, move, lock, drop or record; `of` is the
    differences that it mends: rows, or the keys of privileges.
    """

    kind: str
    login: str | None
    statement: Statement
    of: tuple[Row | Key, ...]


def about(kind: str, statements: Sequence[Statement], change: Change, login: str | None = None) -> list[Step]:
    """The steps of some statements; one that does not say what it is about goes with the one before it, or after it.

    Args:
        kind: of the steps.
        statements: in their order.
        change: what they are about where none of them says it.
        login: whose account they concern.

    Returns:
        A step for each statement.
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
    """What is, what is wanted, and what will be done, in the order in which it will be."""

    steps: list[Step] = field(default_factory=list)
    wanted: set[Privilege] = field(default_factory=set)
    held: set[Privilege] = field(default_factory=set)
    change: Difference = field(default_factory=lambda: Difference((), ()))
    origins: dict[tuple[str, str, str, str], str] = field(default_factory=dict)
    """(login, schema, table, verb) -> the lines of the manifest."""
    obstacles: list[str] = field(default_factory=list)
    """What stands in the way; an apply refuses to begin while there is any."""
    missing: list[str] = field(default_factory=list)
    """Those of the obstacles that are tables and columns of grants which the database does not have."""
    warnings: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    """Logins that exist and are to become ours."""
    adoption: Adoption = field(default_factory=Adoption)
    """What that changes for them."""
    exposures: list[Exposure] = field(default_factory=list)
    """What lets somebody reach more than the manifest gives, or an account less, beside grants and row scopes."""
    notes: list[str] = field(default_factory=list)
    """What is worth knowing of what the accounts reach: that it runs with the rights of another, say."""
    kept: list[str] = field(default_factory=list)
    """What accounts keep that the manifest gives no more, until which contract has run."""
    managed: list[str] = field(default_factory=list)
    """The logins that are ours, or are to become so, and exist."""
    open_connections: list[Outlasting] = field(default_factory=list)
    """The connections that an apply does not end, of accounts that leave, or lose what these keep."""
    unfinished: Unfinished | None = None
    """Where an earlier apply stopped half-way."""
    passwords_compared: bool = True
    before_first: bool = False
    """Whether the database has none of our tables yet, which `ringfence migrate` makes."""

    @property
    def agrees(self) -> bool:
        """Whether there is nothing to do."""
        return not self.steps and not self.obstacles

    @property
    def taken(self) -> list[Line]:
        """What adopting takes away from accounts that exist, of what they can really do."""
        return self.adoption.taken

    def sql(self) -> list[str]:
        """The statements as they can be pasted; no secret is in them.

        Returns:
            One text for each step, in their order.
        """
        return [step.statement.pasted or f"{step.statement};" for step in self.steps]

    def differences(self) -> dict[Row, list[int]]:
        """Each thing that is not as wanted, with the places in `steps` of the statements that mend it.

        Without a statement stands what an apply refuses to begin over. First what is no privilege, in the order of its
        statements.

        Returns:
            Each difference, with the numbers of its steps.
        """
        privileges = self._privileges()
        found: dict[Row, list[int]] = {}
        rights: dict[Row, list[int]] = {row: [] for row in privileges.values() if row.do}
        for number, step in enumerate(self.steps):
            for one in step.of:
                if isinstance(one, Row):
                    found.setdefault(one, []).append(number)
                else:
                    rights.setdefault(privileges[one], []).append(number)
        for exposure in self.exposures:
            if exposure.repair is None and exposure.refuses:
                found.setdefault(exposed(exposure), [])
        return found | rights

    def rows(self) -> list[Row]:
        """Every verb on every thing that an account has or should have, those that agree too.

        Returns:
            The rows, sorted by login and thing.
        """
        return list(self._privileges().values())

    def _privileges(self) -> dict[Key, Row]:
        things: dict[Key, tuple[list[str], list[str]]] = {}
        for side, privileges in enumerate((self.held, self.wanted)):
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
        """For a JSON document."""
        return {
            "agrees": self.agrees,
            "differences": [{**asdict(row), "steps": at} for row, at in self.differences().items()],
            "steps": [
                {"kind": s.kind, "login": s.login, "sql": sql}
                for s, sql in zip(self.steps, self.sql(), strict=True)
            ],
            "as_wanted": len(self.wanted & self.held),
            "exposures": [
                {
                    "kind": one.kind,
                    "login": one.login,
                    "says": one.says,
                    "way_out": one.way_out,
                    "do": _done(one),
                }
                for one in self.exposures
            ],
            "adopted": self.adopted,
            "taken": list(map(str, self.taken)),
            **self.adoption.as_dict(),
            "obstacles": self.obstacles,
            "warnings": self.warnings,
            "notes": self.notes,
            "kept": self.kept,
            "open_connections": [one.as_dict() for one in self.open_connections],
            "unfinished": None if self.unfinished is None else asdict(self.unfinished),
            "passwords_compared": self.passwords_compared,
        }


def exposed(one: Exposure) -> Row:
    """The row of what lets somebody reach more than the manifest gives, or an account less.

    Args:
        one: what was seen on the server.

    Returns:
        A row without a verb, which says whether it is repaired or refused.
    """
    return Row(one.login or "", one.says, "", "stands", "-", _done(one), "", one.kind)


def _done(one: Exposure) -> str:
    if one.repair is not None:
        return "repaired"
    return "refused" if one.refuses else ""


def _listed(columns: list[str]) -> str:
    return "-" if not columns else ", ".join(sorted(column or "all" for column in columns))
