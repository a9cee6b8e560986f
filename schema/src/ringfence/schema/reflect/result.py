"""The result of `ringfence reflect`: the text of the file, and what it does not contain."""

from dataclasses import dataclass, field

from ringfence.schema.comparison.snapshot import Name


@dataclass
class Reflected:
    """The text of the file, the keys of its tables and views, and its limitations."""

    text: str = ""
    tables: list[str] = field(default_factory=list)
    views: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Objects that cannot be written so that the server would create the same again, each with the reason."""
    unportable: list[str] = field(default_factory=list)
    """Columns that are in the file, but that services cannot use on some engine, each with the reason."""
    differences: list[str] = field(default_factory=list)
    """Differences between the database and what the server creates from the file."""
    names_left_out: set[Name] = field(default_factory=set)
    """The names of the objects in `left_out`."""
