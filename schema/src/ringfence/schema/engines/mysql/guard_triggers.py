"""Guard triggers, which refuse an upsert or a REPLACE that would reach rows outside a scope.

A view with CHECK OPTION does not prevent that.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfence.schema.engines.mysql.scope_conditions import OUTSIDE, ScopeWriter, text
from ringfence.schema.manifest.model import Grant

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

_LONGEST = 64
# The login without its host. A view or trigger with a definer changes CURRENT_USER(), and not USER().
_LOGIN = "LEFT(USER(), CHAR_LENGTH(USER()) - CHAR_LENGTH(SUBSTRING_INDEX(USER(), '@', -1)) - 1)"


@dataclass(frozen=True)
class Guard:
    """One BEFORE trigger.

    Args:
        schema: of the table; None for the default schema.
        table: its name.
        event: UPDATE or DELETE.
        body: the statement that the trigger runs.
    """

    schema: str | None
    table: str
    event: str
    body: str

    @property
    def name(self) -> str:
        """Return a name with a digest of the definition, so that an old and a new trigger can exist side by side."""
        words = "\0".join((self.schema or "", self.table, self.event, self.body))
        digest = hashlib.sha256(words.encode()).hexdigest()[:8]
        plain = re.sub(r"[^a-z0-9]+", "_", self.table.lower())
        return f"ringfence_{digest}_{self.event.lower()}_{plain}"[:_LONGEST].rstrip("_")


def guards(deployment: "Deployment", database: str) -> Iterator[Guard]:
    """Yield the guards of tables where an account may insert rows, and may update or delete only some.

    Args:
        deployment: its accounts and tables.
        database: the default database.
    """
    for key, table in deployment.tables.items():
        written = ScopeWriter(table, deployment.engines, database)
        for event in ("update", "delete"):
            outside: dict[str, list[str]] = {}
            for account in deployment.accounts.values():
                granted: dict[str, Grant] = {g.verb: g for g in account.grants if g.key == key}
                if "insert" in granted and event in granted and (scope := granted[event].scope) is not None:
                    outside.setdefault(written.scope(scope, "OLD."), []).append(account.login)
            if outside:
                schema = None if table.schema is None else str(table.schema)
                yield Guard(schema, str(table.name), event.upper(), _body(outside))


def _body(outside: dict[str, list[str]]) -> str:
    cases = [
        f"IF login IN ({', '.join(map(text, sorted(logins)))}) AND NOT COALESCE({scope}, FALSE) THEN"
        f" SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{OUTSIDE}'; END IF;"
        for scope, logins in outside.items()
    ]
    declared = f"DECLARE login VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT {_LOGIN};"
    return f"BEGIN {declared} {' '.join(cases)} END"
