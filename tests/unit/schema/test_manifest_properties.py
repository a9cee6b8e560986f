"""Manifests drawn at random: what comes out is what their rules say, taken one by one, and nothing more."""

import re

import yaml
from hypothesis import given
from hypothesis import strategies as st

from ringfence.schema.documents import Document
from ringfence.schema.manifest.resolution import resolve_accounts
from support.random_manifests import COLUMNS, SENSITIVE, TABLES, cells_of, manifests


def resolved(manifest):
    document = Document("access.yaml", yaml.safe_dump(manifest, sort_keys=False))
    accounts = resolve_accounts(document, TABLES, ("postgresql", "sqlite"))
    assert document.mistakes == []
    return {account.service: account for account in accounts}


@given(manifests())
def test_an_account_gets_the_sum_of_its_rules_and_nothing_more(manifest):
    for service, account in resolved(manifest).items():
        cells = {
            (grant.key, grant.verb, column)
            for grant in account.grants
            for column in ((None,) if grant.verb == "delete" else grant.columns or COLUMNS)
        }
        assert cells == cells_of(manifest, service)


@given(manifests())
def test_a_table_with_a_sensitive_column_is_never_given_whole(manifest):
    for account in resolved(manifest).values():
        for grant in account.grants:
            if SENSITIVE[grant.key] and grant.verb != "delete":
                assert grant.columns is not None


@given(manifests(), st.data())
def test_a_guard_is_violated_exactly_when_a_grant_gives_what_it_forbids(manifest, data):
    services = sorted(manifest["accounts"])
    table = data.draw(st.sampled_from(sorted(TABLES)))
    column = data.draw(st.none() | st.sampled_from(COLUMNS))
    verbs = ["select", "insert", "update"] + ([] if column else ["delete"])
    only = data.draw(
        st.dictionaries(st.sampled_from(verbs), st.lists(st.sampled_from(services), unique=True), min_size=1)
    )
    never = data.draw(st.lists(st.sampled_from(verbs), unique=True, min_size=1))
    key = f"{table}.{column}" if column else table
    guarded = manifest | {"guards": {key: {"only": only, "never": never}}}
    document = Document("access.yaml", yaml.safe_dump(guarded, sort_keys=False))
    resolve_accounts(document, TABLES, ("postgresql", "sqlite"))
    violated = {
        (service, verb)
        for service in services
        for on, verb, which in cells_of(manifest, service)
        if on == table
        and (column is None or which == column)
        and (verb in never or service not in only.get(verb, services))
    }
    found = (re.search(r"'(.+)' gets (\w+) on '(.+)', and the guard", str(m)) for m in document.mistakes)
    assert {match.groups() for match in found} == {(*pair, key) for pair in violated}


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


@given(anything)
def test_whatever_is_written_is_answered_with_mistakes_and_not_with_a_crash(value):
    document = Document("access.yaml", yaml.safe_dump(value))
    resolve_accounts(document, TABLES, ("postgresql",))
    assert all(mistake.line for mistake in document.mistakes)


@given(st.text(max_size=60))
def test_whatever_text_is_answered_with_mistakes_and_not_with_a_crash(text):
    document = Document("access.yaml", text)
    resolve_accounts(document, TABLES, ("postgresql",))
    assert document.mistakes
