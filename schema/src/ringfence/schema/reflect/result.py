"""What `ringfence reflect` found: the file's text, and all that is not in it."""

from dataclasses import dataclass, field

from ringfence.schema.comparison.snapshot import Name


@dataclass
class Reflected:
    """The file's text, the tables and views that it holds, and what a person must know of it."""

    text: str = ""
    tables: list[str] = field(default_factory=list)
    views: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """What cannot be written so that the same comes back, each with the reason."""
    unportable: list[str] = field(default_factory=list)
    """Columns that are written as they are, and that no service can be given on some engine, each with the reason."""
    differs: list[str] = field(default_factory=list)
    """What would be made otherwise than it is: the server was asked."""
    names_left_out: set[Name] = field(default_factory=set)
    """The objects of the catalog that `left_out` speaks of."""
