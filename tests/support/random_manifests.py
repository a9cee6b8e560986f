"""Manifests drawn at random, and what they give by the plainest reading."""

import sqlalchemy as sa
from hypothesis import strategies as st

from ringfence.runtime.mirror import VERBS

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


@st.composite
def with_rows(draw):
    """One of these, with a scope on some of the entries of accounts: fixed, or bound by the session."""
    manifest = draw(manifests())
    scopes = st.sampled_from([None, {"name": "x"}, {"name": ["x", "y"]}, {"name": ":who"}])
    for account in manifest["accounts"].values():
        for table, entry in account["tables"].items():
            if rows := draw(scopes):
                account["tables"][table] = (entry if isinstance(entry, dict) else {"verbs": entry}) | {
                    "rows": rows
                }
    return manifest
