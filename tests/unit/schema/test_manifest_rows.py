"""`rows:` and `scopes:`: what they mean for each verb, how they add up, and what is wrong with them."""

import json
from pathlib import Path

import jsonschema
import pytest
import sqlalchemy as sa
import yaml

from ringfence.schema.documents import Document
from ringfence.schema.manifest import model as faces
from ringfence.schema.manifest.model import Condition
from ringfence.schema.manifest.resolution import resolve
from ringfence.schema.models.types import ENGINES

SCHEMA = json.loads((Path(faces.__file__).parent / "access.schema.json").read_text())

metadata = sa.MetaData()
sa.Table(
    "tokens",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("platform", sa.String(9), nullable=False),
    sa.Column("state", sa.Enum("new", "old", name="state")),
    sa.Column("owner", sa.String(40)),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("day", sa.Date),
    sa.Column("tenant", sa.Integer),
    sa.Column("key", sa.Uuid),
    sa.Column("token", sa.String(99), info={"sensitive": True}),
    sa.Column("notes", sa.JSON),
    sa.Column("at", sa.DateTime(timezone=True)),
)
TABLES = dict(metadata.tables)
TWITCH = (Condition("platform", "equals", "twitch"),)
DISCORD = (Condition("platform", "equals", "discord"),)


def read(text):
    document = Document("access.yaml", text)
    accounts, policy = resolve(document, TABLES, ENGINES)
    return accounts, policy, [str(m) for m in sorted(document.mistakes, key=lambda m: m.line)]


def whole(entry, head=""):
    return f"version: 1\naccounts:\n  a:\n    login: a-rw\n    tables:\n      tokens: {entry}\n{head}"


def grants(entry, head=""):
    text = whole(entry, head)
    accounts, _, mistakes = read(text)
    assert mistakes == []
    jsonschema.validate(yaml.safe_load(text), SCHEMA)
    return {grant.verb: grant for grant in accounts[0].grants}


def mistakes(entry, head=""):
    return read(whole(entry, head))[2]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("platform: twitch", [Condition("platform", "equals", "twitch")]),
        ("platform: [twitch, discord]", [Condition("platform", "in", ("twitch", "discord"))]),
        ("platform: [twitch]", [Condition("platform", "equals", "twitch")]),
        ("owner: null", [Condition("owner", "null")]),
        ("owner: '@login'", [Condition("owner", "equals", "a-rw")]),
        ("owner: '@@login'", [Condition("owner", "equals", "@login")]),
        ("owner: ':owner'", [Condition("owner", "bound", "owner")]),
        ("owner: '::owner'", [Condition("owner", "equals", ":owner")]),
        ("active: true", [Condition("active", "equals", True)]),
        ("tenant: 7", [Condition("tenant", "equals", 7)]),
        ("day: '2026-11-21'", [Condition("day", "equals", "2026-11-21")]),
        ("state: new", [Condition("state", "equals", "new")]),
        (
            "key: 0b9b1bd0-0000-4000-8000-000000000001",
            [Condition("key", "equals", "0b9b1bd0-0000-4000-8000-000000000001")],
        ),
        (
            "tenant: 7, platform: twitch",
            [Condition("platform", "equals", "twitch"), Condition("tenant", "equals", 7)],
        ),
    ],
)
def test_rows_are_conditions_in_the_order_of_the_columns(rows, expected):
    assert grants(f"{{verbs: ro, rows: {{{rows}}}}}")["select"].scope == (tuple(expected),)


def test_a_write_reaches_what_is_in_its_own_rows_and_in_those_of_select():
    given = grants(
        "{select: {columns: all, rows: {platform: [twitch, discord]}}, update: {rows: {active: true}}}"
    )
    assert given["select"].scope == ((Condition("platform", "in", ("twitch", "discord")),),)
    assert given["update"].declared_scope == ((Condition("active", "equals", True),),)
    assert given["update"].scope == (
        (Condition("platform", "in", ("twitch", "discord")), Condition("active", "equals", True)),
    )
    # What is in the condition of the account's rows is not for it to change; nor is what is sensitive and not named.
    assert given["update"].columns == ("id", "state", "owner", "day", "tenant", "key", "notes", "at")


def test_an_unscoped_delete_of_an_account_that_sees_some_rows_deletes_those():
    given = grants("{select: {rows: {platform: twitch}}, delete: all}")
    assert given["delete"].scope == (TWITCH,)
    assert given["delete"].declared_scope is None


def test_the_same_columns_in_two_rules_reach_the_rows_of_both():
    given = grants("[{verbs: ro, rows: {platform: twitch}}, {verbs: ro, rows: {platform: discord}}]")
    assert given["select"].scope == (TWITCH, DISCORD)


def test_the_same_rows_in_two_rules_show_the_columns_of_both():
    given = grants(
        "[{select: [id], rows: {platform: twitch}}, {select: [platform], rows: {platform: twitch}},"
        " {select: [id, platform], rows: {platform: discord}}]"
    )
    assert given["select"].columns == ("id", "platform")
    assert given["select"].scope == (TWITCH, DISCORD)


def test_one_rules_columns_are_never_given_with_anothers_rows():
    entry = "[{select: [id]}, {select: [id, token], rows: {platform: twitch}}]"
    assert "different columns for different rows" in mistakes(entry)[0]
    given = grants(entry[:-2] + ", widen: true}]")
    assert given["select"].scope is None
    assert given["select"].columns == ("id", "token")


def test_a_rule_that_swallows_anothers_rows_must_say_so():
    entry = "[{verbs: ro}, {verbs: ro, rows: {platform: twitch}}]"
    assert "include each other" in mistakes(entry)[0]
    assert grants(entry.replace("[{verbs: ro}", "[{verbs: ro, widen: true}"))["select"].scope is None
    assert (
        "include each other"
        in mistakes(
            "[{verbs: ro, rows: {platform: twitch}}, {verbs: ro, rows: {platform: twitch, active: true}}]"
        )[0]
    )


def test_groups_add_up_like_the_accounts_own_rules_and_login_is_each_ones_own():
    accounts, _, found = read(
        "version: 1\ndefaults: {login: 'svc-{service}'}\naccounts:\n  a: {groups: [own]}\n  b: {groups: [own]}\n"
        "groups: {own: {tables: {tokens: {verbs: ro, rows: {owner: '@login'}}}}}\n"
    )
    assert found == []
    assert [a.grants[0].scope for a in accounts] == [
        ((Condition("owner", "equals", "svc-a"),),),
        ((Condition("owner", "equals", "svc-b"),),),
    ]


def test_a_bound_name_is_declared_or_takes_after_its_column():
    text = whole("{verbs: ro, rows: {tenant: ':tenant'}}")
    accounts, policy, _ = read(text)
    assert accounts[0].bound == {"tenant"}
    name = policy.scopes["tenant"]
    assert (name.type, name.setting, name.unset) == ("integer", "ringfence.tenant", "none")
    head = "scopes: {tenant: {type: bigint, setting: app.tenant_id, unset: error}}\n"
    accounts, policy, found = read(text + head)
    assert found == []
    name = policy.scopes["tenant"]
    assert (name.type, name.setting, name.unset) == ("bigint", "app.tenant_id", "error")
    jsonschema.validate(yaml.safe_load(text + head), SCHEMA)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{verbs: ro, rows: {platfrom: x}}", "'tokens' has no column 'platfrom'; did you mean 'platform'?"),
        ("{verbs: ro, rows: {platform: 5}}", "platform cannot be 5: put it in quotes"),
        ("{verbs: ro, rows: {platform: longer-than-nine}}", "the text is longer than 9 characters"),
        ("{verbs: ro, rows: {state: never}}", "state cannot be 'never': the value is none of new, old"),
        ("{verbs: ro, rows: {active: 1}}", "active cannot be 1: true or false is needed"),
        ("{verbs: ro, rows: {tenant: '7'}}", "tenant cannot be '7': a whole number is needed"),
        ("{verbs: ro, rows: {tenant: 99999999999}}", "the number is not between"),
        ("{verbs: ro, rows: {platform: null}}", "platform is never NULL"),
        ("{verbs: ro, rows: {notes: x}}", "notes is of type json, which cannot be used in rows"),
        ("{verbs: ro, rows: {platform: [a, ':b']}}", "a list in rows of 'tokens' holds constants only"),
        ("{verbs: ro, rows: {platform: []}}", "the list is empty, and no row would match"),
        ("{verbs: ro, rows: {platform: ':No'}}", "':No' is not a reference to a scope"),
        ("{verbs: ro, rows: {}}", "rows of 'tokens' names no column"),
        ("{verbs: ro, rows: x}", "rows of 'tokens' must be `key: value` pairs"),
        ("{verbs: ro, widen: perhaps}", "widen of 'tokens' must be true or false"),
        ("{select: {rows: {tenant: 1}}, rows: {tenant: 1}}", "rows of 'tokens' are under select too"),
        (
            "{select: {rows: {tenant: 1}}, update: {columns: [owner], rows: {tenant: 2}}}",
            "'a': update on 'tokens' reaches no row",
        ),
        (
            "{select: {rows: {tenant: 1}}, update: {columns: [owner], rows: {tenant: ':t'}}}",
            "cannot both be satisfied",
        ),
        (
            "{select: all, update: [platform], rows: {platform: twitch}}",
            "'platform' of 'tokens' is in the condition of the account's rows",
        ),
        ("{verbs: ro, rows: {at: ':now'}}", "at is of type datetime, which no session can bind"),
        ("{select: all, rows: {tenant: ':x', owner: ':x'}}", "is of type string, and 'x' of type integer"),
    ],
)
def test_a_mistake_has_its_line_and_a_resolution(entry, expected):
    found = mistakes(entry)
    assert any(text.startswith("access.yaml:6: ") and expected in text for text in found), found


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        ("{t: {setting: app.t}}", "the scope 't' has no `type:`"),
        ("{t: {type: integr}}", "'integr' is not a type that a session can bind; did you mean 'integer'?"),
        ("{t: {type: enum}}", "'enum' is not a type that a session can bind"),
        ("{t: {type: integer, setting: tenant}}", "'tenant' is not a setting"),
        ("{t: {type: integer, unset: maybe}}", "'maybe' is not a value of `unset:`"),
        ("{T: {type: integer}}", "'T' is not a name of a scope"),
        (
            "{t: {type: integer, setting: a.b}, u: {type: integer, setting: a.b}}",
            "'u' and 't' share the setting 'a.b'",
        ),
        ("{other: {type: integer}}", "`scopes:` declares no 't'"),
    ],
)
def test_a_wrong_declaration_is_reported(scopes, expected):
    found = mistakes("{select: all, rows: {tenant: ':t'}}", f"scopes: {scopes}\n")
    assert any(expected in text for text in found), found
