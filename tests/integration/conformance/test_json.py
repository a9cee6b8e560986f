"""JSON is found by what it says, whoever wrote it and however its characters are written."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.runtime import JSON_NULL, Database, Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.mirror import make_mirror
from servers.base import Database as ServerDatabase
from support.pydal_sides import create

DOCUMENTS: list[Any] = [
    {"b": [1, 2.5, "ü"], "a": None},
    {
        "ü": "ä😀",
        "it's": ['"', "\\", "\n", "/", "\x1f", "\x0b", "\\u00fc", "<&>", "\\\\", "\x7f", "\\/", "\u2028"],
    },
    "ü",
    "\\u00fc",
    "\\\\u00fc",
    '"',
    "Ü",
    {"a\\": "\\"},
    {"a": {"b": [True, False, 1, 0, "1"]}},
    [],
    {},
    5,
    "5",
    True,
]


@pytest.fixture(scope="module")
def papers() -> Deployment:
    return Deployment.load(Path(__file__).parent / "papers")


@pytest.fixture
def database(
    recycled: Callable[[str, Callable[[ServerDatabase], object]], ServerDatabase], papers: Deployment
) -> ServerDatabase:
    return recycled("papers", lambda made: create(made, papers))


@pytest.fixture
def service(database: ServerDatabase, papers: Deployment) -> Iterator[Database]:
    mirror = make_mirror(papers, papers.accounts["papers"], None)
    with Database(Settings.from_env(database.env()), mirror) as found:
        yield found


def _escaped(value: Any, digits: str) -> str:
    """JSON in which every character of a text is an escape, and the keys stand the other way round."""
    if isinstance(value, str):
        units = value.encode("utf-16-be", "surrogatepass")
        pairs = (int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2))
        return '"' + "".join("\\u" + format(unit, digits) for unit in pairs) + '"'
    if isinstance(value, list):
        return "[" + " , ".join(_escaped(each, digits) for each in value) + "]"
    if isinstance(value, dict):
        pairs_ = reversed(list(value.items()))
        return "{" + ",".join(f"{_escaped(k, digits)} : {_escaped(v, digits)}" for k, v in pairs_) + "}"
    return json.dumps(value)


WRITERS: dict[str, Callable[[Any], str]] = {
    "python's json, as SQLAlchemy has it": json.dumps,
    "no escape that is not needed": lambda value: json.dumps(value, ensure_ascii=False),
    "no blanks": lambda value: json.dumps(value, separators=(",", ":")),
    "slashes": lambda value: json.dumps(value).replace("/", "\\/"),
    "every character, small": lambda value: _escaped(value, "04x"),
    "every character, large": lambda value: _escaped(value, "04X"),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_document_is_found_whichever_side_wrote_it(
    service: Database, admin: sa.Connection, writer: str
) -> None:
    write = WRITERS[writer]
    for column in ("theirs", "ours"):
        kind = f"CAST(:text AS {'JSONB' if column == 'ours' else 'JSON'})"
        value = kind if admin.dialect.name == "postgresql" else ":text"
        insert = sa.text(f"INSERT INTO paper (id, {column}) VALUES (:id, {value})")
        admin.execute(sa.text("DELETE FROM paper"))
        for key, document in enumerate(DOCUMENTS, 1):
            admin.execute(insert, {"id": key, "text": write(document)})
        admin.commit()
        with service.session() as dal:
            field = dal.paper[column]
            for key, document in enumerate(DOCUMENTS, 1):
                found = [row.id for row in dal(field == document).select(dal.paper.id)]
                assert found == [key], document
                assert dal(field.belongs([document, {"not": "there"}])).count() == 1, document
                assert dal(field != document).count() == len(DOCUMENTS) - 1, document
                assert dal.paper[key][column] == document
            assert dal(field == JSON_NULL).count() == 0


def test_what_sqlalchemy_wrote_is_found(service: Database, admin: sa.Connection, papers: Deployment) -> None:
    table = papers.tables["paper"]
    for key, document in enumerate(DOCUMENTS, 1):
        admin.execute(table.insert().values(id=key, theirs=document, ours=document))
    admin.commit()
    with service.session() as dal:
        for key, document in enumerate(DOCUMENTS, 1):
            for field in (dal.paper.theirs, dal.paper.ours):
                assert [row.id for row in dal(field == document).select(dal.paper.id)] == [key], document
            assert dal((dal.paper.theirs == dal.paper.ours) & (dal.paper.id == key)).count() == 1


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_JSON = st.recursive(
    _TEXT | st.booleans() | st.integers(-(2**31), 2**31),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.engines("mariadb")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=_JSON, other=_JSON, digits=st.sampled_from(["04x", "04X"]))
def test_any_document_is_found_and_no_other(
    service: Database, admin: sa.Connection, document: Any, other: Any, digits: str
) -> None:
    admin.execute(sa.text("DELETE FROM paper"))
    admin.execute(
        sa.text("INSERT INTO paper (theirs, ours) VALUES (:theirs, :ours)"),
        {"theirs": json.dumps(document), "ours": _escaped(document, digits)},
    )
    admin.commit()
    with service.session() as dal:
        for field in (dal.paper.theirs, dal.paper.ours):
            assert dal(field == document).count() == 1
            same = json.dumps(other, sort_keys=True) == json.dumps(document, sort_keys=True)
            assert dal(field == other).count() == int(same)
