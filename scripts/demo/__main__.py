"""`scripts/demo.sh`: run the steps of the demonstration, check each one, and print the JSON document."""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from demo import questions, refusals
from demo.client import Client
from demo.database import DemoDatabase, NoDatabase, open_database
from demo.processes import MIGRATE, THREADS, Service, check_result, run, run_as
from demo.transcript import CheckFailed, Transcript, expect
from servers.process import free_ports

ENGINES = ("sqlite", "postgresql", "mariadb", "galera", "mysql")
SERVICES = ("backend-api", "analytics", "twitch-trigger", "discord-trigger")
LOADERS = ("backend-api", "connector")
"""The accounts that load the data; connector has no service here."""
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
CHECK_FAILED, WRONG_INPUT, NO_SERVER, INTERRUPTED = 1, 3, 4, 130


def main() -> int:
    """Run the demonstration. Returns the exit status: 0 only if every printed line was checked."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo.sh", description="From an empty database to running services."
    )
    parser.add_argument("--engine", choices=ENGINES, help="default: the one of DATABASE_URL, else sqlite")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document at the end, the transcript on stderr"
    )
    parser.add_argument("--serve", action="store_true", help="leave the services running until Ctrl-C")
    try:
        arguments = parser.parse_args()
    except SystemExit as end:
        return WRONG_INPUT if end.code else 0
    for number in _ENDING:
        signal.signal(number, _interrupt)
    transcript = Transcript(to_stderr=arguments.json)
    try:
        Demonstration(transcript, arguments.engine).run(arguments.json, arguments.serve)
    except NoDatabase as error:
        transcript.fail(str(error))
        return NO_SERVER
    except CheckFailed as error:
        transcript.fail(f"unexpected result: {error}")
        return CHECK_FAILED
    except KeyboardInterrupt:
        transcript.print("Stopped.")
        return INTERRUPTED
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    for (
        number
    ) in _ENDING:  # what was started is being stopped from here on, and a second signal must not stop that
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


class Demonstration:
    """One run of the demonstration: its database and its services."""

    def __init__(self, transcript: Transcript, engine: str | None) -> None:
        self.transcript = transcript
        self.engine = engine
        self.began = time.monotonic()
        self.services: dict[str, Service] = {}
        self.loaders: dict[str, Service] = {}
        self.clients: dict[str, Client] = {}

    def run(self, as_json: bool, serve: bool) -> None:
        """Run all steps in order; at the end, stop what was started and remove what was created."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ringfence-demo-")))
            secrets = folder / "secrets"
            secrets.mkdir(mode=0o700)
            with self.transcript.step("A database"):
                database = stack.enter_context(
                    open_database(self.engine, os.environ, secrets, self.transcript)
                )
                self.transcript.passed(database.name)
                if not database.has_accounts:
                    self.transcript.print(
                        "  It has no accounts of its own: each service's process enforces its mirror,"
                    )
                    self.transcript.print(
                        "  which protects against mistakes of its code, not against a hostile process."
                    )
            document = self._run_steps(database, folder, stack)
            document["seconds"] = round(time.monotonic() - self.began, 1)
            self.transcript.print(f"Every line above was checked, in {document['seconds']:.0f} seconds.")
            if as_json:
                print(json.dumps(document, indent=2, ensure_ascii=False), flush=True)
            if serve:
                self._serve()

    def _run_steps(self, database: DemoDatabase, folder: Path, stack: ExitStack) -> dict[str, Any]:
        with self.transcript.step("Secrets: one for each account"):
            files = self._secrets(database.secrets)
        with self.transcript.step("Migration, under the admin account"):
            migrated = self._migrate(database, files)
        with self.transcript.step("Proof of every grant, logged in as each account"):
            self._verify(database, files)
        self._prepare(database, files, folder)
        with self.transcript.step("Data, through PyDAL, under the accounts of backend-api and connector"):
            loaded = json.loads(run_as(self.loaders["backend-api"], "demo.load"))
            loaded |= json.loads(run_as(self.loaders["connector"], "demo.load_integrations"))
            number = sum(map(len, loaded["integrations"].values()))
            self.transcript.passed(
                f"{loaded['users']:,} users, {loaded['events']:,} events, {number} integrations"
            )
        with self.transcript.step("The services start, each under its own account"):
            self._start(database, files, stack)
        with self.transcript.step("backend-api answers over HTTP"):
            questions.ask_backend(self.transcript, self.clients["backend-api"], loaded, THREADS)
        with self.transcript.step("analytics answers over HTTP"):
            questions.ask_analytics(self.transcript, self.clients["analytics"], loaded)
        with self.transcript.step("The trigger services share a table, and each sees only its own rows"):
            for platform in loaded["integrations"]:
                if (client := self.clients.get(f"{platform}-trigger")) is not None:
                    questions.ask_trigger(self.transcript, client, platform, loaded["integrations"])
        with self.transcript.step("Operations without a privilege are refused"):
            refused = [
                row for service in self.services.values() for row in refusals.show(self.transcript, service)
            ]
            questions.ask_analytics(Transcript.silent(), self.clients["analytics"], loaded)
            self.transcript.passed("nothing was changed: the figures are the same as before")
        return {
            "engine": database.identity.engine,
            "server": database.name,
            "revision": migrated["revision"],
            "services": {name: self._figures(name, refused) for name in self.services},
            "refused": refused,
            "accounts": len(files),
        }

    def _secrets(self, folder: Path) -> dict[str, Path]:
        """Make the accounts' secrets; returns the file that each variable of the job must name."""
        made = json.loads(
            run(("ringfence", "-C", "services", "secrets", "generate", str(folder), "--json"), {})
        )
        files = {file["variable"]: Path(file["path"]) for file in made["files"]}
        expect(bool(files), f"`ringfence secrets generate` left no file in {folder}")
        open_ = [path.name for path in files.values() if path.stat().st_mode & 0o077]
        expect(not open_, f"others may read {', '.join(open_)}")
        self.transcript.passed(f"{len(files)} accounts, each with a file that only we may read")
        return files

    def _migrate(self, database: DemoDatabase, files: dict[str, Path]) -> dict[str, Any]:
        passwords = {variable: str(path) for variable, path in files.items()}
        migrated: dict[str, Any] = json.loads(run((*MIGRATE, "--json"), database.admin | passwords))
        database.created.extend(migrated["access"]["created"])
        expect(migrated["ok"] and migrated["revision"], f"the job reported {migrated}")
        self.transcript.passed(
            f"the schema is at revision {migrated['revision']}; accounts, grants, mirrors agree"
        )
        return migrated

    def _verify(self, database: DemoDatabase, files: dict[str, Path]) -> None:
        passwords = {variable: str(path) for variable, path in files.items()}
        command = ("ringfence", "-C", "services", "access", "verify", "--json")
        verified = json.loads(run(command, database.admin | passwords))
        proven = verified["holds"] and verified["allowed"] and verified["refused"]
        expect(bool(proven), f"access verify reported {verified}")
        self.transcript.passed(
            f"{verified['attempts']:,} attempts: {verified['allowed']:,} allowed, {verified['refused']:,} refused, "
            "each as the manifest says"
        )

    def _prepare(self, database: DemoDatabase, files: dict[str, Path], folder: Path) -> None:
        names = tuple(dict.fromkeys(SERVICES + LOADERS))
        for name, port in zip(names, free_ports(len(names)), strict=True):
            variable = f"{name.upper().replace('-', '_')}_DB_PASS_FILE"
            service = Service(name, {}, folder, port)
            login = json.loads(service.mirror.read_text(encoding="utf-8"))["login"]
            service.env = database.service(login, files[variable], THREADS)
            if name in LOADERS:
                self.loaders[name] = service
            if name in SERVICES:
                self.services[name] = service
                self.clients[name] = Client(service.url)

    def _start(self, database: DemoDatabase, files: dict[str, Path], stack: ExitStack) -> None:
        for service in self.services.values():
            stack.callback(service.stop)
            service.start()
        for name, service in self.services.items():
            service.wait(self.clients[name])
            expect(self.clients[name].get("/livez").status == 200, f"{name}: /livez")
            own = service.env.get("DB_PASS_FILE")
            others = [path for path in (*files.values(), database.secrets / "admin") if str(path) != own]
            self._holds_no_other(service, others)
            self.transcript.passed(f"{name} is ready at {service.url}, and holds no other account's secret")

    def _holds_no_other(self, service: Service, others: list[Path]) -> None:
        """Look at the process as the system shows it: no other secret, and no path of one."""
        given = "\n".join(f"{name}={value}" for name, value in service.env.items())
        text = (service.process and check_result(service.process.pid)) or given
        for path in others:
            held = str(path) in text or (path.exists() and path.read_text().strip() in text)
            expect(not held, f"{service.name} holds the secret {path.name}")

    def _figures(self, name: str, refused: list[dict[str, str]]) -> dict[str, Any]:
        client = self.clients[name]
        ready = client.get("/readyz").status == 200
        expect(ready, f"{name} is not ready any more:\n{self.services[name].tail()}")
        return {
            "ready": ready,
            "requests": client.requests,
            "refused": sum(row["service"] == name for row in refused),
            "url": client.base,
        }

    def _serve(self) -> None:
        for name, service in self.services.items():
            self.transcript.print(f"{name:<15} {service.url}")
        self.transcript.print("Ctrl-C stops them.")
        try:
            while all(
                service.process and service.process.poll() is None for service in self.services.values()
            ):
                time.sleep(0.2)
        except KeyboardInterrupt:
            return
        raise CheckFailed("a service ended by itself")


if __name__ == "__main__":
    sys.exit(main())
