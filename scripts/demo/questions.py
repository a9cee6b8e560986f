"""What the services are asked over HTTP, and what they must answer."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from demo.client import Answer, Client
from demo.transcript import Transcript, expect

PAGE = 200
BURST = 200
"""Requests that are sent by several threads at once."""

_ADDRESS = "new.reader@example.org"
_KIND = "demonstration"


def ask_backend(transcript: Transcript, client: Client, loaded: Mapping[str, Any], threads: int) -> None:
    """Use every address of backend-api. Raises CheckFailed when an answer is not the right one."""
    _page_through(transcript, client, loaded)
    key = _one_user(transcript, client)
    _one_event(transcript, client, key, loaded["to"])
    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(lambda _: client.get(f"/users/{key}"), range(BURST)))
    good = sum(answer.status == 200 and answer.body["active"] is False for answer in answers)
    expect(good == BURST, f"{BURST} reads by {threads} threads: {good} were right")
    transcript.passed(f"{BURST} reads by {threads} threads at once: every one right")


def ask_analytics(transcript: Transcript, client: Client, loaded: Mapping[str, Any]) -> None:
    """Compare analytics' figures with those counted from the data itself. Raises CheckFailed when they differ."""
    days = f"from={loaded['from']}&to={loaded['to']}"
    answer = _get(client, f"/events-by-kind?{days}")
    kinds = {item["kind"]: item["events"] for item in answer.body["items"]}
    wanted = {**loaded["by_kind"], _KIND: 1}
    expect(kinds == wanted, f"events by kind: {kinds}, and not {wanted}")
    transcript.passed("events by kind: " + ", ".join(f"{kind} {number:,}" for kind, number in kinds.items()))
    answer = _get(client, f"/daily-active-users?{days}")
    daily = {item["day"]: item["users"] for item in answer.body["items"] if item["users"]}
    expect(daily == loaded["daily"], f"daily active users: {daily}, and not {loaded['daily']}")
    most = max(daily, key=lambda day: daily[day])
    transcript.passed(
        f"daily active users of {len(daily)} days as counted from the data; most on {most}: {daily[most]}"
    )
    _expect(client.get("/daily-active-users?from=yesterday"), 400, "a day that is none")


def ask_trigger(
    transcript: Transcript, client: Client, platform: str, loaded: Mapping[str, Mapping[str, int]]
) -> None:
    """See that a trigger has the rows of its platform, whole, and no other. Raises CheckFailed otherwise."""
    items = _get(client, "/integrations").body["items"]
    found = {item["account"]: item["id"] for item in items}
    expect(found == loaded[platform], f"the integrations of {platform}: {found}, and not {loaded[platform]}")
    expect(not any("token" in item for item in items), "an answer holds a token")
    others = {name: keys for name, keys in loaded.items() if name != platform}
    for key in (key for keys in others.values() for key in keys.values()):
        _expect(client.get(f"/integrations/{key}"), 404, "another platform's integration")
        answer = client.put(f"/integrations/{key}/token", {"token": "taken over"})
        _expect(answer, 404, "a token for another platform's integration")
    own = next(iter(found.values()))
    answer = client.put(f"/integrations/{own}/token", {"token": "a new one"})
    _expect(answer, 200, "a new token")
    expect(bool(answer.body["refreshed_at"]), f"a new token is stored: {answer.body}")
    transcript.passed(
        f"{platform}-trigger finds the {len(found)} of {platform}, stores a new token, and gets 404 for the"
        f" integrations of {' and '.join(others)}"
    )


def _page_through(transcript: Transcript, client: Client, loaded: Mapping[str, Any]) -> None:
    path: str | None = f"/users?limit={PAGE}"
    users: list[dict[str, Any]] = []
    pages = 0
    while path:
        answer = _get(client, path)
        users += answer.body["items"]
        path = answer.body["next"]
        pages += 1
    active = sum(user["active"] for user in users)
    found = (len(users), active)
    expect(found == (loaded["users"], loaded["active"]), f"users and active users: {found}, loaded otherwise")
    expect(not any("password" in user for user in users), "an answer holds a password")
    transcript.passed(
        f"{len(users):,} users on {pages} pages, {active:,} of them active, no password among the answers"
    )


def _one_user(transcript: Transcript, client: Client) -> int:
    """Create a user, send invalid requests, change and deactivate the user. Returns its key."""
    wanted = {"email": _ADDRESS, "password": "correct horse battery staple"}
    answer = client.post("/users", wanted)
    _expect(answer, 201, "a new user")
    key = int(answer.body["id"])
    transcript.passed(f"a new user is created: 201, /users/{key}")
    _expect(client.post("/users", wanted), 409, "the same address again")
    _expect(
        client.post("/users", {"email": "nobody", "password": "short"}),
        400,
        "no address and a short password",
    )
    _expect(client.get("/users/0"), 404, "a user that is none")
    transcript.passed(
        "the same address again: 409; no address: 400; no such user: 404; each a problem document"
    )
    _expect(client.patch(f"/users/{key}", {"email": f"changed.{_ADDRESS}"}), 200, "another address")
    answer = client.post(f"/users/{key}/deactivate")
    _expect(answer, 200, "a deactivation")
    found = _get(client, f"/users/{key}").body
    expect(
        found["active"] is False and found["email"] == f"changed.{_ADDRESS}",
        f"changed and deactivated: {found}",
    )
    transcript.passed("the user is changed and deactivated")
    return key


def _one_event(transcript: Transcript, client: Client, key: int, day: str) -> None:
    payload = {"text": "naïve café 😀 'quoted\\'", "numbers": [1, 2.5, None]}
    event = {"kind": _KIND, "user_id": key, "payload": payload, "occurred_at": f"{day}T00:00:00.000001+00:00"}
    answer = client.post("/events", event)
    _expect(answer, 201, "a new event")
    newest = _get(client, f"/events?limit=1&kind={_KIND}").body["items"][0]
    expect(newest["id"] == answer.body["id"], f"the newest event is {newest}")
    expect({name: newest[name] for name in event} == event, f"the event came back as {newest}")
    transcript.passed("an event is appended, and is read back exactly, to the microsecond")


def _get(client: Client, path: str) -> Answer:
    answer = client.get(path)
    _expect(answer, 200, path)
    return answer


def _expect(answer: Answer, status: int, what: str) -> None:
    expect(answer.status == status, f"{what}: answered {answer.status} and not {status}: {answer.body}")
    if status >= 400:
        expect(
            answer.content_type == "application/problem+json",
            f"{what}: {answer.content_type}, no problem document",
        )
        expect(answer.body["status"] == status, f"{what}: the problem says {answer.body}")
