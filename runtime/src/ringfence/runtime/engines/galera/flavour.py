"""The differences of a MariaDB Galera node from a single MariaDB server."""

from typing import Any

from ringfence.runtime.engines.mariadb.flavour import MariaDBFlavour
from ringfence.runtime.errors import NotReady

_SYNCED = "4"


class GaleraFlavour(MariaDBFlavour):
    """A Galera node, which is ready only while it is in the primary component and synced."""

    name = "galera"

    def check_ready(self, cursor: Any) -> None:
        """Check that the node is ready.

        Args:
            cursor: PyMySQL's cursor.

        Raises:
            NotReady: while the node is joining, donating or disconnected from the cluster.
        """
        cursor.execute(
            "SHOW GLOBAL STATUS WHERE Variable_name IN"
            " ('wsrep_ready', 'wsrep_local_state', 'wsrep_local_state_comment')"
        )
        state = dict(cursor.fetchall())
        if state.get("wsrep_ready") != "ON" or state.get("wsrep_local_state") != _SYNCED:
            said = state.get("wsrep_local_state_comment", "unknown")
            raise NotReady(f"the node is not synced with its cluster: {said}", "joining")
