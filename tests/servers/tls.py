"""A certificate authority of a test's own, and the certificates it signs, made with openssl."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from servers.process import Process, find_binary

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2")


@dataclass(frozen=True)
class Certificate:
    """A server's certificate and its key, as PEM."""

    certificate: str
    key: str = field(repr=False)

    def install(self, process: Process) -> tuple[Path, Path]:
        """Write both where only the server's user may read them; returns their paths."""
        return process.write("server.crt", self.certificate), process.write("server.key", self.key)


class Authority:
    """Signs for servers that trust it; its own certificate, for DB_SSLROOTCERT, is `file`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.file, self._key = folder / "ca.crt", folder / "ca.key"
        extensions = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign")
        self._make("authority", self.file, self._key, *extensions)

    def certificate(self, host: str) -> Certificate:
        """A certificate for a server of this name."""
        file, key = self._folder / "server.crt", self._folder / "server.key"
        extensions = (f"subjectAltName=DNS:{host}", "basicConstraints=critical,CA:FALSE")
        self._make(host, file, key, *extensions, signed=("-CA", str(self.file), "-CAkey", str(self._key)))
        return Certificate(file.read_text(), key.read_text())

    def _make(self, name: str, file: Path, key: Path, *extensions: str, signed: tuple[str, ...] = ()) -> None:
        asked = [word for extension in extensions for word in ("-addext", extension)]
        subprocess.run(
            [
                find_binary("openssl"), "req", "-x509", *_KEY, "-subj", f"/CN={name}", *asked, *signed,
                "-out", str(file), "-keyout", str(key),
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip
