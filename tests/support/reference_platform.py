"""The reference deployment in a database of its own, and its services in this process. For the acceptance tests."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from servers.base import Database, clean_environment
from support import forked_commands

ROOT = Path(__file__).parents[2]
PROBLEM = "application/problem+json"
PASSWORD = "correct horse battery staple"


class Platform:
    """The reference deployment in a database of its own, with logins that no other test has."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.root = folder / "services"
        kept = shutil.ignore_patterns("__pycache__", "backend_api", "analytics", "*_trigger", "platform_web")
        shutil.copytree(ROOT / "services", self.root, ignore=kept)
        manifest = self.root / "access.yaml"
        login = f'login: "{database.prefix}{{service}}"'
        manifest.write_text(re.sub(r'login: "\{service\}"', login, manifest.read_text()))
        files = json.loads(self.ringfence("secrets", "generate", str(folder / "secrets"), "--json"))["files"]
        self.secrets = {file["service"]: file["path"] for file in files}
        passwords = {file["variable"]: file["path"] for file in files}
        self.ringfence("migrate", "--write-mirrors", **database.env(), **passwords)

    def empty(self) -> None:
        """Delete every row of the services."""
        from platform_models import (
            metadata,  # not beside the runtime's wheel alone, where there is no SQLAlchemy
        )

        self.database.execute(*(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)))

    def ringfence(self, *arguments: str, **env: str) -> str:
        command = ("ringfence", "-C", str(self.root), *arguments)
        done = forked_commands.run(command, Path.cwd(), clean_environment() | env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def mirror(self, service: str) -> Path:
        return self.root / "mirrors" / f"{service}.json"

    def relation(self, service: str, table: str, verb: str = "select") -> str:
        """What a verb goes through on this engine."""
        verbs = json.loads(self.mirror(service).read_text())["tables"][table]["verbs"]
        return str(verbs[verb].get("relations", {}).get(self.database.server.engine, table))

    def env(self, service: str) -> dict[str, str]:
        login = json.loads(self.mirror(service).read_text())["login"]
        return self.database.env(login, Path(self.secrets[service]).read_text().strip())


def serve(module: Any, mirror: Path, env: dict[str, str]) -> Iterator[FlaskClient]:
    """A client of a service that runs in this process, with the environment it would have in its own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATABASE_URL", "DB_PASS_FILE"):
            patch.delenv(name, raising=False)
        for name, value in env.items():
            patch.setenv(name, value)
        app = module.create_app(mirror)
    yield app.test_client()
    app.extensions["ringfence"].database.close()


def problem(answer: Any, status: int) -> dict[str, Any]:
    """The problem document of an answer, whole and of the right status."""
    assert (answer.status_code, answer.content_type) == (status, PROBLEM), answer.text
    assert {"type", "title", "status", "detail"} <= set(answer.json)
    assert answer.json["status"] == status
    return answer.json
