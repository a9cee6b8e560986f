"""A private Redis server, or one given by URL."""

import os
import secrets
import socket
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from servers.process import HOST, Process, Unavailable, find_binary, free_ports

_VARIABLE = "RINGFENCE_TEST_REDIS_URL"


@dataclass(frozen=True)
class RedisServer:
    """A running Redis and the password of its default user, who may do all."""

    host: str
    port: int
    user: str = "default"
    password: str = field(default="", repr=False)
    process: Process | None = field(default=None, repr=False, compare=False)

    @property
    def url(self) -> str:
        """The server's URL, with the password."""
        return f"redis://{self.user}:{self.password}@{self.host}:{self.port}/0"

    def command(self, *words: str, user: str | None = None, password: str | None = None) -> str:
        """Send one command over a connection of its own and return the first line of the answer.

        Logs in as the given user, or as the default one. Raises RuntimeError with what the server refused.
        """
        login = (user, password or "") if user else (self.user, self.password)
        with socket.create_connection((self.host, self.port), timeout=10) as connection:
            stream = connection.makefile("rb")
            answer = ""
            for sentence in (("AUTH", *login) if login[1] else ("PING",), words):
                encoded = [b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in sentence]
                connection.sendall(b"*%d\r\n" % len(encoded) + b"".join(encoded))
                answer = stream.readline().decode().rstrip()
                if answer.startswith("-"):
                    raise RuntimeError(answer[1:])
                if answer.startswith("$") and answer != "$-1":
                    answer = stream.read(int(answer[1:]) + 2).decode().rstrip()
            return answer

    def close(self) -> None:
        """Stop a private server; one that was given by URL goes on."""
        if self.process is not None:
            self.process.close()


def start() -> RedisServer:
    """Start a private server with a password, or take the one of the URL. Raises Unavailable when there is neither."""
    url = urlsplit(os.environ.get(_VARIABLE, ""))
    if url.hostname:
        server = RedisServer(
            url.hostname, url.port or 6379, unquote(url.username or "default"), unquote(url.password or "")
        )
        try:
            server.command("PING")
        except (OSError, RuntimeError) as error:
            raise Unavailable(f"{_VARIABLE} names a server that refuses its admin: {error}") from error
        return server
    binary = find_binary("redis-server")
    password = secrets.token_hex(12)
    process = Process()
    try:
        (port,) = free_ports(1)
        # In a file, for a command line shows the password to everybody.
        configuration = process.write(
            "redis.conf",
            f'bind {HOST}\nport {port}\ndir {process.folder}\nsave ""\nappendonly no\nrequirepass {password}\n',
        )
        process.start(binary, str(configuration))
        server = RedisServer(HOST, port, password=password, process=process)
        process.wait_until(lambda: server.command("PING"))
    except BaseException:
        process.close()
        raise
    return server
