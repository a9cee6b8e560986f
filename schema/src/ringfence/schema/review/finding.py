"""A finding of the manifest's lint, with its line and how to resolve it."""

from dataclasses import dataclass

from ringfence.schema.manifest.model import Origin

WARNING, NOTE = "warning", "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of the lint.

    `level` is "note" or "warning"; only a warning makes the check fail. `resolution` says how to resolve it.
    """

    id: str
    level: str
    file: str
    line: int
    message: str
    resolution: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.level} {self.id}: {self.message}; {self.resolution}"


def finding(name: str, level: str, origin: Origin, message: str, resolution: str) -> Finding:
    """Make a finding at a line of the manifest.

    Args:
        name: the finding's identifier, such as "blind-write".
        level: WARNING or NOTE.
        origin: the line.
        message: what is wrong.
        resolution: how to resolve it.
    """
    return Finding(name, level, origin.file, origin.line, message, resolution)
