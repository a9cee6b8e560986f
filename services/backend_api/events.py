"""Events: append and list. What was appended stays as it is: the account can neither change nor delete it."""

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from backend_api.users import MAX_KEY
from platform_web import paging
from platform_web.inputs import Fields
from ringfence.runtime.flask import Ringfence

KIND_LENGTH = 50
SOURCE = "backend-api"


def blueprint(ringfence: Ringfence) -> Blueprint:
    """The addresses under /events, on this application's database."""
    routes = Blueprint("events", __name__, url_prefix="/events")

    @routes.post("")
    def append() -> ResponseReturnValue:
        fields = Fields.of_body(request)
        kind = fields.text("kind", most=KIND_LENGTH, required=True)
        user = fields.integer("user_id", most=MAX_KEY)
        payload = fields.json_object("payload")
        occurred_at = fields.instant("occurred_at")
        fields.done()
        dal = ringfence.dal
        key = dal.events.insert(
            kind=kind,
            source=SOURCE,
            user_id=user,
            payload=payload or {},
            occurred_at=occurred_at or datetime.now(UTC),
        )
        stored = dal(dal.events.id == key).select(*_shown(dal.events)).first()
        return jsonify(_view(stored)), 201

    @routes.get("")
    def listing() -> ResponseReturnValue:
        fields = Fields.of_query(request)
        limit = fields.integer("limit", most=paging.MAX_LIMIT) or paging.LIMIT
        before = fields.integer("before")
        kind = fields.text("kind", most=KIND_LENGTH)
        fields.done()
        dal = ringfence.dal
        event = dal.events
        wanted = event.id > 0 if before is None else event.id < before
        if kind is not None:
            wanted &= event.kind == kind
        rows = dal(wanted).select(*_shown(event), orderby=~event.id, limitby=(0, limit + 1))
        return jsonify(paging.page([_view(row) for row in rows], limit, "before", kind=kind))

    return routes


def _shown(event: Any) -> list[Any]:
    return [event.id, event.kind, event.source, event.user_id, event.payload, event.occurred_at]


def _view(row: Any) -> dict[str, object]:
    return {
        "id": row.id,
        "kind": row.kind,
        "source": row.source,
        "user_id": row.user_id,
        "payload": row.payload,
        "occurred_at": row.occurred_at.isoformat(),
    }
