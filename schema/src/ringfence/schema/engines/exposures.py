"""What, beside grants and row scopes, lets somebody reach more than the manifest gives, or an account less."""

from dataclasses import dataclass

from ringfence.schema.engines.types import Statement


@dataclass(frozen=True, slots=True)
class Exposure:
    """One such thing on the server: planned, reported as drift, and named by the proof.

    Args:
        kind: the field's word for it: membership, public, default privilege, attribute, setting, owner, proxy, view.
        login: the account that it concerns; None when it is everybody's.
        says: a sentence that names the thing, where it is, and what it lets whom do.
        repair: what an apply sends; None when it takes a person to decide, or another's rights.
        after: whether the repair comes after the grants and revokes, and not before them.
        way_out: what that person can do, where there is no repair.
        refuses: without a repair: whether an apply refuses to begin; else it warns.
        finding: what the proof calls it while it stands: `excess`, `missing`, or None where it is advice alone.
        lasts: (login, what) of connections that keep it after the repair, until they end.
        covered: whether grants, limits, row security or an obstacle of the plan speak of it too: it is for the proof
            alone, and no second line of a plan.
    """

    kind: str
    login: str | None
    says: str
    repair: Statement | None = None
    after: bool = False
    way_out: str = ""
    refuses: bool = False
    finding: str | None = "excess"
    covered: bool = False
    lasts: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.says}; {self.way_out}" if self.way_out else self.says
