"""A small HTTP client that counts its requests."""

import json
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

TIMEOUT = 30
"""Seconds to wait for one answer."""


@dataclass(frozen=True)
class Answer:
    """What a service said; `body` is its JSON document, or None when it sent none."""

    status: int
    body: Any
    content_type: str


class Client:
    """Asks one service; safe to share between threads."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.requests = 0
        self._lock = threading.Lock()

    def get(self, path: str) -> Answer:
        """Ask for a document. Raises OSError if the service does not answer."""
        return self._send("GET", path)

    def post(self, path: str, document: object = None) -> Answer:
        """Send a document. Raises OSError if the service does not answer."""
        return self._send("POST", path, document)

    def put(self, path: str, document: object) -> Answer:
        """Replace the document. Raises OSError if the service does not answer."""
        return self._send("PUT", path, document)

    def patch(self, path: str, document: object) -> Answer:
        """Send changes. Raises OSError if the service does not answer."""
        return self._send("PATCH", path, document)

    def _send(self, method: str, path: str, document: object = None) -> Answer:
        with self._lock:
            self.requests += 1
        data = None if document is None else json.dumps(document).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        request = urllib.request.Request(self.base + path, data, headers, method=method)  # noqa: S310 - our own http
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310 - see above
                return _answer(response.status, response.headers.get("Content-Type", ""), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error.code, error.headers.get("Content-Type", ""), error.read())


def _answer(status: int, content_type: str, body: bytes) -> Answer:
    return Answer(status, json.loads(body) if "json" in content_type and body else None, content_type)
