"""What each account must be refused, tried under that account with an intruder's plain SQL."""

import json
from dataclasses import dataclass

from demo.processes import Service, run_as
from demo.transcript import Transcript, expect


@dataclass(frozen=True)
class Attempt:
    """One forbidden thing; the statement is valid on every engine, and would do harm if let through."""

    verb: str
    table: str
    what: str
    statement: str


ATTEMPTS: dict[str, list[Attempt]] = {
    "backend-api": [
        Attempt("create", "loot", "create a table", "CREATE TABLE loot (id INTEGER PRIMARY KEY)"),
        Attempt("drop", "events", "drop the events", "DROP TABLE events"),
        Attempt("delete", "events", "delete the events", "DELETE FROM events"),
        Attempt("update", "events", "rewrite the events", "UPDATE events SET kind = 'nothing'"),
        Attempt("select", "songs", "read another service's songs", "SELECT title FROM songs"),
        Attempt(
            "select",
            "platform_integrations",
            "read the platforms' tokens",
            "SELECT token FROM platform_integrations",
        ),
        Attempt("delete", "ringfence_release", "forge the releases", "DELETE FROM ringfence_release"),
    ],
    "analytics": [
        Attempt("select", "auth_user", "read the users' passwords", "SELECT password FROM auth_user"),
        Attempt("select", "auth_user", "read the users' addresses", "SELECT email FROM auth_user"),
        Attempt("update", "auth_user", "deactivate everybody", "UPDATE auth_user SET active = NULL"),
        Attempt("delete", "auth_user", "delete the users", "DELETE FROM auth_user"),
        Attempt("insert", "events", "invent an event", "INSERT INTO events (kind) VALUES ('invented')"),
        Attempt("delete", "events", "delete the events", "DELETE FROM events"),
        Attempt("select", "sessions", "read the sessions", "SELECT id FROM sessions"),
        Attempt("create", "loot", "create a table", "CREATE TABLE loot (id INTEGER PRIMARY KEY)"),
    ],
    "twitch-trigger": [
        Attempt("select", "platform_integrations", "read a token", "SELECT token FROM platform_integrations"),
        Attempt(
            "select",
            "discord_user_token",
            "read the tokens of Discord's users",
            "SELECT token FROM discord_user_token",
        ),
    ],
    "discord-trigger": [
        Attempt(
            "delete",
            "platform_integrations",
            "delete the integrations",
            "DELETE FROM platform_integrations",
        ),
        Attempt(
            "insert",
            "platform_integrations",
            "invent an integration",
            "INSERT INTO platform_integrations (account) VALUES ('invented')",
        ),
    ],
}


def show(transcript: Transcript, service: Service) -> list[dict[str, str]]:
    """Try what it must not do. Returns the rows of `refused`; raises CheckFailed when one was not refused."""
    attempts = ATTEMPTS[service.name]
    statements = json.dumps([attempt.statement for attempt in attempts])
    outcomes = json.loads(run_as(service, "demo.probe", statements))
    rows = []
    for attempt, outcome in zip(attempts, outcomes, strict=True):
        where = f"{service.name}: {attempt.what} ({attempt.statement})"
        expect(outcome["refused"], f"{where}: not refused: {outcome['error']}")
        transcript.refused(service.name, attempt.what, outcome["error"])
        rows.append(
            {
                "service": service.name,
                "verb": attempt.verb,
                "table": attempt.table,
                "error": outcome["error"],
            }
        )
    return rows
