"""What the proof of the manifest tries, and what it finds."""

from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Attempt:
    """One thing to try: a verb on a table, on a column of it where the verb has columns; and whether it is given."""

    verb: str
    table: str
    column: str | None
    sql: str
    given: bool
    origin: str | None = None
    relation: str = ""
    """The quoted name of what a SELECT reads, where a view may raise an error of its own."""
    excuse: str = ""
    """What a warning says where it is allowed and not given, but nothing is wrong with that."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is not as the manifest says: `missing`, `excess` or `not-proven`."""

    kind: str
    service: str
    login: str
    verb: str | None
    table: str | None
    columns: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        what = " on ".join(filter(None, (self.verb, self.table)))
        columns = f" ({', '.join(self.columns)})" if self.columns else ""
        return (
            f"{self.kind}: {self.service}: {what}{columns}: {self.message}"
            if what
            else (f"{self.kind}: {self.service}: {self.message}")
        )


@dataclass
class Proof:
    """What was tried and found."""

    attempts: int = 0
    allowed: int = 0
    refused: int = 0
    accounts: list[str] = field(default_factory=list)
    """The services whose accounts logged in."""
    findings: list[Finding] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What holds for honest statements alone, and cannot be proven of hostile ones."""
    shown: set[tuple[str, str, str]] = field(default_factory=set)
    """(login, verb, table) of the findings that rows have shown."""

    @property
    def holds(self) -> bool:
        """Whether everything was tried, and was as the manifest says.

        Returns:
            False where anything is missing, is too much, or could not be tried.
        """
        return not self.findings

    def as_dict(self) -> dict[str, object]:
        """For a JSON document.

        Returns:
            Numbers, services, findings and warnings, in values that JSON has.
        """
        return {
            "holds": self.holds,
            "attempts": self.attempts,
            "allowed": self.allowed,
            "refused": self.refused,
            "accounts": self.accounts,
            "findings": [asdict(finding) for finding in self.findings],
            "warnings": self.warnings,
        }
