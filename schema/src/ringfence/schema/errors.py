"""What goes wrong on the admin side; a deployment's mistakes are told all at once, each with file and line."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ringfence.runtime.errors import RingfenceError


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong in a file of the deployment; `line` counts from 1, and None means the whole file."""

    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


class SchemaError(RingfenceError):
    """The root of what the admin side raises on purpose; `details` go into the JSON document beside the message."""

    details: Mapping[str, object] = {}


class BadDeployment(SchemaError):
    """The deployment's files contradict themselves or each other; `mistakes` holds everything found."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes: tuple[Mistake, ...] = tuple(
            sorted(set(mistakes), key=lambda m: (m.file, m.line or 0, m.message)),
        )
        super().__init__("\n".join(map(str, self.mistakes)))


class Drift(SchemaError):
    """What is written down and what is there differ; the message shows how, and which command brings them together."""


class AccessDrift(Drift):
    """Accounts or grants are not what the manifest says; `details` holds the plan that mends it."""

    def __init__(self, message: str, plan: Mapping[str, object]) -> None:
        self.details = {"plan": plan}
        super().__init__(message)


class Planned(Drift):
    """There is something for a job to do; `details` holds the plan of it."""


class LockLost(SchemaError):
    """The deployment's lock went to another job, or its connection broke: this job stopped where it stood."""


class JobFailed(SchemaError):
    """A job could not begin, or a statement of it failed; the message says where it stands and what to do."""


class Undecided(JobFailed):
    """A revision stands half-way, and only a person can say how it goes on; the message says what is to be decided."""


class NullLeft(JobFailed):
    """A column is to refuse NULL while rows hold it: the backfill must run first."""


class LabelHeld(JobFailed):
    """An enum is to lose a label while rows hold it: they must be given another value first."""


class NotProven(SchemaError):
    """Accounts may do more or less than the manifest says, or could not be tried; `proof` is the whole of it."""

    def __init__(self, findings: Iterable[object], proof: Mapping[str, object]) -> None:
        self.proof = proof
        super().__init__("\n".join(map(str, findings)))
