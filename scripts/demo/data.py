"""Plausible users and events: the same ones every time, ending today."""

import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

USERS = 1000
EVENTS = 4000
DAYS = 14

_FIRST = "Ada Alan Amal Anna Chen Dana Elif Femi Grace Ivo Jun Kofi Lena Olga Rosa Zoë".split()
_LAST = "Abe Berg Costa Diaz Eze Fox Hopper Ito Kaya Lund Novak Okoro Rao Sato Turing Wu".split()
_KINDS = {"page_view": 60, "login": 20, "song_played": 12, "playlist_saved": 5, "purchase": 3}
_PLACES = ["/", "/songs", "/songs/42", "/settings", "/playlists/abend-für-zwei", "/ニュース"]


@dataclass(frozen=True)
class User:
    """A user to be stored; `index` is its database in the list and no key."""

    index: int
    email: str
    active: bool
    confirmed_at: datetime | None


@dataclass(frozen=True)
class Event:
    """An event to be stored, by the user of that index."""

    user: int
    kind: str
    source: str
    payload: dict[str, object]
    occurred_at: datetime


def users(random_: random.Random, now: datetime) -> Iterator[User]:
    """Users of whom nine in ten are active, and most have confirmed their address."""
    for index in range(USERS):
        first, last = random_.choice(_FIRST), random_.choice(_LAST)
        confirmed = now - timedelta(days=random_.randint(DAYS, 700)) if random_.random() < 0.8 else None
        yield User(index, f"{first}.{last}.{index}@example.org".lower(), random_.random() < 0.9, confirmed)


def events(random_: random.Random, now: datetime) -> Iterator[Event]:
    """Events of the last days; a few users are busy and many are seldom seen."""
    kinds, weights = list(_KINDS), list(_KINDS.values())
    for _ in range(EVENTS):
        kind = random_.choices(kinds, weights)[0]
        moment = now - timedelta(seconds=random_.uniform(1, (DAYS - 1) * 86400))
        yield Event(int(USERS * random_.random() ** 2), kind, "web", _payload(random_, kind), moment)


def _payload(random_: random.Random, kind: str) -> dict[str, object]:
    match kind:
        case "page_view":
            return {"path": random_.choice(_PLACES), "ms": random_.randint(3, 900)}
        case "purchase":
            return {"cents": random_.randint(99, 9999), "gift": random_.random() < 0.1}
        case "login":
            return {"from": random_.choice(["web", "phone", "desk"])}
        case _:
            return {"song": random_.randint(1, 500)}


def moment() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


def password() -> str:
    """A random password, for users that never log in."""
    return secrets.token_urlsafe(24)
