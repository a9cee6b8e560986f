"""Events: append and list. What was appended stays as it is: the account can neither change nor delete it."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue
from pydantic import Field, StringConstraints

from backend_api.users import MAX_KEY
from platform_web import paging
from platform_web.inputs import MAX_ID, Input, JsonObject, Moment, QueryInt, Text, from_body, from_query
from ringfence.runtime.flask import Ringfence

if TYPE_CHECKING:
    from mirrors.backend_api import DAL, EventsRow, EventsSet, EventsTable
    from ringfence.runtime.typed import Column

KIND_LENGTH = 50
SOURCE = "backend-api"

Kind = Annotated[Text, StringConstraints(max_length=KIND_LENGTH)]


class NewEvent(Input):
    """What a client says of an event; the database gives it its key."""

    kind: Kind
    user_id: Annotated[int, Field(ge=1, le=MAX_KEY)] | None = None
    payload: JsonObject = Field(default_factory=dict)
    occurred_at: Moment = Field(default_factory=lambda: datetime.now(UTC))


class Listing(paging.PageInput):
    """What a list of events may ask for."""

    before: Annotated[QueryInt, Field(ge=1, le=MAX_ID)] | None = None
    kind: Kind | None = None


def blueprint(ringfence: "Ringfence[DAL]") -> Blueprint:
    """The addresses under /events, on this application's database."""
    routes = Blueprint("events", __name__, url_prefix="/events")

    @routes.post("")
    def append() -> ResponseReturnValue:
        new = from_body(NewEvent, request)
        dal = ringfence.dal
        key = dal.events.insert(
            kind=new.kind,
            source=SOURCE,
            user_id=new.user_id,
            payload=new.payload,
            occurred_at=new.occurred_at,
        )
        stored = dal(dal.events.id == key).select(*_shown(dal.events)).first()
        assert stored is not None  # of this transaction
        return jsonify(_view(stored)), 201

    @routes.get("")
    def listing() -> ResponseReturnValue:
        asked = from_query(Listing, request)
        dal = ringfence.dal
        event = dal.events
        wanted = event.id > 0 if asked.before is None else event.id < asked.before
        if asked.kind is not None:
            wanted &= event.kind == asked.kind
        rows = dal(wanted).select(*_shown(event), orderby=~event.id, limitby=(0, asked.limit + 1))
        return jsonify(paging.page([_view(row) for row in rows], asked.limit, "before", kind=asked.kind))

    return routes


def _shown(event: "EventsTable") -> "list[Column[EventsSet]]":
    return [event.id, event.kind, event.source, event.user_id, event.payload, event.occurred_at]


def _view(row: "EventsRow") -> dict[str, object]:
    return {
        "id": row.id,
        "kind": row.kind,
        "source": row.source,
        "user_id": row.user_id,
        "payload": row.payload,
        "occurred_at": row.occurred_at.isoformat(),
    }
