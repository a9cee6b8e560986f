"""The admin at a port where the other kind of database answers."""

import pytest

from ringfence.runtime import Settings
from ringfence.runtime.errors import AccessDenied
from ringfence.schema.engines import reach
from servers.base import Server


@pytest.mark.requires("networked")
def test_the_other_database_is_named_at_once(server: Server) -> None:
    host, port = server.hosts[0]
    db_type = "mysql" if server.db_type == "postgresql" else "postgresql"
    attempts: list[str] = []
    settings = Settings.from_env(
        {
            "DB_TYPE": db_type,
            "DB_HOST": host,
            "DB_PORT": str(port),
            "DB_NAME": "shop",
            "DB_USER": "admin",
            "DB_PASS": "secret",
        }
    )
    with pytest.raises(AccessDenied, match=rf"answers there.*DB_TYPE={server.db_type}, or another DB_PORT"):
        reach(settings, attempts.append)
    assert attempts == []
