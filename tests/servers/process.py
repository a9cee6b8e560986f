"""One supervised server process: its folder, its free ports, its unprivileged user, its end."""

import contextlib
import functools
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
_USER = "ringfence-test"


class Unavailable(Exception):
    """A server cannot be had on this machine; the message says why, and never holds a password."""


@functools.cache
def unprivileged_user() -> str | None:
    """The user that servers run as: None for ourselves, or a system user (made if need be) when we are root.

    PostgreSQL refuses to run as root, and Galera's state transfer fails as root.
    """
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(_USER).pw_name
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin")
    if useradd is not None:
        subprocess.run([useradd, "--system", "--no-create-home", _USER], check=False, capture_output=True)
    for name in (_USER, "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise Unavailable("root may not run the servers, and there is no other user")


def folder_base() -> str:
    """A folder for temporary files that the servers' user can enter, with a path short enough for a socket."""
    base = tempfile.gettempdir()
    reachable = all(part.stat().st_mode & 0o001 for part in (Path(base), *Path(base).parents))
    return base if reachable and len(base) < 60 else "/tmp"  # each server makes its own 0700 folder there


def free_ports(count: int) -> list[int]:
    """Ports that are free now, below the range that outgoing connections are given."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            candidate = socket.socket()
            try:
                candidate.bind((HOST, random.randrange(20_000, 32_000)))  # noqa: S311 - no secret
            except OSError:
                candidate.close()
            else:
                held.append(candidate)
        return [taken.getsockname()[1] for taken in held]
    finally:
        for taken in held:
            taken.close()


def find_binary(name: str, *folders: str) -> str:
    """The path of a server's program, from the search path or the given folders.

    Raises Unavailable when it is nowhere.
    """
    places = [
        *folders,
        *os.environ.get("PATH", os.defpath).split(os.pathsep),
        "/usr/sbin",
        "/usr/local/sbin",
        "/sbin",
    ]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        raise Unavailable(f"there is no program {name!r} on this machine")
    return found


class Process:
    """A server process under a supervisor of its own; see supervisor.py for what happens at the end."""

    def __init__(self, stop_signal: int = signal.SIGTERM) -> None:
        self.user = unprivileged_user()
        spec = {"user": self.user, "base": folder_base(), "stop_signal": int(stop_signal)}
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("supervisor.py")), json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self.folder = Path(self._answer()["folder"])

    def _answer(self) -> dict[str, Any]:
        assert self._supervisor.stdout is not None
        line = self._supervisor.stdout.readline()
        if not line:
            raise Unavailable("the server's supervisor ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Unavailable(answer["error"])
        return answer

    def _ask(self, do: str, **arguments: object) -> dict[str, Any]:
        with self._lock:
            assert self._supervisor.stdin is not None
            self._supervisor.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._supervisor.stdin.flush()
            return self._answer()

    def write(self, name: str, text: str) -> Path:
        """Write a file that only the server's user may read, and return its path."""
        path = self.folder / name
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        self._give(path)
        return path

    def make_folder(self, name: str) -> Path:
        """Make a folder that only the server's user may enter, and return its path."""
        path = self.folder / name
        path.mkdir(mode=0o700)
        self._give(path)
        return path

    def _give(self, path: Path) -> None:
        if self.user is not None:
            account = pwd.getpwnam(self.user)
            os.chown(path, account.pw_uid, account.pw_gid)

    def run(self, *argv: str) -> None:
        """Run a command to its end as the server's user. Raises Unavailable with its output when it fails."""
        done = self._ask("run", argv=list(argv))
        if done["exit"] != 0:
            raise Unavailable(f"{Path(argv[0]).name} failed with status {done['exit']}:\n{done['output']}")

    def start(self, *argv: str, again: Sequence[str] = ()) -> int:
        """Start the server, or (without arguments) start it again after `stop` or `kill`.

        `again` is the command of later starts, where it differs. Returns the process id.
        """
        self.pid = int(self._ask("start", argv=list(argv), again=list(again))["pid"])
        return self.pid

    def stop(self) -> None:
        """Stop the server and keep its folder, so that `start()` brings it back."""
        self._ask("stop")

    def kill(self) -> None:
        """End the server as a crash would, and keep its folder."""
        self._ask("kill")

    def wait_until(self, ready: Callable[[], object], seconds: float = 60) -> None:
        """Wait until `ready` returns without an exception. Raises Unavailable with the log when it never does."""
        end = time.monotonic() + seconds
        while True:
            try:
                ready()
            except Exception as error:
                status = self._ask("poll")["exit"]
                if status is not None:
                    raise Unavailable(f"the server ended with status {status}:\n{self.log()}") from error
                if time.monotonic() > end:
                    raise Unavailable(f"not ready after {seconds:g} s: {error}\n{self.log()}") from error
                time.sleep(0.05)
            else:
                return

    def log(self) -> str:
        """The end of the server's log."""
        with contextlib.suppress(OSError):
            return (self.folder / "log").read_text(errors="replace")[-3000:]
        return "(no log)"

    def close(self) -> None:
        """Stop the server for good and remove its folder."""
        if os.getpid() != self._owner:  # a forked child must not stop its parent's servers
            return
        if self._supervisor.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._supervisor.stdin.close()
        self._supervisor.wait(60)
        if self._supervisor.stdout is not None:
            self._supervisor.stdout.close()
