"""Processes with an environment of their own: a service's holds its own secret and no other."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demo.client import Client
from demo.transcript import CheckFailed, expect

ROOT = Path(__file__).parents[2]
GUNICORN = ("gunicorn", "--config", "python:platform_web.serving")
MIGRATE = ("ringfence", "-C", "services", "migrate")
THREADS = 8
"""Threads of each service, and connections too."""

_LOCK_TIMEOUT = 60
"""Seconds that a service gets to start, and to stop."""

# What a process needs of our own environment to run at all; nothing that names a database or holds a secret.
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT")


@dataclass
class Service:
    """A service of the demonstration: its account's environment, and its process once it runs."""

    name: str
    env: Mapping[str, str] = field(repr=False)
    logs: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def package(self) -> str:
        """The Python package of the service."""
        return self.name.replace("-", "_")

    @property
    def mirror(self) -> Path:
        """The mirror file of the service."""
        return ROOT / "services" / "mirrors" / f"{self.name}.json"

    @property
    def url(self) -> str:
        """Where the service answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """Where the service's output goes."""
        return self.logs / f"{self.name}.log"

    def start(self) -> None:
        """Start the service; it opens its port when the database is what it needs."""
        environment = base_environment() | dict(self.env) | {"WEB_BIND": f"127.0.0.1:{self.port}"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*GUNICORN, f"{self.package}.wsgi:app"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is ours; we stop it in our order
            )

    def wait(self, client: Client) -> None:
        """Wait until it says that it is ready. Raises CheckFailed with the end of its log."""
        deadline = time.monotonic() + _LOCK_TIMEOUT
        last = "nobody answered"
        while time.monotonic() < deadline:
            expect(
                self.process is not None and self.process.poll() is None, f"{self.name} ended:\n{self.tail()}"
            )
            try:
                answer = client.get("/readyz")
            except OSError:
                time.sleep(0.05)
                continue
            if answer.status == 200:
                return
            last = f"/readyz answered {answer.status}: {answer.body}"
            time.sleep(0.2)
        raise CheckFailed(f"{self.name} was not ready after {_LOCK_TIMEOUT} s: {last}\n{self.tail()}")

    def stop(self) -> None:
        """Stop it and wait for its end; one that does not end is killed."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(_LOCK_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else "(no log)"


def base_environment() -> dict[str, str]:
    """The environment that every child process begins with."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    programs = str(Path(sys.executable).parent)
    kept["PATH"] = f"{programs}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return kept | {"PYTHONPATH": "services", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}


def run(command: Sequence[str], env: Mapping[str, str], given: str = "", also: Sequence[int] = ()) -> str:
    """Run a command from the repository's root with `env` on top of the base. Returns its standard output.

    Raises CheckFailed, with what it said, when it ends with another status than 0 or one of `also`.
    """
    environment = base_environment() | dict(env)
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode not in (0, *also):
        said = "\n".join(part.strip() for part in (done.stderr, _message(done.stdout)) if part.strip())
        raise CheckFailed(f"`{' '.join(command)}` ended with status {done.returncode}:\n{said[-4000:]}")
    return done.stdout


def _message(output: str) -> str:
    """The message of a JSON document of failure, or the output as it is."""
    try:
        return str(json.loads(output)["error"]["message"])
    except (ValueError, TypeError, KeyError):
        return output


def run_as(service: Service, module: str, given: str = "") -> str:
    """Run a module of the demonstration in a process of its own, under the service's account."""
    environment = dict(service.env) | {"PYTHONPATH": os.pathsep.join(("services", "scripts"))}
    return run([sys.executable, "-m", module, str(service.mirror)], environment, given)


def check_result(pid: int) -> str | None:
    """The command line and environment of a process as the system shows them; None where it does not."""
    try:
        shown = (Path(f"/proc/{pid}") / name for name in ("cmdline", "environ"))
        return "\n".join(path.read_bytes().replace(b"\0", b"\n").decode(errors="replace") for path in shown)
    except OSError:
        return None
