"""The services over HTTP, each under its own account, on every engine."""

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
from werkzeug.security import check_password_hash

import analytics.application
import backend_api.application
from servers.process import free_ports
from support.reference_platform import PASSWORD, problem, serve

# Users


def test_a_new_user_is_answered_whole_but_for_the_password(backend, user):
    assert set(user) == {"id", "email", "active", "confirmed_at", "created_at"}
    assert user["active"] is True
    created = datetime.fromisoformat(user["created_at"])
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=1)
    assert backend.get(f"/users/{user['id']}").json == user


def test_the_address_of_a_new_user_is_returned(backend):
    answer = backend.post("/users", json={"email": "located@example.org", "password": PASSWORD})
    assert answer.location == f"/users/{answer.json['id']}"


def test_a_password_is_stored_as_a_hash(platform, user):
    [(stored,)] = platform.database.execute(f"SELECT password FROM auth_user WHERE id = {user['id']}")
    assert PASSWORD not in stored
    assert check_password_hash(stored, PASSWORD)


def test_pages_hold_every_user_once(backend):
    for number in range(5):
        backend.post("/users", json={"email": f"page-{number}@example.org", "password": PASSWORD})
    path, pages = "/users?limit=2", []
    while path:
        answer = backend.get(path).json
        pages.append([found["id"] for found in answer["items"]])
        path = answer["next"]
    seen = [key for page in pages for key in page]
    everybody = backend.get("/users?limit=200").json
    assert all(len(page) == 2 for page in pages[:-1])
    assert seen == sorted(set(seen)) == [found["id"] for found in everybody["items"]]
    assert everybody["next"] is None


def test_pages_keep_their_filter(backend, user):
    backend.post(f"/users/{user['id']}/deactivate")
    gone = backend.get("/users?active=false&limit=1").json
    assert gone["next"] is None or "active=false" in gone["next"]
    everybody = backend.get("/users?active=true&limit=200").json["items"]
    assert user["id"] not in [found["id"] for found in everybody]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=many", "limit=", "limit=5.0", "limit=1_0", "limit=%205", "after=-1",
     "active=perhaps", "active=yes", "active=1", "password=x"],
)  # fmt: skip
def test_a_page_that_cannot_be_is_refused(backend, query):
    assert query.partition("=")[0] in problem(backend.get(f"/users?{query}"), 400)["errors"]


@pytest.mark.parametrize("key", ["0", "2147483647", "2147483648", "9" * 30])
def test_a_user_that_is_none_is_not_found(backend, key):
    problem(backend.get(f"/users/{key}"), 404)
    problem(backend.patch(f"/users/{key}", json={"active": False}), 404)
    problem(backend.post(f"/users/{key}/deactivate"), 404)


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {"email", "password"}),
        ({"email": "nobody", "password": "short"}, {"email", "password"}),
        ({"email": "a b@example.org", "password": PASSWORD}, {"email"}),
        ({"email": f"{'x' * 250}@example.org", "password": PASSWORD}, {"email"}),
        ({"email": "nul\x00@example.org", "password": PASSWORD}, {"email"}),
        ({"email": "half\ud800@example.org", "password": PASSWORD}, {"email"}),
        ({"email": None, "password": 12345678}, {"email", "password"}),
        ({"email": "more@example.org", "password": PASSWORD, "id": 1, "active": True}, {"id", "active"}),
    ],
)
def test_every_wrong_field_of_a_new_user_is_named(backend, body, wrong):
    assert set(problem(backend.post("/users", json=body), 400)["errors"]) == wrong


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [
        ("{", "application/json", 400),
        ("[]", "application/json", 400),
        ("null", "application/json", 400),
        ("[" * 100_000, "application/json", 400),
        ('{"email": ' + "9" * 5000 + "}", "application/json", 400),
        ("email=x", "application/x-www-form-urlencoded", 415),
        ("", None, 415),
        (f'"{"x" * 1024 * 1024}"', "application/json", 413),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(backend, data, content_type, status):
    problem(backend.post("/users", data=data, content_type=content_type), status)


def test_an_address_that_is_taken_is_a_conflict_and_stores_nothing(backend, user):
    before = len(backend.get("/users?limit=200").json["items"])
    answer = backend.post("/users", json={"email": user["email"], "password": PASSWORD})
    assert problem(answer, 409)["errors"] == {"email": "is already taken"}
    other = backend.post("/users", json={"email": f"other.{user['email']}", "password": PASSWORD}).json
    problem(backend.patch(f"/users/{other['id']}", json={"email": user["email"]}), 409)
    assert len(backend.get("/users?limit=200").json["items"]) == before + 1


def test_a_user_is_changed(backend, platform, user):
    path = f"/users/{user['id']}"
    email = "ünïcode.😀@example.org"
    assert backend.patch(path, json={"email": email, "password": "another one"}).json["email"] == email
    [(stored,)] = platform.database.execute(f"SELECT password FROM auth_user WHERE id = {user['id']}")
    assert check_password_hash(stored, "another one")
    assert backend.patch(path, json={}).json == backend.get(path).json
    assert set(problem(backend.patch(path, json={"email": "x", "active": "no"}), 400)["errors"]) == {
        "email",
        "active",
    }


def test_a_deactivation_may_be_repeated_and_taken_back(backend, user):
    path = f"/users/{user['id']}"
    for _ in range(2):
        answer = backend.post(f"{path}/deactivate")
        assert (answer.status_code, answer.json["active"]) == (200, False)
    assert backend.patch(path, json={"active": True}).json["active"] is True


# Events


def test_an_event_comes_back_as_it_was_sent(backend, user):
    payload = {
        "wide": [2**63 - 1, -(2**63)],
        "text": "naïve 😀 'quoted' \\ % ? :name",
        "deep": [{"n": 1.5, "none": None, "yes": True}],
    }
    sent = {"kind": "it's 100% \\ odd", "user_id": user["id"], "payload": payload}
    answer = backend.post("/events", json=sent | {"occurred_at": "2026-03-29T01:30:00.123456+05:45"})
    assert answer.status_code == 201, answer.text
    assert {name: answer.json[name] for name in sent} == sent
    assert answer.json["occurred_at"] == "2026-03-28T19:45:00.123456+00:00"
    assert backend.get("/events?limit=1").json["items"] == [answer.json]


def test_an_event_needs_only_a_kind(backend):
    event = backend.post("/events", json={"kind": "bare"}).json
    assert (event["payload"], event["user_id"], event["source"]) == ({}, None, "backend-api")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(event["occurred_at"])) < timedelta(minutes=1)


def test_events_are_listed_newest_first_and_by_kind(backend):
    keys = [
        backend.post("/events", json={"kind": "listed", "payload": {"n": n}}).json["id"] for n in range(5)
    ]
    path, seen = "/events?kind=listed&limit=2", []
    while path:
        answer = backend.get(path).json
        seen += [event["id"] for event in answer["items"]]
        path = answer["next"]
    assert seen == keys[::-1]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, "kind"),
        ({"kind": "x" * 51}, "kind"),
        ({"kind": "x", "payload": [1]}, "payload"),
        ({"kind": "x", "payload": {"nul": ["\x00"]}}, "payload"),
        ({"kind": "x", "payload": {"half\ud800": 1}}, "payload"),
        ({"kind": "x", "payload": {"wide": 2**63}}, "payload"),
        ({"kind": "x", "payload": {"much": float("inf")}}, "payload"),
        ({"kind": "x", "payload": {"none": float("nan")}}, "payload"),
        ({"kind": "x", "payload": {"deep": json.loads("[" * 51 + "]" * 51)}}, "payload"),
        ({"kind": "x", "user_id": "me"}, "user_id"),
        ({"kind": "x", "user_id": "1"}, "user_id"),
        ({"kind": "x", "user_id": 2**31}, "user_id"),
        ({"kind": "x", "occurred_at": "soon"}, "occurred_at"),
        ({"kind": "x", "occurred_at": "2026-03-29T01:30:00"}, "occurred_at"),
        ({"kind": "x", "occurred_at": "0001-01-01T00:00:00+14:00"}, "occurred_at"),
        ({"kind": "x", "occurred_at": 1774747800}, "occurred_at"),
        ({"kind": "x", "source": "me"}, "source"),
    ],
)
def test_an_event_that_cannot_be_is_refused(backend, body, wrong):
    assert set(problem(backend.post("/events", json=body), 400)["errors"]) == {wrong}


def test_an_event_of_a_user_that_is_none_is_a_conflict(backend):
    problem(backend.post("/events", json={"kind": "x", "user_id": 2**31 - 1}), 409)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_events_cannot_be_changed(backend, method):
    answer = backend.open("/events", method=method, json={"kind": "x"})
    assert problem(answer, 405)
    assert set(answer.allow) == {"GET", "HEAD", "OPTIONS", "POST"}


# What may go wrong around them


def test_a_missing_resource_is_a_problem_document_too(backend, figures):
    for client in (backend, figures):
        problem(client.get("/nowhere"), 404)


def test_a_service_is_live_and_ready(backend, figures):
    for client in (backend, figures):
        assert client.get("/livez").status_code == 200
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json["ready"]) == (200, True), answer.json


@pytest.mark.requires("accounts")
def test_what_the_account_may_not_do_is_forbidden_and_logged(platform, tmp_path, caplog):
    # The code of backend-api, as if by mistake under the account of analytics.
    own, other = platform.env("analytics"), json.loads(platform.mirror("backend-api").read_text())
    mirror = tmp_path / "mirror.json"
    mirror.write_text(json.dumps(other | {"login": own["DB_USER"]}))
    for client in serve(backend_api.application, mirror, own):
        with caplog.at_level(logging.WARNING, "platform_web.problems"):
            problem(client.get("/users"), 403)
            problem(client.post("/events", json={"kind": "forged"}), 403)
        assert sum("AccessDenied" in record.getMessage() for record in caplog.records) == 2
        assert client.get("/readyz").status_code == 503


@pytest.mark.engines("sqlite")
def test_what_the_mirror_does_not_give_is_forbidden_and_logged(platform, tmp_path, caplog):
    given = json.loads(platform.mirror("backend-api").read_text())
    del given["tables"]["auth_user"]["verbs"]["update"]
    mirror = tmp_path / "mirror.json"
    mirror.write_text(json.dumps(given))
    for client in serve(backend_api.application, mirror, platform.env("backend-api")):
        key = client.post("/users", json={"email": "fixed@example.org", "password": PASSWORD}).json["id"]
        with caplog.at_level(logging.WARNING, "platform_web.problems"):
            problem(client.post(f"/users/{key}/deactivate"), 403)
        assert "AccessDenied" in caplog.text
        assert client.get(f"/users/{key}").json["active"] is True


@pytest.mark.requires("networked")
def test_an_absent_database_is_reported_as_unavailable(platform):
    [port] = free_ports(1)
    env = platform.env("backend-api") | {"DB_HOST": "127.0.0.1", "DB_PORT": str(port), "DB_MAX_RETRIES": "0"}
    for client in serve(backend_api.application, platform.mirror("backend-api"), env):
        for answer in (client.get("/users"), client.post("/events", json={"kind": "x"})):
            problem(answer, 503)
            assert int(answer.headers["Retry-After"]) > 0
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").status_code == 503


@pytest.mark.engines("sqlite")
def test_an_absent_file_is_reported_as_unavailable(platform, tmp_path):
    env = {"DB_TYPE": "sqlite", "DB_NAME": str(tmp_path / "nowhere" / "nothing.sqlite")}
    for client in serve(analytics.application, platform.mirror("analytics"), env):
        answer = client.get("/events-by-kind")
        problem(answer, 503)
        assert int(answer.headers["Retry-After"]) > 0
