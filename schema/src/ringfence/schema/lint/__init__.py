"""The lint: checks what revisions would do, without a database, for every engine of the deployment."""

from ringfence.schema.lint.check import lint
from ringfence.schema.lint.finding import Finding, Severity
from ringfence.schema.lint.unsafe import UnsafeRevisions

__all__ = ["Finding", "Severity", "UnsafeRevisions", "lint"]
