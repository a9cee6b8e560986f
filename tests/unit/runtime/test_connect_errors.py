"""What a failed connection means: what waiting mends, and what it does not."""

import ssl

import psycopg2
import pymysql
import pytest

from ringfence.runtime import NotReady, Unavailable
from ringfence.runtime.engines import other_protocols
from ringfence.runtime.engines.mysql import errors
from ringfence.runtime.engines.postgresql import errors as postgresql_errors
from ringfence.runtime.settings import Host, Settings

MYSQL = Settings("mysql", "shop", (Host("db", 3306),), "till")
POSTGRESQL = Settings("postgresql", "shop", (Host("/run/postgresql", 5432),), "till")


def _on_the_wire(error: Exception) -> pymysql.err.OperationalError:
    """As PyMySQL tells it."""
    found = pymysql.err.OperationalError(2003, "Can't connect")
    found.original_exception = error  # type: ignore[attr-defined]
    return found


def test_tls_that_cannot_be_agreed_on_is_not_waited_for() -> None:
    mismatch = ssl.SSLError(1, "[SSL: UNSUPPORTED_PROTOCOL] unsupported protocol")
    mismatch.reason = "UNSUPPORTED_PROTOCOL"
    for error, words in (
        (_on_the_wire(mismatch), "unsupported protocol"),
        (pymysql.err.OperationalError(3159, "insecure"), "DB_SSLMODE is not set; set it to require"),
    ):
        found = errors.connect_error(error, MYSQL, Host("db", 3306))
        assert isinstance(found, NotReady)
        assert (found.state, words in str(found)) == ("login", True)
    found = postgresql_errors.connect_error(
        psycopg2.OperationalError("SSL error: unsupported protocol"), POSTGRESQL
    )
    assert isinstance(found, NotReady)
    assert (found.state, "unsupported protocol" in str(found)) == ("login", True)


def test_a_server_that_goes_away_in_the_handshake_may_come_back() -> None:
    gone = _on_the_wire(ssl.SSLEOFError(8, "EOF occurred in violation of protocol"))
    assert isinstance(errors.connect_error(gone, MYSQL, Host("db", 3306)), Unavailable)
    eof = psycopg2.OperationalError("SSL error: unexpected eof while reading")
    assert isinstance(postgresql_errors.connect_error(eof, POSTGRESQL), Unavailable)


def test_a_silent_host_is_named_with_its_limit() -> None:
    found = errors.connect_error(_on_the_wire(TimeoutError("timed out")), MYSQL, Host("db", 3306))
    assert str(found) == "mysql://till@db:3306/shop: no answer within 5 s (half of DB_TCP_TIMEOUT=10)"
    expired = psycopg2.OperationalError("timeout expired")
    assert "no answer within 5 s" in str(postgresql_errors.connect_error(expired, POSTGRESQL))


@pytest.mark.parametrize(
    ("said", "state", "words"),
    [
        (
            'server at "db-read-only.shop" (::1), port 5432 failed: Connection refused',
            None,
            "cannot be reached",
        ),
        ('could not translate host name "recovery" to address: unknown', None, "cannot be reached"),
        ('FATAL:  database "roles" does not exist', "misconfigured", "check DB_NAME"),
        ('FATAL:  database "a"b" does not exist', "misconfigured", "check DB_NAME"),
        ('FATAL:  role "database" does not exist', "login", "no such account yet"),
        ('FATAL:  database "shop" is not currently accepting connections', "starting", "ALLOW_CONNECTIONS"),
    ],
)
def test_a_name_in_libpqs_words_means_nothing(said: str, state: str | None, words: str) -> None:
    error = postgresql_errors.connect_error(psycopg2.OperationalError(said), POSTGRESQL)
    assert (getattr(error, "state", None), words in str(error)) == (state, True)


def test_what_libpq_takes_from_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSERVICE", "other")
    monkeypatch.setenv("PGSSLMODE", "require")
    found = str(postgresql_errors.connect_error(psycopg2.OperationalError("no such service"), POSTGRESQL))
    assert found.endswith("cannot be reached; libpq also reads PGSERVICE, PGSSLMODE from the environment")
    refused = psycopg2.OperationalError("server does not support SSL, but SSL was required")
    assert "PGSSLMODE, which libpq reads, asks" in str(postgresql_errors.connect_error(refused, POSTGRESQL))


@pytest.mark.parametrize(
    ("code", "said", "state", "words"),
    [
        (1044, "Access denied", "missing-grant", "or there is none of that name: check DB_NAME"),
        (1102, "Incorrect database name 'shop '", "misconfigured", "check DB_NAME"),
        (
            1226,
            "User 'a' has exceeded the 'max_questions' resource",
            None,
            "up its max_questions of this hour (1226)",
        ),
        (
            1226,
            "User 'a' has exceeded the 'max_user_connections' resource",
            None,
            "no connection left (1226)",
        ),
        (1040, "Too many connections", None, "no connection left (1040)"),
    ],
)
def test_what_a_server_of_the_mysql_family_refuses(
    code: int, said: str, state: str | None, words: str
) -> None:
    error = pymysql.err.OperationalError(code, said)
    found = errors.connect_error(error, MYSQL, Host("db", 3306))
    assert (getattr(found, "state", None), words in str(found)) == (state, True)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (b"", None),
        (b"S", other_protocols.POSTGRESQL),
        (b"N", other_protocols.POSTGRESQL),
        (b"\x5b\0\0\0\x0a8.0", other_protocols.MYSQL),
        (b"\x45\0\0\0\xff\x10\x04", other_protocols.MYSQL),  # "too many connections"
        (b"HTTP/1.1 400", "an HTTP server"),
        (b"-NOAUTH", "a Redis or Valkey server"),
        (b"SSH-2", "an SSH server"),
        (b"\x15\x03\x01\0\x02", "a server that takes TLS from the first byte on"),
        (b"220 mail", "a mail or FTP server"),
        (b"hello", "a server of another protocol"),
    ],
)
def test_first_bytes(said: bytes, name: str | None) -> None:
    assert other_protocols.name_of(said) == name
