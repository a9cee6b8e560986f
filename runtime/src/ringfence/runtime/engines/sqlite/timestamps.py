"""Moments and times on SQLite, which compares text: each in the form that literals have, whoever wrote it."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_DIGIT = "[0-9]"
_FRACTION = "." + _DIGIT * 6
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Written:
    """Text in ISO form, of which the runtime writes one way and other programs write others.

    Args:
        function: makes the form of any other text, under this name.
        pattern: of what has the form already, for GLOB.
        days: the days around a value in whose text it may be written, by reason of its zone; None where text is no
            moment, and so has no order by days.
    """

    function: str
    pattern: str
    days: int | None

    def form(self, column: str) -> str:
        """The column as it is where it has the form: a function of Python is called for others alone."""
        return f"(CASE WHEN {column} GLOB '{self.pattern}' THEN {column} ELSE {self.function}({column}) END)"

    def between(self, column: str, sign: str, values: Sequence[Any]) -> str:
        """The days of the text, which every ISO form begins with."""
        if self.days is None or not values:
            return ""
        try:
            least = min(values).date() - self.days * _DAY
            most = max(values).date() + (self.days + 1) * _DAY
        except OverflowError:
            return ""
        above, below = f"{column} >= '{least.isoformat()}'", f"{column} < '{most.isoformat()}'"
        return {"=": f"{above} AND {below}", "<": below, "<=": below, ">": above, ">=": above}.get(sign, "")


MOMENT = Written("ringfence_moment", f"????-??-?? ??:??:??{_FRACTION}", 1)
WALL = Written("ringfence_wall", f"????-??-?? ??:??:??{_FRACTION}", 0)
CLOCK = Written("ringfence_clock", f"??:??:??{_FRACTION}", None)
