"""Guards of the manifest: what they are about, and which line violates them."""

import json
from pathlib import Path

import jsonschema
import sqlalchemy as sa
import yaml

from ringfence.schema.documents import Document
from ringfence.schema.manifest import model as faces
from ringfence.schema.manifest.resolution import resolve_accounts
from ringfence.schema.models.types import ENGINES

SCHEMA = json.loads((Path(faces.__file__).parent / "access.schema.json").read_text())

metadata = sa.MetaData()
sa.Table(
    "auth_user",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("password", sa.String(255), info={"sensitive": True}),
    sa.Column("active", sa.Boolean),
)
for name in ("sessions", "events"):
    sa.Table(name, metadata, sa.Column("id", sa.Integer, primary_key=True))
TABLES = dict(metadata.tables)


def mistakes_of(text):
    document = Document("access.yaml", text)
    resolve_accounts(document, TABLES, ENGINES)
    return [str(mistake) for mistake in sorted(document.mistakes, key=lambda m: m.line)]


def test_guards_are_held_against_the_final_result():
    found = mistakes_of(
        "version: 1\naccounts:\n"
        "  a: {groups: [writing]}\n"
        "  b: {tables: {sessions: ro}}\n"
        "groups:\n"
        "  writing: {tables: {events: rw, sessions: ro}}\n"
        "guards:\n"
        "  events: {never: [update, delete]}\n"
        "  sessions: {only: [b, nobody]}\n"
    )
    assert found == [
        "access.yaml:6: 'a' gets update on 'events', and the guard in line 8 says never update",
        "access.yaml:6: 'a' gets delete on 'events', and the guard in line 8 says never delete",
        "access.yaml:6: 'a' gets select on 'sessions', and the guard in line 9 says only b, nobody",
        "access.yaml:9: there is no account 'nobody'; known are a, b",
    ]


def test_guards_are_about_sets_columns_and_verbs_too():
    found = mistakes_of(
        "version: 1\n"
        "sets: {secrets: [sessions]}\n"
        "accounts:\n"
        "  a: {tables: {sessions: rw}}\n"
        "  b:\n"
        "    tables:\n"
        "      auth_user: {select: [id, password], update: [active]}\n"
        "  c: {tables: {auth_user: {verbs: rw, also: [password]}}}\n"
        "guards:\n"
        "  $secrets: {only: {ro: [b], delete: [a]}}\n"
        "  auth_user.password: {only: [c]}\n"
        "  auth_user: {columns: [active], never: [update]}\n"
    )
    assert found == [
        "access.yaml:4: 'a' gets select on 'sessions', and the guard in line 10 says only b",
        "access.yaml:7: 'b' gets select on 'auth_user.password', and the guard in line 11 says only c",
        "access.yaml:7: 'b' gets update on 'auth_user.active', and the guard in line 12 says never update",
        "access.yaml:8: 'c' gets update on 'auth_user.active', and the guard in line 12 says never update",
    ]


def test_guards_that_name_nothing_say_what_is_near():
    found = mistakes_of(
        "version: 1\n"
        "sets: {secrets: [sessions]}\n"
        "accounts:\n"
        "  a: {tables: {events: ro}}\n"
        "guards:\n"
        "  $secret: {only: [a]}\n"
        "  auth_user.pasword: {only: [a]}\n"
        "  auth_usr.password: {only: [a]}\n"
        "  events: {only: {write: [a]}}\n"
        "  sessions: {only: {select: [b], ro: [a]}}\n"
        "  auth_user.active: {never: rw}\n"
        "  auth_user.id: {columns: [id], never: [update]}\n"
        "  $secrets: {columns: [id], never: [update]}\n"
        "  auth_user: {columns: [idd], never: [update]}\n"
    )
    assert [line.partition("; known")[0] for line in found] == [
        "access.yaml:6: there is no set '$secret'; did you mean '$secrets'?",
        "access.yaml:7: the table 'auth_user' has no column 'pasword'; did you mean 'password'?",
        "access.yaml:8: there is no table 'auth_usr.password' in the models; did you mean 'auth_user'?",
        "access.yaml:9: 'write' is not a verb",
        "access.yaml:10: `only:` names twice who may select",
        "access.yaml:10: there is no account 'b'",
        "access.yaml:11: delete takes whole rows: guard the table, not a column of it",
        "access.yaml:12: 'auth_user.id' is a column already: `columns:` belongs at a table",
        "access.yaml:13: '$secrets' is a set of tables: name a table with `columns:`",
        "access.yaml:14: the table 'auth_user' has no column 'idd'; did you mean 'id'?",
    ]


def test_a_name_that_is_a_table_and_a_column_is_asked_about():
    metadata = sa.MetaData()
    tables = {
        "a": sa.Table("a", metadata, sa.Column("b", sa.Integer, primary_key=True)),
        "a.b": sa.Table("b", metadata, sa.Column("x", sa.Integer, primary_key=True), schema="a"),
    }
    text = "version: 1\nsets: {it: [a.b]}\naccounts: {s: {tables: {a: ro, a.b: ro}}}\nguards:\n  a.b: {never: [select]}\n"
    document = Document("access.yaml", text)
    resolve_accounts(document, tables, ("postgresql",))
    assert [str(mistake) for mistake in document.mistakes] == [
        "access.yaml:5: 'a.b' is the table a.b and the column b of a: write a column as `table: {columns: [column], …}`,"
        " and a table in a `$set`"
    ]
    document = Document(
        "access.yaml", text.replace("a.b: {never", "$it: {never") + "  a: {columns: [b], never: [select]}\n"
    )
    resolve_accounts(document, tables, ("postgresql",))
    assert [str(mistake) for mistake in document.mistakes] == [
        "access.yaml:3: 's' gets select on 'a.b', and the guard in line 5 says never select",
        "access.yaml:3: 's' gets select on 'a.b', and the guard in line 6 says never select",
    ]


def test_each_form_of_a_guard_follows_the_published_schema():
    text = """
        version: 1
        sets: {secrets: [sessions]}
        accounts: {a: {tables: {sessions: rw}}}
        guards:
          $secrets: {only: {ro: [a], delete: [a]}}
          auth_user.password: {only: [a], never: ro}
          auth_user: {columns: [active], never: [update]}
    """
    jsonschema.validate(yaml.safe_load(text), SCHEMA)
    assert mistakes_of(text) == []
