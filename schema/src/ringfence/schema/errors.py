"""Exceptions of the admin side, and `Mistake`, one error in a file of the deployment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ringfence.runtime.errors import RingfenceError


@dataclass(frozen=True, slots=True)
class Mistake:
    """One error in a file of the deployment; `line` counts from 1, and None means the whole file."""

    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


class SchemaError(RingfenceError):
    """The base class of what the admin side raises on purpose; `details` are added to the message in JSON output."""

    details: Mapping[str, object] = {}


class BadDeployment(SchemaError):
    """The deployment's files are invalid or contradict each other.

    Args:
        mistakes: every error that was found; the exception's `mistakes` are sorted by file and line, each once.
    """

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes: tuple[Mistake, ...] = tuple(
            sorted(set(mistakes), key=lambda m: (m.file, m.line or 0, m.message)),
        )
        super().__init__("\n".join(map(str, self.mistakes)))


class Drift(SchemaError):
    """Files and server, or two files, do not match; the message shows how, and the command that resolves it."""


class AccessDrift(Drift):
    """The server's accounts or grants differ from the manifest.

    Args:
        message: shows the difference.
        plan: the plan that would correct it, as JSON; it becomes part of `details`.
    """

    def __init__(self, message: str, plan: Mapping[str, object]) -> None:
        self.details = {"plan": plan}
        super().__init__(message)


class ChangesPending(Drift):
    """A migration job would have something to do; `details` holds its plan."""


class LockLost(SchemaError):
    """Another job took over the deployment's lock, or the connection that held it broke, so this job stopped."""


class JobFailed(SchemaError):
    """A job could not begin, or one of its statements failed; the message says how far it got and what to do."""


class DecisionNeeded(JobFailed):
    """A revision is partly applied and a person must decide how to continue; the message lists the choices."""


class NullRowsRemain(JobFailed):
    """A column cannot become NOT NULL while rows hold NULL: the backfill must run first."""


class LabelInUse(JobFailed):
    """An enum cannot lose a label while rows hold it: these rows must get another value first."""


class ProofFailed(SchemaError):
    """Accounts may do more or less than the manifest says, or could not be tested.

    Args:
        findings: each deviation; together they are the message.
        proof: the complete result of the proof, as JSON.
    """

    def __init__(self, findings: Iterable[object], proof: Mapping[str, object]) -> None:
        self.proof = proof
        super().__init__("\n".join(map(str, findings)))
