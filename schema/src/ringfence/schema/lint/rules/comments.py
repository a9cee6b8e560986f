"""RF0xx: checks of the comments that allow findings."""

from collections.abc import Iterator, Mapping

from ringfence.schema.lint.rule import EVERYWHERE, Rule
from ringfence.schema.revisions.source import Source

WITHOUT_REASON = Rule(
    "RF001",
    "An allow without a reason",
    "write `# ringfence: allow RF102 because …`",
    EVERYWHERE,
)
ALLOWS_NOTHING = Rule(
    "RF002",
    "An allow that allows nothing",
    "take the comment away, or put it on the line of the operation or just above it",
    EVERYWHERE,
)
RULES = (WITHOUT_REASON, ALLOWS_NOTHING)


def check_comments(source: Source, rules: Mapping[str, Rule]) -> Iterator[tuple[Rule, int, str]]:
    """Check the allow comments of a file, after all other rules have run.

    Args:
        source: the file; its allow comments know which of their rules had a finding.
        rules: id -> rule.

    Yields:
        The violated rule, the line of the comment, and the message.
    """
    for allow in source.allows:
        if not allow.rules:
            yield ALLOWS_NOTHING, allow.line, "this allow names no rule"
        for name in allow.rules:
            rule = rules.get(name)
            if rule is None:
                yield ALLOWS_NOTHING, allow.line, f"there is no rule {name}"
            elif not allow.reason:
                yield WITHOUT_REASON, allow.line, f"{name} is allowed without a reason, and so is not allowed"
            elif name not in allow.used and not rule.depends_on_mirrors:
                yield ALLOWS_NOTHING, allow.line, f"{name} is allowed, and finds nothing here"
