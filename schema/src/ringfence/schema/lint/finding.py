"""What a lint says: one finding, how bad it is, and what explains it."""

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How bad a finding is: an error stops a deploy, a warning is told."""

    WARNING = 1
    ERROR = 2

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that a rule found, on one or several engines of the deployment."""

    file: str
    line: int
    rule: str
    message: str
    severity: Severity
    engines: tuple[str, ...]
    """The engines on which it holds, in the order of the deployment; empty when it is of the file, not of an engine."""
    revision: str
    way_out: str = ""

    @property
    def explained(self) -> str:
        """The command that says what the rule is about."""
        return f"ringfence lint --explain {self.rule}"

    def __str__(self) -> str:
        where = f" [{', '.join(self.engines)}]" if self.engines else ""
        return f"{self.file}:{self.line}: {self.severity} {self.rule}: {self.message}{where}"

    def as_dict(self) -> dict[str, object]:
        """For a JSON document."""
        return {
            "file": self.file,
            "line": self.line,
            "rule": self.rule,
            "severity": str(self.severity),
            "message": self.message,
            "way_out": self.way_out,
            "engines": list(self.engines),
            "revision": self.revision,
            "explained": self.explained,
        }
