"""The error that is raised when the lint finds errors."""

from collections.abc import Sequence

from ringfence.schema.errors import Drift
from ringfence.schema.lint.finding import Finding


class UnsafeRevisions(Drift):
    """Pending revisions would break what runs now.

    Args:
        findings: every finding, including warnings; also kept in `details`.
        summary: the text of the error.
    """

    def __init__(self, findings: Sequence[Finding], summary: str) -> None:
        self.findings = tuple(findings)
        super().__init__(summary)
        self.details = {"findings": [finding.as_dict() for finding in self.findings]}
