"""One endpoint under gunicorn's threads, driven by wrk: what is left of a query's cost in a whole request."""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks.cases import expected_items
from benchmarks.peers import Missing
from benchmarks.place import Place
from servers.base import clean_environment
from servers.process import free_ports

TITLE = "HTTP request for one row"
THREADS, CLIENTS = 4, 4
_START_SECONDS = 30.0


class WebServer:
    """gunicorn with one worker of several threads, for one peer."""

    def __init__(self, place: Place, name: str) -> None:
        (port,) = free_ports(1)
        self.name = name
        self.url = f"http://127.0.0.1:{port}/item/7"
        tests = str(Path(__file__).parents[1])
        env = (
            clean_environment()
            | place.env
            | {"BENCH_PEER": name, "BENCH_ENGINE": place.engine, "PYTHONPATH": tests}
        )
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class",
                "gthread", "--threads", str(THREADS), "--keep-alive", "30", "--log-level", "error",
                "benchmarks.webapp:make_app()",
            ],
            env=env,
        )  # fmt: skip

    def wait(self) -> None:
        """Wait until it answers, and see that the answer is right. Raises RuntimeError."""
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(self.url, timeout=5) as response:  # noqa: S310  # our own server
                    answer = json.load(response)
                break
            except urllib.error.HTTPError as error:
                raise RuntimeError(f"the HTTP server of {self.name} fails: {error}") from error
            except OSError as error:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise RuntimeError(f"the HTTP server of {self.name} does not answer: {error}") from error
                time.sleep(0.1)
        number, ident, price, active, made = expected_items(7)[-1]
        if (answer["id"], answer["ident"].replace("-", "")) != (number, ident.hex):
            raise RuntimeError(f"the HTTP server of {self.name} answers {answer}")
        if (float(answer["price"]), answer["active"]) != (float(price), active):
            raise RuntimeError(f"the HTTP server of {self.name} answers {answer}")
        if not answer["made"].startswith(made.isoformat()[:19]):
            raise RuntimeError(f"the HTTP server of {self.name} answers {answer}")

    def drive(self, seconds: int) -> float:
        """Seconds per request under wrk. Raises RuntimeError when requests fail."""
        wrk = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}s", self.url]
        out = subprocess.run(wrk, capture_output=True, text=True, check=True).stdout
        if failed := re.search(r"Non-2xx.*|Socket errors.*", out):
            raise RuntimeError(f"requests to the HTTP server of {self.name} fail: {failed[0]}")
        found = re.search(r"Requests/sec:\s+([\d.]+)", out)
        if found is None or float(found[1]) == 0:
            raise RuntimeError(f"wrk says nothing of {self.name}: {out}")
        return 1 / float(found[1])

    def close(self) -> None:
        """Stop it."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


@contextlib.contextmanager
def serving(place: Place, names: list[str]) -> Iterator[list[WebServer]]:
    """A server for each peer, all waiting. Raises Missing when there is no wrk."""
    if shutil.which("wrk") is None:
        raise Missing("there is no wrk on this machine (Debian package wrk)")
    servers: list[WebServer] = []
    try:
        for name in names:
            servers.append(WebServer(place, name))
            servers[-1].wait()
        yield servers
    finally:
        for server in servers:
            server.close()


def interleaved(servers: list[WebServer], rounds: int, seconds: int) -> dict[str, list[float]]:
    """Drive each in turn, over and over; a second of each before."""
    times: dict[str, list[float]] = {server.name: [] for server in servers}
    for server in servers:
        server.drive(1)
    for _ in range(rounds):
        for server in servers:
            times[server.name].append(server.drive(seconds))
    return times
