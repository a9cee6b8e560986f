"""One TLS context serves all connections that verify the same, until the file of authorities is another."""

import ssl
from pathlib import Path

from ringfence.runtime.engines.mysql.pymysql_compat import TlsConnection
from servers.tls import Authority


def context(**words: object) -> ssl.SSLContext:
    made: ssl.SSLContext = TlsConnection(defer_connect=True, **words).ctx
    return made


def test_connections_share_what_verifies_the_same_and_nothing_else(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "authority"), Authority(tmp_path / "other")
    signed = {"ca": str(authority.file), "verify_mode": "required", "check_hostname": False}

    assert context() is context()
    assert context(ssl=signed) is context(ssl=signed)
    assert context().verify_mode == ssl.CERT_NONE
    assert context(ssl=signed).verify_mode == ssl.CERT_REQUIRED
    assert not context(ssl=signed).check_hostname
    assert context(ssl=signed | {"check_hostname": True}).check_hostname

    own = ssl.create_default_context()
    assert context(ssl=own) is own

    before = context(ssl=signed)
    authority.file.write_bytes(other.file.read_bytes())
    after = context(ssl=signed)
    assert after is not before
    assert after.get_ca_certs() != before.get_ca_certs()
