"""Exposures: what lets an account reach more or less than the manifest gives, beside grants and row scopes."""

from dataclasses import dataclass

from ringfence.schema.engines.types import Statement


@dataclass(frozen=True, slots=True)
class Exposure:
    """One exposure: part of the plan, reported as drift, and named by the proof.

    Args:
        kind: The standard term for it: membership, public, default privilege, attribute, setting, owner, proxy, view.
        login: The account that it concerns; None when it concerns every account.
        says: A sentence that names the cause, where it is, and what it lets which account do.
        repair: The statement of an apply that closes it; None when only a person, or another role, can.
        after: Whether the repair is sent after the grants and revokes, and not before them.
        resolution: How a person can resolve it, where there is no repair.
        refuses: Whether, without a repair, an apply refuses to begin; otherwise it warns.
        finding: What the proof reports while it exists: `excess`, `missing`, or None for advice only.
        covered: Whether grants, limits, row security or an obstacle of the plan report it too; the plan then leaves it
            out, and only the proof reports it.
        lasts: (login, what it keeps) for connections that are unaffected by the repair until they end.
    """

    kind: str
    login: str | None
    message: str
    repair: Statement | None = None
    after: bool = False
    resolution: str = ""
    refuses: bool = False
    finding: str | None = "excess"
    reported_elsewhere: bool = False
    lasting_connections: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.message}; {self.resolution}" if self.resolution else self.message
