"""MySQL's server from the distribution's own packages, unpacked into a folder: nothing is installed, nobody is root.

Debian's releases hold no MySQL, and Ubuntu's cannot be installed beside MariaDB's. Here apt-get reads package lists of
our own (Debian's unstable; on Ubuntu the machine's own release), checks their signatures as ever, and downloads the
server with every library that it needs, the C library too. So it runs under the dynamic loader that came with it.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from servers.process import Unavailable

CACHE = "RINGFENCE_TEST_CACHE"
"""The variable that names another folder for what is unpacked."""
DOWNLOAD_MB, UNPACKED_MB = 75, 220
"""About what it takes, package lists included; said before anything is downloaded."""

_SYSTEM_CACHE = Path("/var/cache/ringfence")
_KEYRINGS = Path("/usr/share/keyrings")
_CORE = r"^mysql-server-core(-[0-9.]+)?$"
# What a server reads. The rest (Perl, manuals, clients) is removed again.
_KEPT = {"sbin", "lib", "lib64", "share"}


def folder() -> Path:
    """Where the server is unpacked: below the user's cache, or below the system's when we are root.

    The servers of root run as another user, who cannot enter root's home.
    """
    if named := os.environ.get(CACHE):
        return Path(named) / "mysql"
    if os.geteuid() == 0:
        return _SYSTEM_CACHE / "mysql"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ringfence" / "mysql"


@dataclass(frozen=True)
class Mysqld:
    """A MySQL server's program: the words that start it, and those that follow `--no-defaults`, which must be first."""

    command: tuple[str, ...]
    options: tuple[str, ...] = ()


def find() -> Mysqld | None:
    """The unpacked server, or None: run by the dynamic loader beside it, and led to its own files."""
    root = _root()
    loader = root and _loader(root)
    if root is None or loader is None:
        return None
    libraries = ":".join(str(path) for path in sorted((root / "usr/lib").glob("*-linux-gnu*")))
    share = root / "usr/share/mysql"
    return Mysqld(
        (str(loader), "--library-path", libraries, str(root / "usr/sbin/mysqld")),
        (
            f"--basedir={root / 'usr'}",
            f"--lc-messages-dir={share}",
            f"--character-sets-dir={share / 'charsets'}",
            f"--plugin-dir={root / 'usr/lib/mysql/plugin'}",
            "--secure-file-priv=NULL",  # the folder that is compiled in is made by an installation alone
        ),
    )


def _root() -> Path | None:
    for root in (folder(), _SYSTEM_CACHE / "mysql"):
        with contextlib.suppress(PermissionError):
            # Programs that another user unpacked are not run.
            if (root / "usr/sbin/mysqld").exists() and root.stat().st_uid in {0, os.geteuid()}:
                return root
    return None


def _loader(root: Path) -> Path | None:
    """The dynamic loader, where Debian's architectures have it."""
    found = [*root.glob("usr/lib*/ld-linux*.so.*"), *root.glob("lib*/ld-linux*.so.*")]
    return found[0] if found else None


def unpack(say: Callable[[str], object]) -> None:
    """Download and unpack the server, unless it is there.

    Args:
        say: is given lines for a person; the first says how big it is, before anything is downloaded.

    Raises:
        Unavailable: there is no apt-get here, or it failed; the message ends with what apt-get said.
    """
    if find():
        return
    target = folder()
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise Unavailable("there is no apt-get here to download MySQL's packages with")
    sources = _sources()
    say(
        f"downloading a MySQL server: about {DOWNLOAD_MB} MB, and {UNPACKED_MB} MB once unpacked in {target}"
        " (removing that folder is all it takes to be rid of it; --without mysql declines)"
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".mysql-", dir=target.parent) as name:
        work = Path(name)
        apt = _Apt(work, sources)
        apt.run("update", "-q")
        core = _newest(apt.search(_CORE))
        apt.run("install", "-q", "-y", "--download-only", core)
        root = work / "root"
        root.mkdir()
        for package in sorted((work / "cache/archives").glob("*.deb")):
            _run(["dpkg-deb", "-x", str(package), str(root)])
        _prune(root)
        if _loader(root) is None:
            raise Unavailable("Debian's packages of MySQL hold no dynamic loader that we know")
        root.chmod(0o755)
        with contextlib.suppress(OSError):  # another run was quicker, and its folder is as good
            root.rename(target)
    if find() is None:
        raise Unavailable(f"{target} holds no MySQL server: remove that folder, and try again")


def _prune(root: Path) -> None:
    for entry in (root / "usr").iterdir():
        if entry.name not in _KEPT:
            shutil.rmtree(entry)
    for entry in (root / "usr/share").iterdir():
        if entry.name != "mysql":
            shutil.rmtree(entry)


class _Apt:
    """apt-get with lists, archives and a status of its own: the machine's packages are neither read nor changed."""

    def __init__(self, work: Path, sources: str | None) -> None:
        for made in ("state/lists/partial", "cache/archives/partial"):
            (work / made).mkdir(parents=True)
        (work / "status").touch()
        settings = {
            "Dir::State": f"{work}/state",
            "Dir::State::status": f"{work}/status",
            "Dir::Cache": f"{work}/cache",
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
            "Acquire::Retries": "3",
            "APT::Update::Error-Mode": "any",  # else it succeeds without the lists
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "",  # the folder is ours alone
        }
        if sources is not None:
            (work / "sources.list").write_text(sources)
            settings |= {"Dir::Etc::SourceList": f"{work}/sources.list", "Dir::Etc::SourceParts": "/dev/null"}
        self._options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]

    def run(self, *arguments: str) -> str:
        """Run apt-get, and return its output. Raises Unavailable with the end of it."""
        return _run(["apt-get", *self._options, *arguments])

    def search(self, pattern: str) -> list[str]:
        """The names of packages that match."""
        listed = _run(["apt-cache", *self._options, "search", "--names-only", pattern])
        return [line.split()[0] for line in listed.splitlines() if line.strip()]


def _newest(names: list[str]) -> str:
    """Of mysql-server-core, or mysql-server-core-8.0, -8.4, … the one of the highest version."""
    if not names:
        raise Unavailable("the distribution's lists hold no package mysql-server-core")
    return max(names, key=lambda name: [int(part) for part in re.findall(r"\d+", name)] or [sys.maxsize])


def _sources() -> str | None:
    """The apt sources to read: None for the machine's own, where its distribution packages MySQL itself."""
    release = _os_release()
    if "ubuntu" in release:
        return None
    if "debian" not in release:
        raise Unavailable("only Debian's and Ubuntu's packages of MySQL can be unpacked here")
    keyrings = [_KEYRINGS / f"debian-archive-keyring.{suffix}" for suffix in ("gpg", "pgp")]
    keyring = next((path for path in keyrings if path.exists()), None)
    mirror = _mirror()
    if keyring is None or mirror is None:
        raise Unavailable(
            "/etc/apt names no mirror of Debian, or the package debian-archive-keyring is missing"
        )
    return f"deb [signed-by={keyring}] {mirror} sid main\n"


def _os_release() -> set[str]:
    with contextlib.suppress(OSError):
        text = Path("/etc/os-release").read_text()
        return set(" ".join(re.findall(r'^ID(?:_LIKE)?="?([^"\n]*)', text, re.MULTILINE)).split())
    return set()


def _mirror() -> str | None:
    """The mirror of Debian's archive that this machine's apt reads, from either form of its files."""
    etc = Path("/etc/apt")
    lines = [
        path for path in (etc / "sources.list", *sorted(etc.glob("sources.list.d/*.list"))) if path.exists()
    ]
    found = [
        uri
        for path in lines
        for uri in re.findall(r"^deb\s.*?(https?://\S+)", path.read_text(), re.MULTILINE)
    ]
    for path in sorted(etc.glob("sources.list.d/*.sources")):
        for line in re.findall(r"^URIs:(.*)$", path.read_text(), re.MULTILINE):
            found += [uri for uri in line.split() if uri.startswith("http")]
    archives = [uri for uri in found if "security" not in uri]
    return min(archives, key=lambda uri: not re.search(r"/debian/?$", uri), default=None)


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
        text=True,
        check=False,
    )
    if done.returncode != 0:
        # An address in it may hold the password of a mirror.
        said = re.sub(r"//[^/@\s]+@", "//***@", "\n".join(done.stdout.splitlines()[-6:]))
        raise Unavailable(f"{command[0]} failed with status {done.returncode}:\n{said}")
    return done.stdout
