"""Error messages for failed TLS connections, by the settings that cause them; retrying fixes none of these."""

from ringfence.runtime.settings import Settings


def not_offered(settings: Settings) -> str:
    """Return the message for a server that does not support TLS."""
    asks = f"DB_SSLMODE={settings.sslmode}" if settings.sslmode else "PGSSLMODE, which libpq reads,"
    return f"the server offers no TLS, and {asks} asks for it"


def not_trusted(settings: Settings) -> str:
    """Return the message for a certificate that the configured authority did not sign."""
    return f"the server's certificate is not signed by the authority of DB_SSLROOTCERT={settings.sslrootcert}"


def not_named(settings: Settings) -> str:
    """Return the message for a certificate issued for another host."""
    return (
        "the server's certificate does not name this host: let DB_HOST be a name that it holds, or let"
        " DB_SSLMODE=verify-ca ask for the signature alone"
    )


def not_readable(settings: Settings) -> str:
    """Return the message for an authority file that cannot be read or holds no certificate."""
    return f"DB_SSLROOTCERT={settings.sslrootcert} cannot be read, or holds no certificate"


def not_agreed(reason: str) -> str:
    """Return the message for a handshake without a common TLS version or cipher, or with a server that is not TLS.

    Args:
        reason: OpenSSL's reason, such as `UNSUPPORTED_PROTOCOL`; may be empty.
    """
    said = reason.replace("_", " ").lower() or "no reason was given"
    return f"no TLS connection can be agreed on with this server ({said}): see its TLS versions and ciphers"


def tls_required(settings: Settings) -> str:
    """Return the message for a server that accepts TLS connections only."""
    return f"the server takes TLS connections alone: DB_SSLMODE is {settings.sslmode or 'not set'}; set it to require"
