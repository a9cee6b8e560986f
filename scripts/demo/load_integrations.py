"""Loads the integrations through PyDAL under the account of connector, and prints their keys as JSON.

Run as a process of its own, so that it has that account's environment and no other.
"""

import json
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ringfence.runtime import Database

if TYPE_CHECKING:
    from mirrors.connector import DAL

ACCOUNTS: dict[Literal["twitch", "discord", "youtube"], list[str]] = {
    "twitch": ["ada_live", "zoë_plays", "night_radio"],
    "discord": ["The Engine Room", "Lovelace Readers"],
    "youtube": ["Difference Engines"],
}


def main(mirror: Path) -> None:
    """Store everything, and print the key of each account of each platform."""
    database: Database[DAL] = Database["DAL"].from_env(mirror)
    try:
        database.wait_until_ready()
        with database.session() as dal:
            integration = dal.platform_integrations
            found = {
                platform: {
                    name: int(integration.insert(platform=platform, account=name, token=secrets.token_hex()))
                    for name in names
                }
                for platform, names in ACCOUNTS.items()
            }
    finally:
        database.close()
    print(json.dumps({"integrations": found}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
