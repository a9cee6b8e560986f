"""Daily active users and events by kind, from the columns that the account was given. Days are UTC's."""

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue
from pydantic import Field

from platform_web.inputs import Day, Input, from_query
from platform_web.problems import bad_input
from ringfence.runtime.flask import Ringfence

if TYPE_CHECKING:
    from mirrors.analytics import DAL, EventsSet, EventsTable
    from ringfence.runtime.typed import Query

DAYS = 30
"""How many days an answer covers when the request names none."""

MAX_DAYS = 366


class Days(Input):
    """The first and the last day of an answer, both included."""

    first: Day | None = Field(None, alias="from")
    last: Day | None = Field(None, alias="to")


def blueprint(ringfence: "Ringfence[DAL]") -> Blueprint:
    """The service's addresses, on this application's database."""
    routes = Blueprint("activity", __name__)

    @routes.get("/daily-active-users")
    def daily_active_users() -> ResponseReturnValue:
        first, last = _days()
        dal = ringfence.dal
        event, user = dal.events, dal.auth_user
        day = [event.occurred_at.year(), event.occurred_at.month(), event.occurred_at.day()]
        users = event.user_id.count(distinct=True)
        seen = (event.user_id == user.id) & (user.active == True) & _between(event, first, last)  # noqa: E712
        rows = dal(seen).select(*day, users, groupby=day[0] | day[1] | day[2])
        counted = {date(*(int(row[part]) for part in day)): int(row[users]) for row in rows}
        length = (last - first).days + 1
        every = [first + timedelta(days=number) for number in range(length)]
        items = [{"day": each.isoformat(), "users": counted.get(each, 0)} for each in every]
        return jsonify({"from": first.isoformat(), "to": last.isoformat(), "items": items})

    @routes.get("/events-by-kind")
    def events_by_kind() -> ResponseReturnValue:
        first, last = _days()
        dal = ringfence.dal
        event = dal.events
        number = event.id.count()
        rows = dal(_between(event, first, last)).select(event.kind, number, groupby=event.kind)
        busiest = sorted(((int(row[number]), row[event.kind]) for row in rows), key=_busiest)
        items = [{"kind": kind, "events": events} for events, kind in busiest]
        return jsonify({"from": first.isoformat(), "to": last.isoformat(), "items": items})

    return routes


def _days() -> tuple[date, date]:
    """The first and the last day that the request asks for, both included."""
    asked = from_query(Days, request)
    first, last = asked.first, asked.last
    last = last or (first + timedelta(days=DAYS - 1) if first else datetime.now(UTC).date())
    first = first or last - timedelta(days=DAYS - 1)
    if not timedelta(0) <= last - first < timedelta(days=MAX_DAYS):
        raise bad_input(
            {"to": f"must be a day from {first} on, and at most {MAX_DAYS} days are counted at once"}
        )
    return first, last


def _between(event: "EventsTable", first: date, last: date) -> "Query[EventsSet]":
    begin = datetime.combine(first, time(), UTC)
    end = datetime.combine(last, time(), UTC) + timedelta(days=1)
    return (event.occurred_at >= begin) & (event.occurred_at < end)


def _busiest(counted: tuple[int, str]) -> tuple[int, str]:
    return -counted[0], counted[1]
