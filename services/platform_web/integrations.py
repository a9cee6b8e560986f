"""What the triggers share: the integrations of one platform, and the new tokens that it sends.

Nothing here depends on the platform: each trigger's account sees the rows of its own and no other. A select that
names no columns reads those that the account may read; the token is not one of them.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue
from pydantic import Field, StringConstraints

from platform_web import paging
from platform_web.inputs import Input, QueryBool, QueryInt, Text, from_body, from_query
from platform_web.problems import not_found
from ringfence.runtime.flask import Ringfence

if TYPE_CHECKING:
    from mirrors import discord_trigger, twitch_trigger

    DAL = TypeVar("DAL", twitch_trigger.DAL, discord_trigger.DAL)  # this code is checked against both mirrors
    Integration = twitch_trigger.PlatformIntegrationsRow | discord_trigger.PlatformIntegrationsRow

MAX_KEY = 2**31 - 1
TOKEN_LENGTH = 512


class Listing(paging.PageInput):
    """What a list of integrations may ask for."""

    after: Annotated[QueryInt, Field(ge=0, le=MAX_KEY)] = 0
    active: QueryBool | None = None


class NewToken(Input):
    """A token that the platform issued."""

    token: Annotated[Text, StringConstraints(max_length=TOKEN_LENGTH)]


def blueprint(ringfence: "Ringfence[DAL]") -> Blueprint:
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
        rows = dal(wanted).select(orderby=integration.id, limitby=(0, asked.limit + 1))
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


def _view(row: "Integration") -> dict[str, object]:
    return {
        "id": row.id,
        "platform": row.platform,
        "account": row.account,
        "active": row.active,
        "refreshed_at": row.refreshed_at and row.refreshed_at.isoformat(),
    }


def _get(dal: "DAL", key: int) -> dict[str, object]:
    integration = dal.platform_integrations
    row = dal(integration.id == key).select().first() if key <= MAX_KEY else None
    if row is None:
        raise not_found("integration", key)
    return _view(row)
