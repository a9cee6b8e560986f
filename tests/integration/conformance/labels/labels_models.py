"""Enum columns as packages declare them: labels of their own, classes within classes and within functions."""

import enum
from typing import Any

import sqlalchemy as sa

from ringfence.schema.models import NAMING


class Level(enum.Enum):
    """Stored by value."""

    low = "L"
    high = "H"


class Twisted(enum.Enum):
    """Each label is the other's name."""

    a = "b"
    b = "a"


class Outer:
    """Holds an Enum within."""

    class Color(enum.Enum):
        """By name, in a class."""

        red = 1
        blue = 2

        crimson = 1  # noqa: PIE796 - another name of the first


class Word(str, enum.Enum):  # noqa: UP042 - what many packages have, and a StrEnum prints otherwise
    """A text that is an Enum: its value is not its label."""

    yes = "YES"
    no = "NO"


class Rank(enum.IntEnum):
    """A number that is an Enum, by name."""

    first = 1
    second = 2


def _within() -> type[enum.Enum]:
    class Hidden(enum.Enum):
        one = "1"
        two = "2"

    return Hidden


Hidden = _within()


def by_value(members: Any) -> list[str]:
    """What packages write as `values_callable`."""
    return [member.value for member in members]


metadata = sa.MetaData(naming_convention=NAMING)
mark = sa.Table(
    "mark",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("level", sa.Enum(Level, values_callable=by_value), default=Level.high),
    sa.Column("twisted", sa.Enum(Twisted, values_callable=by_value), default=Twisted.a),
    sa.Column("color", sa.Enum(Outer.Color), default=Outer.Color.blue),
    sa.Column("shade", sa.Enum(Outer.Color, name="shade", omit_aliases=False, native_enum=False, length=20)),
    sa.Column("word", sa.Enum(Word, native_enum=False, length=20)),
    sa.Column("said", sa.Enum(Word, name="said", values_callable=by_value)),
    sa.Column("rank", sa.Enum(Rank, native_enum=False, length=20)),
    sa.Column("hidden", sa.Enum(Hidden)),
    sa.Column("veiled", sa.Enum(Hidden, name="veiled", values_callable=by_value)),
    sa.Column("plain", sa.Enum("x", "y", name="plain")),
)
