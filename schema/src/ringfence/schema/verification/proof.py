"""The attempts, findings and result of a proof of the manifest."""

from dataclasses import asdict, dataclass, field

ALL_ACCOUNTS = "all accounts"
"""The service of a finding that concerns no single account."""


class RollBack(Exception):
    """Raised inside a session to end it with a rollback; an argument is the number of rows that were reached."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One statement to try: a verb on a table, or on one of its columns, and whether the manifest gives it."""

    verb: str
    table: str
    column: str | None
    sql: str
    expected: bool
    origin: str | None = None
    relation: str = ""
    """The quoted name of the relation that a SELECT reads, in case it is a view whose own code raises an error."""
    excuse: str = ""
    """The warning to report in place of a finding if the attempt succeeds although it is not given."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference from the manifest; `kind` is `missing`, `excess`, `not-proven` or `still-valid`."""

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
    """The result of a proof: the numbers of attempts, the findings and the warnings."""

    attempts: int = 0
    allowed: int = 0
    refused: int = 0
    accounts: list[str] = field(default_factory=list)
    """The services whose accounts logged in."""
    findings: list[Finding] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What was not proven without being a fault, and what holds only for honest statements, not for hostile ones."""
    row_findings: set[tuple[str, str, str]] = field(default_factory=set)
    """(login, verb, table) of the findings from attempts on rows."""

    @property
    def holds(self) -> bool:
        """Whether everything was tried and matched the manifest, so that there are no findings."""
        return not self.findings

    def as_dict(self) -> dict[str, object]:
        """Return the numbers, services, findings and warnings as a dictionary for a JSON document."""
        return {
            "holds": self.holds,
            "attempts": self.attempts,
            "allowed": self.allowed,
            "refused": self.refused,
            "accounts": self.accounts,
            "findings": [asdict(finding) for finding in self.findings],
            "warnings": self.warnings,
        }
