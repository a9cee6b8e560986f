"""Parse server addresses: names, IPv4 and IPv6 addresses, and folders of Unix sockets, in lists with commas."""

import re
import socket
from dataclasses import dataclass

_NAME = re.compile(r"(?:[\w-]{1,63}\.)*[\w-]{1,63}\.?")
_ZONE = re.compile(r"[\w.-]+")
_LONGEST_NAME = 253


@dataclass(frozen=True, slots=True)
class Host:
    """One server address; a host that begins with `/` is the folder of a Unix socket."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if _is_ipv6(self.host) else f"{self.host}:{self.port}"


class BadAddress(ValueError):
    """An address is wrong; the message shows no part of it, because it may contain a misplaced password."""


def read_hosts(text: str, port: int) -> tuple[Host, ...]:
    """Parse a list of addresses, separated by commas.

    Args:
        text: each item is `host`, `host:port`, `[IPv6]`, `[IPv6]:port`, an IPv6 address without brackets and port, or
            the folder of a Unix socket, optionally with `:port`.
        port: the port of an item that has none.

    Raises:
        BadAddress: an item is wrong; the message has its position in the list and how to write it.
    """
    items = [item for item in (part.strip() for part in text.split(",")) if item]
    if not items:
        raise BadAddress("names no host")
    found = []
    for number, item in enumerate(items, 1):
        host = read_host(item, port)
        if isinstance(host, str):
            raise BadAddress(f"{'' if len(items) == 1 else f'host {number} of {len(items)}: '}{host}")
        found.append(host)
    return tuple(found)


def read_host(item: str, port: int) -> Host | str:
    """Parse one address.

    Args:
        item: as for `read_hosts`.
        port: the port if the item has none.

    Returns:
        The address, or a message that says what is wrong and shows no part of the item.
    """
    if item.startswith("/"):
        folder, _, tail = item.rpartition(":")
        own = read_port(tail)
        return Host(item, port) if own is None or not folder else Host(folder, own)
    if item.startswith("["):
        address, closed, tail = item[1:].partition("]")
        if not closed or not _is_ipv6(address) or (tail and not tail.startswith(":")):
            return "brackets hold an IPv6 address: [::1] or [::1]:port"
        return _at(address, tail[1:] if tail else None, port)
    if _is_ipv6(item):
        return Host(item, port)
    if item.count(":") > 1:
        return "it is no IPv6 address; with a port, one is written in brackets: [::1]:port"
    host, colon, tail = item.partition(":")
    if not _is_name(host):
        return "it is no name of a host: write host or host:port, several with commas"
    return _at(host, tail if colon else None, port)


def read_port(text: str) -> int | None:
    """Parse a port number; returns None unless it is from 1 to 65535."""
    valid = text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536
    return int(text) if valid else None


def _at(host: str, tail: str | None, port: int) -> Host | str:
    if tail is None:
        return Host(host, port)
    own = read_port(tail)
    return "it has no valid port; write host:port, from 1 to 65535" if own is None else Host(host, own)


def _is_name(text: str) -> bool:
    if len(text) > _LONGEST_NAME or not _NAME.fullmatch(text):
        return False
    try:
        text.encode("idna")
    except UnicodeError:
        return False
    return True


def _is_ipv6(text: str) -> bool:
    address, percent, zone = text.partition("%")
    if ":" not in address or (percent and not _ZONE.fullmatch(zone)):
        return False
    try:
        socket.inet_pton(socket.AF_INET6, address)
    except (OSError, ValueError):
        return False
    return True
