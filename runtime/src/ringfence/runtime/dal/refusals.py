"""What PyDAL's DAL does with connections and definitions of its own, which sessions and the mirror do here."""

from typing import Any, NoReturn

from ringfence.runtime.errors import Misuse

_CONNECTIONS = "connections are the pool's: open `with db.session():`, which takes one and gives it back"
_TABLES = "tables come from the mirror: add it to the models and make the mirrors again"


class Refusals:
    """Mixed in before PyDAL's DAL."""

    @staticmethod
    def distributed_transaction_begin(*instances: Any) -> NoReturn:  # noqa: ARG004  # PyDAL's form
        """Refused: a session is one transaction on one database."""
        raise Misuse("there are no transactions over several databases: commit one session after the other")

    @staticmethod
    def distributed_transaction_commit(*instances: Any) -> NoReturn:
        """Refused, as its beginning is."""
        Refusals.distributed_transaction_begin(*instances)

    def as_dict(self, flat: bool = False, sanitize: bool = True) -> dict[str, Any]:
        """What PyDAL tells of a DAL, without what only this process can hold.

        Args:
            flat: the tables too.
            sanitize: without the address, which names no host here in any case.
        """
        found: dict[str, Any] = super().as_dict(flat, sanitize)  # type: ignore[misc]  # defined by PyDAL's class, which is untyped
        return found | {"adapter_args": {}}

    def get_connection_from_pool_or_new(self) -> NoReturn:
        """Refused: sessions take connections."""
        raise Misuse(_CONNECTIONS)

    def recycle_connection_in_pool_or_close(self, action: str = "commit") -> NoReturn:
        """Refused: sessions give connections back."""
        raise Misuse(_CONNECTIONS)

    def import_table_definitions(self, *arguments: Any, **options: Any) -> NoReturn:
        """Refused: PyDAL's `.table` files are not the schema here."""
        raise Misuse(f"definitions are not imported: {_TABLES}")

    def lazy_define_table(self, tablename: str, *fields: Any, **options: Any) -> NoReturn:
        """Refused, as `define_table` is."""
        raise Misuse(f"table {tablename} cannot be defined here: {_TABLES}")
