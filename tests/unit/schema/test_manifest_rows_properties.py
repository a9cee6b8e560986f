"""Manifests with rows drawn at random: no cell is given that no single rule gives."""

import sqlalchemy as sa
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.runtime.mirror import VERBS
from ringfence.schema.documents import Document
from ringfence.schema.manifest.resolution import resolve_accounts

COLUMNS = ("id", "kind", "owner", "pin")
VALUES = (1, 2, None)
TABLES = {
    "things": sa.Table(
        "things",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Integer),
        sa.Column("owner", sa.Integer),
        sa.Column("pin", sa.Integer, info={"sensitive": True}),
    )
}
ROWS = [(kind, owner) for kind in VALUES for owner in VALUES]

constants = st.sampled_from(VALUES) | st.lists(st.sampled_from([1, 2]), min_size=1, unique=True)
rows = st.dictionaries(st.sampled_from(["kind", "owner"]), constants, min_size=1)
verbs = st.lists(st.sampled_from(VERBS), min_size=1, unique=True)
columns = st.just("all") | st.lists(st.sampled_from(COLUMNS), min_size=1, unique=True)


@st.composite
def rules(draw):
    rule = {verb: "all" if verb == "delete" else draw(columns) for verb in draw(verbs)}
    if draw(st.booleans()):
        rule["rows"] = draw(rows)
    return rule


@st.composite
def manifests(draw):
    return draw(st.lists(rules(), min_size=1, max_size=4))


def accepts(conditions, row):
    given_row = dict(zip(("kind", "owner"), row, strict=True))
    return all(
        given_row[column] in (wanted_ if isinstance(wanted_, list) else [wanted_])
        for column, wanted_ in conditions.items()
    )


def holds(scope, row):
    given_row = dict(zip(("kind", "owner"), row, strict=True))

    def matches(condition):
        value = given_row[condition.column]
        return value in {"equals": [condition.value], "in": condition.value, "null": [None]}[condition.kind]

    return scope is None or any(all(map(matches, part)) for part in scope)


def cells(rule):
    """(verb, column, row) for all that one rule gives, read in the plainest way."""
    return {
        (verb, column, row)
        for verb in VERBS
        if verb in rule
        for column in (COLUMNS[:-1] if rule[verb] == "all" else rule[verb])
        for row in ROWS
        if accepts(rule.get("rows", {}), row)
    }


def account_of(given_rules):
    manifest = {"version": 1, "accounts": {"a": {"tables": {"things": given_rules}}}}
    document = Document("access.yaml", yaml.safe_dump(manifest, sort_keys=False))
    accounts = resolve_accounts(document, TABLES, ("postgresql", "sqlite"))
    return None if document.mistakes else accounts[0]


def given_cells(account, scope_of):
    return {
        (grant.verb, column, row)
        for grant in account.grants
        for column in (COLUMNS[:-1] if grant.columns is None else grant.columns)
        for row in ROWS
        if holds(scope_of(grant), row)
    }


@settings(max_examples=300)
@given(manifests())
def test_no_cell_is_given_that_no_rule_gives(given_rules):
    account = account_of(given_rules)
    if account is None:
        return
    allowed = set().union(*map(cells, given_rules))
    assert given_cells(account, lambda grant: grant.scope) <= allowed
    # What a rule says is given, but for the columns that say which rows are the account's.
    lacking = allowed - given_cells(account, lambda grant: grant.declared_scope)
    assert all(verb == "update" and column in ("kind", "owner") for verb, column, _ in lacking)


@settings(max_examples=300)
@given(manifests())
def test_a_write_reaches_no_row_that_select_hides(given_rules):
    account = account_of(given_rules)
    grants = {grant.verb: grant for grant in account.grants} if account else {}
    for verb, grant in grants.items():
        if verb != "select" and "select" in grants:
            assert {row for row in ROWS if holds(grant.scope, row)} <= {
                row for row in ROWS if holds(grants["select"].scope, row)
            }


@settings(max_examples=200)
@given(manifests())
def test_widened_rules_give_every_column_of_all_in_every_row_of_all(given_rules):
    account = account_of([{**given_rules[0], "widen": True}, *given_rules[1:]])
    if account is None:
        return
    allowed = set().union(*map(cells, given_rules))
    for grant in account.grants:
        mine = {cell for cell in allowed if cell[0] == grant.verb}
        assert {
            cell for cell in given_cells(account, lambda g: g.declared_scope) if cell[0] == grant.verb
        } <= {(grant.verb, column, row) for _, column, _ in mine for *_, row in mine}
