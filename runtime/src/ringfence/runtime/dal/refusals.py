"""PyDAL's methods for connections and table definitions; they raise NotSupportedError.

Sessions take the connections from the pool, and the mirror defines the tables.
"""

from typing import Any, NoReturn

from ringfence.runtime.errors import NotSupportedError

_CONNECTIONS = "connections are the pool's: open `with db.session():`, which takes one and gives it back"
_TABLES = "tables come from the mirror: add it to the models and make the mirrors again"


class Refusals:
    """Refused methods, mixed in before PyDAL's DAL."""

    @staticmethod
    def distributed_transaction_begin(*instances: Any) -> NoReturn:  # noqa: ARG004  # PyDAL's signature
        """Raise NotSupportedError: a session is one transaction on one database."""
        raise NotSupportedError(
            "there are no transactions over several databases: commit one session after the other"
        )

    @staticmethod
    def distributed_transaction_commit(*instances: Any) -> NoReturn:
        """Raise NotSupportedError, as `distributed_transaction_begin` does."""
        Refusals.distributed_transaction_begin(*instances)

    def as_dict(self, flat: bool = False, sanitize: bool = True) -> dict[str, Any]:
        """Return PyDAL's description of the DAL, without objects that cannot leave this process.

        Args:
            flat: whether the tables are included.
            sanitize: whether the URI is left out; it names no host in any case.
        """
        found: dict[str, Any] = super().as_dict(flat, sanitize)  # type: ignore[misc]  # defined by PyDAL's class, which is untyped
        return found | {"adapter_args": {}}

    def get_connection_from_pool_or_new(self) -> NoReturn:
        """Raise NotSupportedError: sessions take connections from the pool."""
        raise NotSupportedError(_CONNECTIONS)

    def recycle_connection_in_pool_or_close(self, action: str = "commit") -> NoReturn:
        """Raise NotSupportedError: sessions return connections to the pool."""
        raise NotSupportedError(_CONNECTIONS)

    def import_table_definitions(self, *arguments: Any, **options: Any) -> NoReturn:
        """Raise NotSupportedError: PyDAL's `.table` files do not define the schema here."""
        raise NotSupportedError(f"definitions are not imported: {_TABLES}")

    def lazy_define_table(self, tablename: str, *fields: Any, **options: Any) -> NoReturn:
        """Raise NotSupportedError, as `define_table` does."""
        raise NotSupportedError(f"table {tablename} cannot be defined here: {_TABLES}")
