"""A finding of the lint, its severity, and the command that explains its rule."""

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """Severity of a finding: an error stops a migration job, a warning is only reported."""

    WARNING = 1
    ERROR = 2

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, order=True)
class Finding:
    """A problem that a rule found in a revision, on one or several engines of the deployment."""

    file: str
    line: int
    rule: str
    message: str
    severity: Severity
    engines: tuple[str, ...]
    """The affected engines, in the order of the deployment; empty if the finding concerns the file, not an engine."""
    revision: str
    resolution: str = ""
    """How to resolve the finding, in one line."""

    @property
    def explained(self) -> str:
        """The command that explains the rule."""
        return f"ringfence lint --explain {self.rule}"

    def __str__(self) -> str:
        where = f" [{', '.join(self.engines)}]" if self.engines else ""
        return f"{self.file}:{self.line}: {self.severity} {self.rule}: {self.message}{where}"

    def as_dict(self) -> dict[str, object]:
        """Return the finding as an object for JSON."""
        return {
            "file": self.file,
            "line": self.line,
            "rule": self.rule,
            "severity": str(self.severity),
            "message": self.message,
            "resolution": self.resolution,
            "engines": list(self.engines),
            "revision": self.revision,
            "explained": self.explained,
        }
