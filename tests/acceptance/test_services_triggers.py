"""The triggers over HTTP: two services on one table, each with the rows of its own platform, on every engine."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

import discord_trigger.application
import twitch_trigger.application
from ringfence.runtime import Database
from support.reference_platform import Platform, problem, serve

Accounts = dict[str, int]


@pytest.fixture(scope="module")
def twitch(platform: Platform) -> Iterator[FlaskClient]:
    yield from serve(
        twitch_trigger.application, platform.mirror("twitch-trigger"), platform.env("twitch-trigger")
    )


@pytest.fixture(scope="module")
def discord(platform: Platform) -> Iterator[FlaskClient]:
    yield from serve(
        discord_trigger.application, platform.mirror("discord-trigger"), platform.env("discord-trigger")
    )


@pytest.fixture(scope="module")
def connector(platform: Platform) -> Iterator[Database]:
    """The owner of the table, who sees every row."""
    with Database.from_env(platform.mirror("connector"), platform.env("connector")) as database:
        yield database


@pytest.fixture(scope="module")
def keys(connector: Database) -> dict[str, Accounts]:
    """platform -> account -> key."""
    with connector.session() as dal:
        return {
            platform: {
                account: int(
                    dal.platform_integrations.insert(platform=platform, account=account, token="old")
                )
                for account in (f"{platform} one", f"{platform} two")
            }
            for platform in ("twitch", "discord", "youtube")
        }


def stored(connector: Database) -> dict[int, tuple[str, Any]]:
    with connector.session() as dal:
        rows = dal(dal.platform_integrations).select()
        return {row.id: (row.token, row.refreshed_at) for row in rows}


def test_a_trigger_finds_its_own_platform_alone(twitch, discord, keys):
    for client, platform in ((twitch, "twitch"), (discord, "discord")):
        found = client.get("/integrations").json["items"]
        assert {item["account"]: item["id"] for item in found} == keys[platform]
        assert {item["platform"] for item in found} == {platform}
        assert set(found[0]) == {"id", "platform", "account", "active", "refreshed_at"}
        page = client.get("/integrations?limit=1").json
        assert [item["id"] for item in client.get(page["next"]).json["items"]] == [found[1]["id"]]
        assert client.get("/integrations?active=false").json["items"] == []
        assert client.get(f"/integrations/{found[0]['id']}").json == found[0]


def test_a_trigger_stores_a_token_that_it_cannot_read(twitch, connector, keys):
    key = keys["twitch"]["twitch one"]
    before = stored(connector)
    answer = twitch.put(f"/integrations/{key}/token", json={"token": "new 'é😀'"})
    assert answer.status_code == 200, answer.text
    assert answer.json["refreshed_at"]
    assert "token" not in answer.json
    after = stored(connector)
    assert after.pop(key)[0] == "new 'é😀'"
    del before[key]
    assert after == before


def test_another_platform_s_integration_is_none(twitch, discord, connector, keys):
    before = stored(connector)
    for client, others in ((twitch, ("discord", "youtube")), (discord, ("twitch", "youtube"))):
        for key in (key for platform in others for key in keys[platform].values()):
            problem(client.get(f"/integrations/{key}"), 404)
            problem(client.put(f"/integrations/{key}/token", json={"token": "mine"}), 404)
    assert stored(connector) == before


@pytest.mark.parametrize(
    "body", [{}, {"token": ""}, {"token": "x" * 513}, {"token": 1}, {"token": "x", "id": 1}]
)
def test_a_token_that_is_none_is_refused(twitch, keys, body):
    problem(twitch.put(f"/integrations/{keys['twitch']['twitch two']}/token", json=body), 400)


def test_the_triggers_are_ready(twitch, discord):
    for client in (twitch, discord):
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json["ready"]) == (200, True), answer.json
