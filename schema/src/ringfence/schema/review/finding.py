"""One doubt about a manifest, with its line and a way out."""

from dataclasses import dataclass

from ringfence.schema.manifest.model import Origin

WARNING, NOTE = "warning", "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One doubt. A note is worth a look; a warning fails the check."""

    id: str
    level: str
    file: str
    line: int
    message: str
    way_out: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.level} {self.id}: {self.message}; {self.way_out}"


def finding(name: str, level: str, origin: Origin, message: str, way_out: str) -> Finding:
    """A doubt about what a line asks for."""
    return Finding(name, level, origin.file, origin.line, message, way_out)
