"""The error of a lint that found some."""

from collections.abc import Sequence

from ringfence.schema.errors import Drift
from ringfence.schema.lint.finding import Finding


class Unsafe(Drift):
    """Revisions and what runs now do not go together; `findings` holds everything found, warnings included."""

    def __init__(self, findings: Sequence[Finding], summary: str) -> None:
        self.findings = tuple(findings)
        super().__init__(summary)
        self.details = {"findings": [finding.as_dict() for finding in self.findings]}
