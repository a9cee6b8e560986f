"""The figures of analytics, on every engine."""

from datetime import date, timedelta

import pytest

import analytics.application
from support.reference_platform import PASSWORD, problem, serve


def test_the_figures_are_those_of_the_days_in_utc(backend, figures):
    people = [
        backend.post("/users", json={"email": f"counted-{n}@example.org", "password": PASSWORD}).json["id"]
        for n in range(3)
    ]
    backend.post(f"/users/{people[2]}/deactivate")
    happened = [
        (0, "login", "2001-02-03T00:00:00+00:00"),
        (0, "login", "2001-02-03T23:59:59.999999+00:00"),
        (1, "play", "2001-02-04T00:30:00+01:00"),
        (1, "play", "2001-02-04T00:00:00+00:00"),
        (2, "login", "2001-02-03T12:00:00+00:00"),
        (0, "login", "2001-02-06T00:00:00+00:00"),
        (0, "login", "2001-02-02T23:59:59.999999+00:00"),
    ]
    for who, kind, moment in happened:
        event = {"kind": kind, "user_id": people[who], "occurred_at": moment}
        assert backend.post("/events", json=event).status_code == 201
    days = "from=2001-02-03&to=2001-02-05"
    assert figures.get(f"/daily-active-users?{days}").json == {
        "from": "2001-02-03",
        "to": "2001-02-05",
        "items": [
            {"day": "2001-02-03", "users": 2},
            {"day": "2001-02-04", "users": 1},
            {"day": "2001-02-05", "users": 0},
        ],
    }
    kinds = [{"kind": "login", "events": 3}, {"kind": "play", "events": 2}]
    assert figures.get(f"/events-by-kind?{days}").json["items"] == kinds


def test_without_days_the_figures_are_of_the_last_thirty(figures):
    answer = figures.get("/daily-active-users").json
    assert date.fromisoformat(answer["to"]) - date.fromisoformat(answer["from"]) == timedelta(days=29)
    assert len(answer["items"]) == 30


@pytest.mark.parametrize(
    "query",
    ["from=yesterday", "to=2026-02-30", "from=20260101", "from=1767225600",
     "from=2026-01-02&to=2026-01-01", "to=9999-12-31",
     "from=2020-01-01&to=2026-01-01", "day=2026-01-01"],
)  # fmt: skip
def test_days_that_cannot_be_are_refused(figures, query):
    for path in ("/daily-active-users", "/events-by-kind"):
        assert problem(figures.get(f"{path}?{query}"), 400)["errors"]


@pytest.mark.engines("postgresql")
def test_the_days_are_those_of_utc_whatever_zone_the_database_prefers(platform, backend):
    platform.database.execute(f"ALTER DATABASE {platform.database.name} SET timezone = 'Pacific/Kiritimati'")
    event = {"kind": "far", "occurred_at": "2002-01-01T23:00:00+00:00"}
    assert backend.post("/events", json=event).json["occurred_at"] == event["occurred_at"]
    key = backend.post("/users", json={"email": "far@example.org", "password": PASSWORD}).json["id"]
    backend.post("/events", json=event | {"user_id": key})
    for client in serve(analytics.application, platform.mirror("analytics"), platform.env("analytics")):
        days = client.get("/daily-active-users?from=2002-01-01&to=2002-01-02").json["items"]
        assert [day["users"] for day in days] == [1, 0]
