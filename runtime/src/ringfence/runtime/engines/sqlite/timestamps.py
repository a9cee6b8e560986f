"""Timestamps and times on SQLite, which compares text: each is normalized to the form of literals, whoever wrote it."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_DIGIT = "[0-9]"
_FRACTION = "." + _DIGIT * 6
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class TextForm:
    """ISO text, which the runtime writes in one form and other programs may write in others.

    Args:
        function: the SQL function that normalizes other forms.
        pattern: a GLOB pattern of the runtime's form.
        days: by how many days the date in the text may differ from the value, because of its time zone; None for times.
    """

    function: str
    pattern: str
    days: int | None

    def form(self, column: str) -> str:
        """Return the column's SQL, normalized; the Python function is called only for text in other forms."""
        return f"(CASE WHEN {column} GLOB '{self.pattern}' THEN {column} ELSE {self.function}({column}) END)"

    def between(self, column: str, sign: str, values: Sequence[Any]) -> str:
        """Return a condition on the date with which all ISO forms begin."""
        if self.days is None or not values:
            return ""
        try:
            least = min(values).date() - self.days * _DAY
            most = max(values).date() + (self.days + 1) * _DAY
        except OverflowError:
            return ""
        above, below = f"{column} >= '{least.isoformat()}'", f"{column} < '{most.isoformat()}'"
        return {"=": f"{above} AND {below}", "<": below, "<=": below, ">": above, ">=": above}.get(sign, "")


AWARE = TextForm("ringfence_moment", f"????-??-?? ??:??:??{_FRACTION}", 1)
NAIVE = TextForm("ringfence_wall", f"????-??-?? ??:??:??{_FRACTION}", 0)
TIME = TextForm("ringfence_clock", f"??:??:??{_FRACTION}", None)
