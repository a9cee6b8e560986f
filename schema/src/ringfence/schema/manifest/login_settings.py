"""Parses the properties of a login: its connection limit, its expiry, and its session settings."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from ringfence.schema.documents import Name, Value, suggestion

LIMITS = ("connection_limit", "valid_until", "settings")
SETTINGS = (
    "search_path",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
)


def read_limits(service: Name, fields: Mapping[str, tuple[Name, Value]]) -> Iterator[tuple[Name, str]]:
    """Parse `connection_limit`, `valid_until` and `settings` of an account, recording mistakes.

    Args:
        service: the account's.
        fields: the keys of the account with their values.

    Yields:
        Each key (a setting's own name for `settings`) with its value as text, in the form that servers report it.
    """
    if "connection_limit" in fields:
        name, value = fields["connection_limit"]
        number = value.integer(f"connection_limit of {service.text!r}")
        if number is not None and number < 1:
            value.mistake(f"connection_limit of {service.text!r} must be at least 1")
        yield name, str(number)
    if "valid_until" in fields:
        name, value = fields["valid_until"]
        given = value.name(f"valid_until of {service.text!r}")
        try:
            moment = datetime.fromisoformat(given.text if given else "")
        except ValueError:
            value.mistake(
                f"valid_until of {service.text!r} must be a date or a moment: 2027-01-31T12:00:00+00:00"
            )
        else:
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            yield name, moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S+00")
    if "settings" in fields:
        yield from _settings(service, fields["settings"][1])


def _settings(service: Name, body: Value) -> Iterator[tuple[Name, str]]:
    for name, value in body.mapping(f"settings of {service.text!r}"):
        if name.text not in SETTINGS:
            body.document.mistake(
                name.line, f"{name.text!r} is no setting of an account{suggestion(name.text, SETTINGS)}"
            )
        elif value.is_list:
            yield name, ", ".join(item.text for item in value.names(name.text))
        elif (text := value.name(name.text)) is not None:
            yield name, text.text
