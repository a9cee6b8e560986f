"""The lint: check what revisions would do, without a database, for every engine of the deployment.

The rules are in `rules/`, one module per family. `check` runs them, and `pending` runs them for the pending revisions
of a database.
"""

from ringfence.schema.lint.check import lint
from ringfence.schema.lint.finding import Finding, Severity
from ringfence.schema.lint.unsafe import UnsafeRevisions

__all__ = ["Finding", "Severity", "UnsafeRevisions", "lint"]
