"""The lint: looks at what revisions do, before they do it, on every engine of the deployment."""

from ringfence.schema.migrate.lint.check import lint
from ringfence.schema.migrate.lint.finding import Finding, Severity
from ringfence.schema.migrate.lint.selection import pending, select
from ringfence.schema.migrate.lint.unsafe import Unsafe

__all__ = ["Finding", "Severity", "Unsafe", "lint", "pending", "select"]
