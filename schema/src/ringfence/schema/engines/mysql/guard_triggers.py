"""Guard triggers: through a checked view an upsert or a REPLACE touches rows outside it, and these do not let it."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfence.schema.engines.mysql.scope_conditions import OUTSIDE, Written, text
from ringfence.schema.manifest.model import Grant

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

_LONGEST = 64
# Who logged in, without the host: a view or trigger of ours changes the current user, and not this.
_LOGIN = "LEFT(USER(), CHAR_LENGTH(USER()) - CHAR_LENGTH(SUBSTRING_INDEX(USER(), '@', -1)) - 1)"


@dataclass(frozen=True)
class Guard:
    """One BEFORE trigger; `event` is UPDATE or DELETE."""

    schema: str | None
    table: str
    event: str
    body: str

    @property
    def name(self) -> str:
        """Another one for other words, so that both can stand for a moment."""
        words = "\0".join((self.schema or "", self.table, self.event, self.body))
        digest = hashlib.sha256(words.encode()).hexdigest()[:8]
        plain = re.sub(r"[^a-z0-9]+", "_", self.table.lower())
        return f"ringfence_{digest}_{self.event.lower()}_{plain}"[:_LONGEST].rstrip("_")


def guards(deployment: "Deployment", database: str) -> Iterator[Guard]:
    """The guards of every table to which an account may add rows, and of which it may change or remove only some."""
    for key, table in deployment.tables.items():
        written = Written(table, deployment.engines, database)
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
