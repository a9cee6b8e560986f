"""The manifest: what it gives, and what is wrong with it, by file and line."""

import gc
import json
from pathlib import Path

import jsonschema
import pytest
import sqlalchemy as sa
import yaml

from ringfence.schema.documents import Document
from ringfence.schema.manifest import model as faces
from ringfence.schema.manifest.resolution import resolve_accounts
from ringfence.schema.models.types import ENGINES

SCHEMA = json.loads((Path(faces.__file__).parent / "access.schema.json").read_text())
SERVICES = Path(__file__).parents[3] / "services"

metadata = sa.MetaData()
sa.Table(
    "auth_user",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("email", sa.String(255)),
    sa.Column("password", sa.String(255), info={"sensitive": True}),
    sa.Column("active", sa.Boolean),
)
sa.Table("sessions", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("data", sa.Text))
sa.Table("events", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("kind", sa.String(9)))
sa.Table("invoices", metadata, sa.Column("id", sa.Integer, primary_key=True), schema="billing")
for name, info in (("loud", {"view": True}), ("open", {"view": True, "updatable": True})):
    columns = [sa.Column("id", sa.Integer), sa.Column("kind", sa.String(9))]
    sa.Table(name, metadata, *columns, info=info)
TABLES = dict(metadata.tables)


def read(text, engines=ENGINES):
    document = Document("access.yaml", text)
    return resolve_accounts(document, TABLES, engines), [
        str(m) for m in sorted(document.mistakes, key=lambda m: m.line)
    ]


def grants(text):
    accounts, mistakes = read(text)
    assert mistakes == []
    jsonschema.validate(yaml.safe_load(text), SCHEMA)
    return {a.service: {(g.key, g.verb): g.columns for g in a.grants} for a in accounts}


def one(entry):
    return grants(f"version: 1\naccounts:\n  a:\n    tables:\n      {entry}\n")["a"]


def mistakes_of(text):
    return read(text)[1]


def mistakes_in(entry):
    return mistakes_of(f"version: 1\naccounts:\n  a:\n    tables:\n      {entry}\n")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("sessions: ro", {("sessions", "select"): None}),
        ("sessions: select", {("sessions", "select"): None}),
        ("events: [select, insert]", {("events", "select"): None, ("events", "insert"): None}),
        ("events: [ro, insert]", {("events", "select"): None, ("events", "insert"): None}),
        ("sessions: {select: [data]}", {("sessions", "select"): ("data",)}),
        (
            "sessions: {select: all, update: [data]}",
            {("sessions", "select"): None, ("sessions", "update"): ("data",)},
        ),
        ("sessions: {verbs: ro, delete: all}", {("sessions", "select"): None, ("sessions", "delete"): None}),
        ("sessions: [{select: [id]}, {select: [data]}]", {("sessions", "select"): ("id", "data")}),
        ("sessions: [{select: [id]}, {verbs: ro}]", {("sessions", "select"): None}),
        ("billing.invoices: ro", {("billing.invoices", "select"): None}),
        ("auth_user: ro", {("auth_user", "select"): ("id", "email", "active")}),
        ("auth_user: {select: all}", {("auth_user", "select"): ("id", "email", "active")}),
        (
            "auth_user: {verbs: ro, also: [password]}",
            {("auth_user", "select"): ("id", "email", "password", "active")},
        ),
        ("auth_user: {select: [active, id]}", {("auth_user", "select"): ("id", "active")}),
        ("auth_user: {select: [password]}", {("auth_user", "select"): ("password",)}),
    ],
)
def test_an_entry_gives_these_verbs_and_columns(entry, expected):
    assert one(entry) == expected


def test_rw_is_all_four_verbs_and_delete_has_no_columns():
    given = one("auth_user: rw")
    assert {verb for _, verb in given} == {"select", "insert", "update", "delete"}
    assert given["auth_user", "delete"] is None
    assert given["auth_user", "insert"] == given["auth_user", "update"] == ("id", "email", "active")


def test_all_leaves_out_the_excepted_sets_and_the_sensitive_columns():
    given = grants(
        "version: 1\n"
        "sets: {secrets: [sessions]}\n"
        "accounts:\n"
        "  auditor:\n"
        "    tables: {all: ro, except: [$secrets, billing.invoices]}\n"
    )["auditor"]
    assert given == {("auth_user", "select"): ("id", "email", "active"), ("events", "select"): None}


def test_groups_add_up_with_what_the_account_has():
    given = grants(
        "version: 1\n"
        "accounts:\n"
        "  a: {groups: [reading], tables: {sessions: {update: [data]}}}\n"
        "  b: {groups: [reading]}\n"
        "groups:\n"
        "  reading: {tables: {sessions: ro, auth_user: {select: [id]}}}\n"
    )
    assert given["b"] == {("auth_user", "select"): ("id",), ("sessions", "select"): None}
    assert given["a"] == given["b"] | {("sessions", "update"): ("data",)}


def test_logins_come_from_the_template_or_the_account():
    accounts, mistakes = read(
        'version: 1\ndefaults: {login: "t-{service}-rw"}\naccounts:\n'
        "  a: {tables: {events: ro}}\n  b-c: {login: other, tables: {events: ro}}\n"
    )
    assert mistakes == []
    assert [(a.login, a.variable) for a in accounts] == [("t-a-rw", "A_DB_PASS"), ("other", "B_C_DB_PASS")]


def test_each_grant_knows_its_line():
    accounts, _ = read(
        "version: 1\naccounts:\n  a:\n    tables:\n      events: ro\n      sessions:\n        select: all\n"
    )
    assert [(g.table, str(g.origin)) for g in accounts[0].grants] == [
        ("sessions", "access.yaml:7"),
        ("events", "access.yaml:5"),
    ]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("event: ro", "access.yaml:5: there is no table 'event' in the models; did you mean 'events'?"),
        ("events: red", "access.yaml:5: 'red' is not a verb"),
        (
            "events: {selct: all}",
            "access.yaml:5: 'events' has no key 'selct'; did you mean 'select'?",
        ),
        (
            "auth_user: {select: [emial]}",
            "access.yaml:5: 'auth_user' has no column 'emial'; did you mean 'email'?",
        ),
        ("events: {select: []}", "access.yaml:5: select of 'events': the list is empty"),
        ("events: {select: [id, id]}", "access.yaml:5: 'id' is duplicated in select of 'events'"),
        ("events: {delete: [id]}", "access.yaml:5: delete of 'events' takes whole rows"),
        ("events: {verbs: rw, select: [id]}", "access.yaml:5: select of 'events' is under `verbs:` too"),
        ("events: {also: [id]}", "access.yaml:5: 'events' names no verb"),
        ("auth_user: {verbs: ro, also: [email]}", "access.yaml:5: 'email' of 'auth_user' is not sensitive"),
        (
            "auth_user: {delete: all, also: [password]}",
            "access.yaml:5: `also:` of 'auth_user' has no effect",
        ),
        ("events:", "access.yaml:5: 'events' must be a list, not nothing"),
        ("events: []", "access.yaml:5: 'events': the list is empty"),
        ("$secrets: ro", "access.yaml:5: '$secrets' is a set"),
        ("ringfence_release: ro", "access.yaml:5: 'ringfence_release' is one of Ringfence's own tables"),
        ("except: [events]", "access.yaml:5: `except:` takes tables out of `all:`, and there is no `all:`"),
    ],
)
def test_a_mistake_has_its_line_and_a_resolution(entry, expected):
    found = mistakes_in(entry)
    assert any(text.startswith(expected) for text in found), found


def account(lines, engines=("postgresql",)):
    return read(f"version: 1\naccounts:\n  a:\n    {lines}\n", engines)


def test_views_functions_and_a_host_are_of_the_account():
    lines = "views: {loud: {select: [kind]}, open: rw}\n    functions: [tidy(), billing.close(integer)]"
    (found,), mistakes = account(lines)
    assert mistakes == []
    assert [(g.key, g.verb, g.columns) for g in found.grants] == [
        ("loud", "select", ("kind",)),
        *(("open", verb, None) for verb in ("select", "insert", "update", "delete")),
    ]
    assert found.host == "%"
    (placed,), mistakes = account("host: DB-Client.example\n    tables: {sessions: ro}", ("mysql", "sqlite"))
    assert (placed.host, mistakes) == ("db-client.example", [])
    assert [(f.signature, f.name, f.origin.line) for f in found.functions] == [
        ("tidy()", "tidy", 5),
        ("billing.close(integer)", "billing.close", 5),
    ]
    assert grants(
        "version: 1\ngroups: {g: {views: {loud: ro}}}\naccounts: {a: {groups: [g], tables: {all: ro}}}"
    )["a"].keys() == {
        ("loud", "select"),
        *((t, "select") for t in ("auth_user", "sessions", "events", "billing.invoices")),
    }


@pytest.mark.parametrize(
    ("lines", "engines", "told"),
    [
        ("tables: {loud: ro}", ["mysql"], "'loud' is a view: name it under `views:`"),
        ("views: {events: ro}", ["mysql"], "'events' is not a view: name it under `tables:`, or mark it"),
        ("views: {all: ro}", ["mysql"], "views are named one by one"),
        (
            "views: {loud: rw}",
            ["mysql"],
            "insert, update, delete on the view 'loud': nothing is written through it",
        ),
        ("views: {open: rw}", ["mysql", "sqlite"], "on the view 'open': sqlite cannot express it"),
        ("views: {open: {verbs: ro, rows: {id: 1}}}", ["mysql"], "a view shows what its WHERE selects"),
        ("views: {nothing: ro}", ["mysql"], "there is no table 'nothing'"),
        ("functions: [tidy]", ["mysql"], "'tidy' is not a signature"),
        ("functions: ['tidy()']", ["mysql", "sqlite"], "sqlite stores no functions"),
        ("host: 10.1.%", ["mysql", "postgresql"], "postgresql cannot express it for an account"),
        ("host: 'a b'", ["mysql", "sqlite"], "'a b' is not a host of an account"),
        ("host: ''", ["mysql", "sqlite"], "'' is not a host of an account"),
    ],
)
def test_mistakes_about_views_functions_and_hosts_have_their_line(lines, engines, told):
    mistakes = account(
        f"groups: []\n    tables: {{sessions: ro}}\n    {lines}" if "tables" not in lines else lines, engines
    )[1]
    assert len(mistakes) == 1
    assert mistakes[0].startswith("access.yaml:")
    assert told in mistakes[0]


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file():
    found = mistakes_of(
        "version: 2\nacounts: {}\naccounts:\n  a: {tables: {nowhere: ro}}\n  b: {tables: {events: rwx}}\n  c: {}\n"
    )
    assert [text.split(":")[1] for text in found] == ["1", "2", "4", "5", "6"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "access.yaml:1: is empty"),
        ("- a", "access.yaml:1: the manifest must be `key: value` pairs"),
        (
            "version: 1\naccounts: {a: {tables: {events: ro}}, a: {tables: {events: rw}}}",
            "access.yaml:2: 'a' is duplicated",
        ),
        ("version: 1\naccounts:\n\tx", "access.yaml:3: is not YAML"),
        ("version: 1\n", "access.yaml:1: has no accounts"),
        ("accounts: {}\n", "access.yaml:1: has no version"),
        ("version: 1\naccounts: {a: {groups: [x]}}", "access.yaml:2: there is no group 'x'"),
        (
            "version: 1\naccounts: {a: {tables: {all: ro, except: [$x]}}}",
            "access.yaml:2: there is no set '$x'",
        ),
        ("version: 1\naccounts: {}\nsets: {x: [y]}", "access.yaml:3: there is no table 'y'"),
        ("version: 1\naccounts: {}\ngroups: {g: {tables: {y: ro}}}", "access.yaml:3: there is no table 'y'"),
        ("version: 1\naccounts: {}\ndefaults: {login: x}", "access.yaml:3: 'x' is not a template of logins"),
        (
            "version: 1\naccounts: {'a b': {tables: {events: ro}}}",
            "access.yaml:2: 'a b' is not a service's name",
        ),
    ],
)
def test_the_file_itself_may_be_wrong(text, expected):
    found = mistakes_of(text)
    assert any(line.startswith(expected) for line in found), found


def test_accounts_share_neither_login_nor_password():
    found = mistakes_of(
        "version: 1\nprotected: [postgres]\naccounts:\n"
        "  a: {login: x, tables: {events: ro}}\n"
        "  b: {login: x, tables: {events: ro}}\n"
        "  c-d: {tables: {events: ro}}\n"
        "  c_d: {tables: {events: ro}}\n"
        "  e: {login: postgres, tables: {events: ro}}\n"
        f"  f: {{login: {'x' * 33}, tables: {{events: ro}}}}\n"
    )
    assert found == [
        "access.yaml:5: 'b' has the login 'x' of 'a' (line 4)",
        "access.yaml:7: 'c_d' and 'c-d' would share C_D_DB_PASS: rename one",
        "access.yaml:8: 'e' has the login 'postgres', which is protected",
        f"access.yaml:9: the login '{'x' * 33}' is longer than the 32 characters that mysql takes",
    ]


def test_a_login_is_measured_as_each_engine_counts_it():
    """PostgreSQL counts bytes of UTF-8, MySQL and MariaDB characters."""
    text = f"version: 1\naccounts:\n  a: {{login: {'é' * 32}, tables: {{events: ro}}}}\n"
    assert read(text, ("mysql", "mariadb"))[1] == []
    assert read(text, ("mysql", "postgresql"))[1] == [
        f"access.yaml:3: the login '{'é' * 32}' is longer than the 63 bytes that postgresql takes"
    ]


def test_names_that_yaml_takes_for_truth_are_names():
    table = sa.Table(
        "on", sa.MetaData(), sa.Column("no", sa.Integer, primary_key=True), sa.Column("x", sa.Integer)
    )
    document = Document("access.yaml", "version: 1\naccounts: {yes: {tables: {on: {select: [no]}}}}\n")
    [account] = resolve_accounts(document, {"on": table}, ENGINES)
    assert document.mistakes == []
    assert (account.service, account.grants[0].columns) == ("yes", ("no",))


def test_the_reference_manifest_follows_the_published_schema():
    jsonschema.validate(yaml.safe_load((SERVICES / "access.yaml").read_text()), SCHEMA)


def test_the_schema_refuses_what_the_grammar_refuses():
    validator = jsonschema.Draft202012Validator(SCHEMA)
    wrong = [
        {"version": 2, "accounts": {}},
        {"version": 1},
        {"version": 1, "accounts": {"a": {}}},
        {"version": 1, "accounts": {"a": {"tables": {"events": "rwx"}}}},
        {"version": 1, "accounts": {"a": {"tables": {"events": {"delete": ["id"]}}}}},
        {"version": 1, "accounts": {"a": {"tables": {"events": {"also": ["id"]}}}}},
        {"version": 1, "accounts": {"a": {"tables": {"except": ["events"]}}}},
        {"version": 1, "accounts": {}, "unknown": 1},
    ]
    for document in wrong:
        assert not validator.is_valid(document), document
        assert mistakes_of(yaml.safe_dump(document, sort_keys=False)), document


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("text", ["version: 1\naccounts: {}", "accounts: [", "version: 2"])
def test_the_garbage_collector_is_left_as_it_was(enabled, text):
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        read(text)
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()
