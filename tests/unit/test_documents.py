"""The documents: every link of theirs leads somewhere, and every command of theirs is one."""

import re
from pathlib import Path

import click
import pytest

from ringfence.schema.cli import ringfence

ROOT = Path(__file__).parents[2]
_ELSEWHERE = {".venv", ".venv-bench", ".pytest_cache", ".demo"}
DOCUMENTS = sorted(path for path in ROOT.rglob("*.md") if not _ELSEWHERE & set(path.relative_to(ROOT).parts))
_LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#[^)]*)?\)")
_ANCHOR = re.compile(r"\]\((?!\w+:)([^)#\s]*)#([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_COMMAND = re.compile(r"(?:^|`|\s)ringfence (?:-C \S+ |--json )*([a-z][a-z-]*(?: [a-z]+)?)", re.MULTILINE)
_VARIABLE = re.compile(r"\bDB_[A-Z_]+\b")


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    titles = (
        re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower() for title in _HEADING.findall(path.read_text())
    )
    return {re.sub(r"[^\w\- ]", "", title).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_anchor_is_a_heading(path):
    found = [
        (path.parent / link if link else path, anchor) for link, anchor in _ANCHOR.findall(path.read_text())
    ]
    assert not [
        (str(file), anchor) for file, anchor in found if file.suffix == ".md" and anchor not in anchors(file)
    ]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path):
    dead = [link for link in _LINK.findall(path.read_text()) if link and not (path.parent / link).exists()]
    assert not dead


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_in_code_is_one(path):
    code = re.findall(r"^```sh\n(.*?)^```|`([^`\n]+)`", path.read_text(), re.MULTILINE | re.DOTALL)
    text = "\n".join(block or word for block, word in code)
    for said in _COMMAND.findall(text):
        first, _, second = said.partition(" ")
        below = ringfence.get_command(click.Context(ringfence), first)
        assert below, said
        if second and isinstance(below, click.Group):
            assert below.get_command(click.Context(below), second), said


def test_every_variable_of_the_runtime_is_in_the_reference():
    settings = (ROOT / "runtime/src/ringfence/runtime/settings/environment.py").read_text()
    read = set(_VARIABLE.findall(settings)) - {"DB_TYPES"}
    told = set(_VARIABLE.findall((ROOT / "docs/reference/environment.md").read_text()))
    assert read <= told


def test_the_table_of_conformance_has_the_cases_that_there_are():
    files = sorted((ROOT / "tests/integration/conformance").glob("test_*.py"))
    cases = [
        title
        for file in files
        for title in re.findall(r'^@case\(\s*[^,]+,\s*"([^"]+)"', file.read_text(), re.MULTILINE)
    ]
    page = (ROOT / "docs/reference/conformance.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE)
    assert sorted(rows) == sorted(cases)
