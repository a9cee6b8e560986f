"""Why no TLS connection came about, in the words of the environment: no waiting mends any of these."""

from ringfence.runtime.settings import Settings


def not_offered(settings: Settings) -> str:
    """The server speaks no TLS."""
    asks = f"DB_SSLMODE={settings.sslmode}" if settings.sslmode else "PGSSLMODE, which libpq reads,"
    return f"the server offers no TLS, and {asks} asks for it"


def not_trusted(settings: Settings) -> str:
    """Its certificate is of somebody else."""
    return f"the server's certificate is not signed by the authority of DB_SSLROOTCERT={settings.sslrootcert}"


def not_named(settings: Settings) -> str:
    """Its certificate is for another host."""
    return (
        "the server's certificate does not name this host: let DB_HOST be a name that it holds, or let"
        " DB_SSLMODE=verify-ca ask for the signature alone"
    )


def not_readable(settings: Settings) -> str:
    """The authority's file is none."""
    return f"DB_SSLROOTCERT={settings.sslrootcert} cannot be read, or holds no certificate"


def not_agreed(reason: str) -> str:
    """The two sides have no version or cipher in common, or the server is no TLS server."""
    said = reason.replace("_", " ").lower() or "no reason was given"
    return f"no TLS connection can be agreed on with this server ({said}): see its TLS versions and ciphers"


def wanted(settings: Settings) -> str:
    """The server takes TLS connections alone."""
    return f"the server takes TLS connections alone: DB_SSLMODE is {settings.sslmode or 'not set'}; set it to require"
