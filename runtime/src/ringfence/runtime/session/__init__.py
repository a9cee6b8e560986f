"""One unit of work on one pooled connection: its transaction, its scopes, and the SQL that it takes."""

from ringfence.runtime.session.session import Session

__all__ = ["Session"]
