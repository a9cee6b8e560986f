"""What the triggers share: the integrations of one platform, and the new tokens that it sends.

Nothing here names the platform: each trigger's account sees the rows of its own and no other.
"""

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from platform_web import paging
from platform_web.inputs import Fields
from platform_web.problems import not_found
from ringfence.runtime.flask import Ringfence

MAX_KEY = 2**31 - 1
TOKEN_LENGTH = 512


def blueprint(ringfence: Ringfence) -> Blueprint:
    """The addresses under /integrations, on this application's database."""
    routes = Blueprint("integrations", __name__, url_prefix="/integrations")

    @routes.get("")
    def listing() -> ResponseReturnValue:
        fields = Fields.of_query(request)
        limit = fields.integer("limit", most=paging.MAX_LIMIT) or paging.LIMIT
        after = fields.integer("after", least=0, most=MAX_KEY) or 0
        active = fields.boolean("active")
        fields.done()
        dal = ringfence.dal
        integration = dal.platform_integrations
        wanted = integration.id > after
        if active is not None:
            wanted &= integration.active == active
        rows = dal(wanted).select(*_shown(integration), orderby=integration.id, limitby=(0, limit + 1))
        return jsonify(paging.page([_view(row) for row in rows], limit, "after", active=active))

    @routes.get("/<int:key>")
    def one(key: int) -> ResponseReturnValue:
        return jsonify(_get(ringfence.dal, key))

    @routes.put("/<int:key>/token")
    def refresh(key: int) -> ResponseReturnValue:
        fields = Fields.of_body(request)
        token = fields.text("token", most=TOKEN_LENGTH, required=True)
        fields.done()
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
