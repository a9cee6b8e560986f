"""One unit of work on one pooled connection: its transaction, its scopes, and checks of the program's own SQL."""

from ringfence.runtime.session.session import Session

__all__ = ["Session"]
