"""Loads the data through PyDAL under the account of backend-api, and prints as JSON what must be found later.

Run as a process of its own, so that it has that account's environment and no other.
"""

import json
import random
import sys
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from werkzeug.security import generate_password_hash

from demo import data
from ringfence.runtime import Database

if TYPE_CHECKING:
    from mirrors.backend_api import DAL

SEED = 1815
CHUNK = 500
"""Rows to a transaction: a cluster bounds how much one may write."""


def main(mirror: Path) -> None:
    """Load everything and print the expected figures."""
    chance = random.Random(SEED)  # noqa: S311 - the same data each time is the point
    now = data.moment()
    users = list(data.users(chance, now))
    events = list(data.events(chance, now))
    database = Database["DAL"].from_env(mirror)
    try:
        database.wait_until_ready()
        keys = _store_users(database, users)
        _store_events(database, events, keys)
    finally:
        database.close()
    print(json.dumps(_expected(users, events, now)))


def _store_users(database: "Database[DAL]", users: list[data.User]) -> list[int]:
    """Store the users; returns their keys in the same order."""
    hashed = generate_password_hash(data.password())  # one for all: a good hash takes its time
    keys: list[int] = []
    for start in range(0, len(users), CHUNK):
        with database.session() as dal:
            for user in users[start : start + CHUNK]:
                key = dal.auth_user.insert(
                    email=user.email,
                    password=hashed,
                    fs_uniquifier=uuid4().hex,
                    active=user.active,
                    confirmed_at=user.confirmed_at,
                )
                keys.append(key)
    return keys


def _store_events(database: "Database[DAL]", events: list[data.Event], keys: list[int]) -> None:
    for start in range(0, len(events), CHUNK):
        with database.session() as dal:
            for event in events[start : start + CHUNK]:
                dal.events.insert(
                    user_id=keys[event.user],
                    source=event.source,
                    kind=event.kind,
                    payload=event.payload,
                    occurred_at=event.occurred_at,
                )


def _expected(users: list[data.User], events: list[data.Event], now: datetime) -> dict[str, object]:
    """What the services must answer, counted here without a database."""
    daily: dict[str, set[int]] = defaultdict(set)
    for event in events:
        if users[event.user].active:
            daily[event.occurred_at.date().isoformat()].add(event.user)
    last = now.date()
    return {
        "users": len(users),
        "active": sum(user.active for user in users),
        "events": len(events),
        "from": (last - timedelta(days=data.DAYS - 1)).isoformat(),
        "to": last.isoformat(),
        "by_kind": Counter(event.kind for event in events),
        "daily": {day: len(seen) for day, seen in sorted(daily.items())},
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
