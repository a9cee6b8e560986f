"""The parser's checks and the JSON Schema are made from one declaration, and agree on what they accept."""

from functools import singledispatch
from pathlib import Path

import jsonschema
import yaml
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from ringfence.schema.documents import Document
from ringfence.schema.manifest import grammar, shapes
from ringfence.schema.manifest.grammar import MANIFEST, json_schema, json_schema_text
from ringfence.schema.manifest.parsing import parse_manifest

VALIDATOR = jsonschema.Draft202012Validator(json_schema())
PRINTABLE = st.characters(min_codepoint=32, max_codepoint=126)
NAMES = st.sampled_from(["a", "b-c", "tenant", "billing.invoices", "$secrets"])
CONSTANTS = st.sampled_from(["twitch", "", ":t", "::t", "@@x", "a:b", 7, -1, 0.5, True, None, "@login"])
JUNK = st.sampled_from(
    [
        "all",
        "x y",
        "",
        "ro",
        ":No",
        "@login",
        7,
        0,
        -1,
        True,
        None,
        [],
        {},
        ["a", "a"],
        [None],
        [[]],
        {"a": "b"},
    ]
)
JUNK_KEYS = st.sampled_from(["all", "except", "A b", "", "rows", "widen", "only", "Tenant", "9"])


def values_of(shape):
    """Values that a shape accepts, or from time to time junk."""
    return st.integers(0, 19).flatmap(lambda chance: JUNK if chance == 0 else accepted(shape))


@singledispatch
def accepted(shape):
    """Values that a shape accepts, whose parts are replaced by junk from time to time."""
    raise TypeError(shape)


@accepted.register
def _(shape: shapes.Definition):
    return accepted(shape.shape)


@accepted.register
def _(shape: shapes.Word):
    if shape.choices:
        return st.sampled_from(shape.choices)
    return st.from_regex(shape.pattern, fullmatch=True, alphabet=PRINTABLE) if shape.pattern else NAMES


@accepted.register
def _(shape: shapes.Words):
    return st.lists(values_of(shape.item), max_size=3, unique_by=repr)


@accepted.register
def _(shape: shapes.OneOrMoreWords):
    return accepted(shape.words.item) | accepted(shape.words)


@accepted.register
def _(shape: shapes.WholeNumber):
    return st.integers(0, 9)


@accepted.register
def _(shape: shapes.Version):
    return st.just(shape.number)


@accepted.register
def _(shape: shapes.Boolean):
    return st.booleans()


@accepted.register
def _(shape: shapes.Entries):
    return st.dictionaries(_keys(shape.key), values_of(shape.value), max_size=2)


@accepted.register
def _(shape: shapes.MappingOr):
    return accepted(shape.mapping) | accepted(shape.other)


@accepted.register
def _(shape: shapes.Object):
    required = {r.keys[0].name: values_of(r.keys[0].shape) for r in shape.requirements if len(r.keys) == 1}
    optional = {key.name: values_of(key.shape) for key in shape.keys if key.name not in required}
    known = st.fixed_dictionaries(required, optional=optional)
    junk = st.integers(0, 39).flatmap(
        lambda chance: st.dictionaries(JUNK_KEYS, JUNK, max_size=1) if chance == 0 else st.just({})
    )
    return st.builds(lambda one, other: other | one, known, junk)


@accepted.register
def _(shape: grammar.Columns):
    return st.just("all") | st.lists(values_of(shapes.Word()), max_size=3, unique_by=repr)


@accepted.register
def _(shape: grammar.Rows):
    return st.dictionaries(NAMES, CONSTANTS | st.lists(CONSTANTS, max_size=2) | JUNK, max_size=2)


@accepted.register
def _(shape: grammar.ServicesByVerb):
    by_verb = st.dictionaries(_keys(grammar.VERB), values_of(shapes.Words()), max_size=2)
    return accepted(shapes.Words()) | by_verb


@accepted.register
def _(shape: grammar.Tables):
    rule = values_of(shapes.MappingOr(grammar.RULE, grammar.VERB_LIST))
    entries = st.dictionaries(NAMES | st.just("all"), rule | st.lists(rule, max_size=2), max_size=2)
    excepted = st.fixed_dictionaries({}, optional={"except": values_of(shapes.Words())})
    return st.builds(lambda one, other: one | other, entries, excepted)


def _keys(word):
    return st.integers(0, 19).flatmap(lambda chance: JUNK_KEYS if chance == 0 else accepted(word))


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(values_of(MANIFEST))
def test_the_schema_accepts_exactly_what_the_grammar_of_the_parser_accepts(manifest):
    document = Document("access.yaml", yaml.safe_dump(manifest, sort_keys=False))
    MANIFEST.read(document.root, "the manifest", 1)
    event(f"accepted: {not document.mistakes}")
    errors = [error.message for error in VALIDATOR.iter_errors(manifest)]
    assert bool(errors) is bool(document.mistakes), (errors, [str(mistake) for mistake in document.mistakes])


def test_the_schema_file_is_the_one_that_the_grammar_makes():
    file = Path(grammar.__file__).parent / "access.schema.json"
    assert file.read_text() == json_schema_text(), f"run: ringfence access schema > {file}"


def test_the_schema_is_a_valid_schema():
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_the_rules_of_views_begin_where_those_of_tables_do():
    entries = "one:\n        select: all\n      two: [select]\n      three: {verbs: ro}\n      four:\n        - select\n"
    text = f"version: 1\naccounts:\n  a:\n    tables:\n      {entries}    views:\n      {entries}"
    (account,) = parse_manifest(Document("access.yaml", text)).accounts
    lines = {
        view: [rule.line for rule in account.tables.rules if rule.view is view] for view in (False, True)
    }
    assert lines == {False: [6, 7, 8, 10], True: [13, 14, 15, 17]}


def test_an_account_may_have_an_empty_mapping_and_not_only_an_empty_list():
    for key, empty, accepted_by_both in (
        ("functions", [], False),
        ("groups", [], False),
        ("tables", {}, True),
        ("views", {}, True),
    ):
        manifest = {"version": 1, "accounts": {"a": {key: empty}}}
        document = Document("access.yaml", yaml.safe_dump(manifest))
        parse_manifest(document)
        assert (not document.mistakes, VALIDATOR.is_valid(manifest)) == (accepted_by_both,) * 2, key
