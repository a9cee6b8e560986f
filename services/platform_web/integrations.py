"""What the triggers share: the integrations of one platform, and the new tokens that it sends.

Nothing here names the platform: each trigger's account sees the rows of its own and no other.
"""

from datetime import UTC, datetime
from typing import Annotated, Any

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue
from pydantic import Field, StringConstraints

from platform_web import paging
from platform_web.inputs import Input, Text, from_body, from_query
from platform_web.problems import not_found
from ringfence.runtime.flask import Ringfence

MAX_KEY = 2**31 - 1
TOKEN_LENGTH = 512


class Listing(paging.PageInput):
    """What a list of integrations may ask for."""

    after: Annotated[int, Field(ge=0, le=MAX_KEY)] = 0
    active: bool | None = None


class NewToken(Input):
    """A token that the platform issued."""

    token: Annotated[Text, StringConstraints(max_length=TOKEN_LENGTH)]


def blueprint(ringfence: Ringfence) -> Blueprint:
    """The addresses under /integrations, on this application's database."""
    routes = Blueprint("integrations", __name__, url_prefix="/integrations")

    @routes.get("")
    def listing() -> ResponseReturnValue:
        asked = from_query(Listing, request)
        dal = ringfence.dal
        integration = dal.platform_integrations
        wanted = integration.id > asked.after
        if asked.active is not None:
            wanted &= integration.active == asked.active
        rows = dal(wanted).select(*_shown(integration), orderby=integration.id, limitby=(0, asked.limit + 1))
        return jsonify(paging.page([_view(row) for row in rows], asked.limit, "after", active=asked.active))

    @routes.get("/<int:key>")
    def one(key: int) -> ResponseReturnValue:
        return jsonify(_get(ringfence.dal, key))

    @routes.put("/<int:key>/token")
    def refresh(key: int) -> ResponseReturnValue:
        token = from_body(NewToken, request).token
        dal = ringfence.dal
        _get(dal, key)
        dal(dal.platform_integrations.id == key).update(token=token, refreshed_at=datetime.now(UTC))
        return jsonify(_get(dal, key))

    return routes


def _shown(integration: Any) -> list[Any]:
    """The columns that an answer holds; the token is written by the account, and not read."""
    return [
        integration.id,
        integration.platform,
        integration.account,
        integration.active,
        integration.refreshed_at,
    ]


def _view(row: Any) -> dict[str, object]:
    return {
        "id": row.id,
        "platform": row.platform,
        "account": row.account,
        "active": row.active,
        "refreshed_at": row.refreshed_at and row.refreshed_at.isoformat(),
    }


def _get(dal: Any, key: int) -> dict[str, object]:
    integration = dal.platform_integrations
    row = dal(integration.id == key).select(*_shown(integration)).first() if key <= MAX_KEY else None
    if row is None:
        raise not_found("integration", key)
    return _view(row)
