"""Manifests drawn at random: what comes out is what their rules say, taken one by one, and nothing more."""

import sqlalchemy as sa
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.runtime.mirror import VERBS
from ringfence.schema.access.document import Document
from ringfence.schema.access.wanted import wanted

COLUMNS = ("id", "name", "secret", "pin")
TABLES = {
    name: sa.Table(
        name,
        sa.MetaData(),
        *(
            sa.Column(c, sa.String(9), primary_key=c == "id", info={"sensitive": c in sensitive})
            for c in COLUMNS
        ),
    )
    for name, sensitive in {"open": (), "half": ("secret",), "shut": ("secret", "pin")}.items()
}
SENSITIVE = {
    name: {str(c.name) for c in table.columns if c.info["sensitive"]} for name, table in TABLES.items()
}

columns = st.lists(st.sampled_from(COLUMNS), min_size=1, unique=True)
shorthand = st.sampled_from(("ro", "rw", *VERBS))
words = shorthand | st.lists(shorthand, min_size=1, unique=True)


@st.composite
def per_verb(draw):
    verbs = draw(st.lists(st.sampled_from(VERBS), min_size=1, unique=True))
    return {verb: "all" if verb == "delete" else draw(st.just("all") | columns) for verb in verbs}


@st.composite
def entries(draw, table):
    entry = draw(words | per_verb() | words.map(lambda w: {"verbs": w}))
    takes = isinstance(entry, dict) and any(
        cells == "all" and v != "delete" for v, cells in expand(entry, ()).items()
    )
    if takes and SENSITIVE[table] and draw(st.booleans()):
        also = st.lists(st.sampled_from(sorted(SENSITIVE[table])), min_size=1, unique=True)
        entry = {**entry, "also": draw(also)}
    return entry


@st.composite
def rules(draw):
    chosen = draw(st.lists(st.sampled_from(sorted(TABLES)), min_size=1, unique=True))
    return {table: draw(entries(table)) for table in chosen}


@st.composite
def manifests(draw):
    groups = {name: {"tables": draw(rules())} for name in draw(st.sets(st.sampled_from(["g", "h"])))}
    accounts = {}
    for name in ("a", "b"):
        account = {"tables": draw(rules())}
        if groups:
            account["groups"] = draw(st.lists(st.sampled_from(sorted(groups)), unique=True))
        accounts[name] = account
    return {"version": 1, "accounts": accounts, "groups": groups}


def expand(entry, sensitive):
    """Verb -> `all` or columns, written apart from the program: the plainest reading of one entry."""
    if not isinstance(entry, dict):
        entry = {"verbs": entry}
    names = entry.get("verbs", [])
    given = {}
    for word in [names] if isinstance(names, str) else names:
        for verb in {"ro": ["select"], "rw": VERBS}.get(word, [word]):
            given[verb] = "all"
    given |= {verb: cells for verb, cells in entry.items() if verb in VERBS}
    return given


def cells_of(manifest, service):
    """Every (table, verb, column) that some rule gives."""
    account = manifest["accounts"][service]
    bodies = [account["tables"], *(manifest["groups"][name]["tables"] for name in account.get("groups", []))]
    cells = set()
    for body in bodies:
        for table, entry in body.items():
            also = set(entry.get("also", ())) if isinstance(entry, dict) else set()
            for verb, chosen in expand(entry, SENSITIVE[table]).items():
                if verb == "delete":
                    cells.add((table, verb, None))
                elif chosen == "all":
                    cells |= {(table, verb, c) for c in set(COLUMNS) - SENSITIVE[table] | also}
                else:
                    cells |= {(table, verb, c) for c in chosen}
    return cells


def resolved(manifest):
    document = Document("access.yaml", yaml.safe_dump(manifest, sort_keys=False))
    accounts = wanted(document, TABLES, ("postgresql", "sqlite"))
    assert document.mistakes == []
    return {account.service: account for account in accounts}


@settings(deadline=None)  # a busy machine is no failure
@given(manifests())
def test_an_account_gets_the_sum_of_its_rules_and_nothing_more(manifest):
    for service, account in resolved(manifest).items():
        cells = {
            (grant.key, grant.verb, column)
            for grant in account.grants
            for column in ((None,) if grant.verb == "delete" else grant.columns or COLUMNS)
        }
        assert cells == cells_of(manifest, service)


@settings(deadline=None)  # a busy machine is no failure
@given(manifests())
def test_a_table_with_a_sensitive_column_is_never_given_whole(manifest):
    for account in resolved(manifest).values():
        for grant in account.grants:
            if SENSITIVE[grant.key] and grant.verb != "delete":
                assert grant.columns is not None


@settings(deadline=None)  # a busy machine is no failure
@given(manifests())
def test_there_is_one_grant_for_a_verb_on_a_table_with_columns_in_the_models_order(manifest):
    for account in resolved(manifest).values():
        keys = [(grant.key, grant.verb) for grant in account.grants]
        assert len(keys) == len(set(keys))
        for grant in account.grants:
            if grant.columns is not None:
                assert list(grant.columns) == [c for c in COLUMNS if c in grant.columns]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["all", "ro", "open", "$s", "{service}", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "version",
                    "accounts",
                    "groups",
                    "guards",
                    "sets",
                    "tables",
                    "open",
                    "select",
                    "also",
                    "rows",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(deadline=None)  # a busy machine is no failure
@given(anything)
def test_whatever_is_written_is_answered_with_mistakes_and_not_with_a_crash(value):
    document = Document("access.yaml", yaml.safe_dump(value))
    wanted(document, TABLES, ("postgresql",))
    assert all(mistake.line for mistake in document.mistakes)


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(max_size=60))
def test_whatever_text_is_answered_with_mistakes_and_not_with_a_crash(text):
    document = Document("access.yaml", text)
    wanted(document, TABLES, ("postgresql",))
    assert document.mistakes
