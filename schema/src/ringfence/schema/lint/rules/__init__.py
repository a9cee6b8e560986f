"""All rules of the lint. A new rule is added to `RULES` in the module of its family."""

from collections.abc import Mapping
from types import MappingProxyType

from ringfence.schema.lint.rule import Rule
from ringfence.schema.lint.rules import (
    blocking,
    clusters,
    comments,
    destructive,
    engines,
    revisions,
    services,
)

# id -> rule: RF0 comments, RF1 destructive, RF2 blocking, RF3 services, RF4 engines, RF5 revisions, RF6 clusters.
RULES: Mapping[str, Rule] = MappingProxyType(
    {
        rule.id: rule
        for family in (comments, destructive, blocking, services, engines, revisions, clusters)
        for rule in family.RULES
    }
)
