"""The process between a test run and one server: stops the server and removes its folder when the run ends.

It is run as a script and spoken to over its standard input and output, one JSON document per line. When its
input ends, because the test run is over or was killed, it stops what it started and removes the folder. So a
killed test run leaves nothing behind.
"""

import contextlib
import ctypes
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_STOP_SECONDS = 15.0


def _prctl(option: int, value: int) -> None:
    """Call Linux's prctl; elsewhere do nothing, for it is only a second net."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


class Supervisor:
    """One folder, one unprivileged user, at most one server process."""

    def __init__(self, user: str | None, base: str, stop_signal: int) -> None:
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._argv: list[str] = []
        self._as_user: dict[str, Any] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="ringfence-", dir=base))
        if user is not None:
            account = pwd.getpwnam(user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            self._as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "LC_ALL": "C.UTF-8",
        }

    def run(self, argv: list[str]) -> dict[str, Any]:
        """Run a command to its end as the server's user."""
        done = subprocess.run(
            argv,
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            **self._as_user,
        )
        return {"exit": done.returncode, "output": done.stdout.decode(errors="replace")[-4000:]}

    def start(self, argv: list[str], again: list[str]) -> dict[str, Any]:
        """Start the server, or start it again when no command is given; its output goes to `log`."""
        command = argv or self._argv
        self._argv = again or command
        stop_signal = self._stop_signal
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Runs after the change of user, which would clear it. This process has one thread only.
                preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, stop_signal),  # noqa: PLW1509 - see above
                **self._as_user,
            )
        return {"pid": self._process.pid}

    def poll(self) -> dict[str, Any]:
        """Tell whether the server still runs: its exit status, or null."""
        return {"exit": self._process.poll() if self._process else 0}

    def stop(self) -> dict[str, Any]:
        """Stop the server in its own way, and by force when it does not stop in time."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self._stop_signal)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                return self.kill()
        return self.poll()

    def kill(self) -> dict[str, Any]:
        """End the server as a crash would."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        return self.poll()

    def clean(self) -> None:
        """Stop the server and all that it left behind, and remove the folder."""
        self.stop()
        for _ in range(50):
            children = _children()
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if not children:
                break
            time.sleep(0.02)
        shutil.rmtree(self.folder, ignore_errors=True)


def _children() -> list[int]:
    """Our children, and (we are their reaper) the orphans of our children."""
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return []


def _stop(signum: int, frame: object) -> None:
    raise SystemExit(0)


def main() -> None:
    """Serve the requests on standard input until it ends."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    spec = json.loads(sys.argv[1])
    supervisor = Supervisor(spec["user"], spec["base"], spec["stop_signal"])
    verbs: dict[str, Callable[..., dict[str, Any]]] = {
        "run": supervisor.run,
        "start": supervisor.start,
        "poll": supervisor.poll,
        "stop": supervisor.stop,
        "kill": supervisor.kill,
    }
    try:
        print(json.dumps({"folder": str(supervisor.folder)}), flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            try:
                answer = verbs[request.pop("do")](**request)
            except OSError as error:
                answer = {"error": str(error)}
            print(json.dumps(answer), flush=True)
    except BrokenPipeError:
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        supervisor.clean()


if __name__ == "__main__":
    main()
