"""Every file keeps the rules of the house: see CONTRIBUTING.md."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from servers.capabilities import ENGINES
from support.repository import ROOT, SOURCES, files, place, python, tree

# A folder that holds a checkout and is named in files for good reasons.
_COMMON_PARENTS = {"/", "/tmp", "/home", "/root", "/srv", "/opt", "/usr", "/usr/src", "/mnt", "/var"}


def test_every_module_states_its_purpose_in_one_line() -> None:
    silent = []
    for path in python(*SOURCES, ROOT / "tests", ROOT / "services"):
        module = tree(path)
        if not module.body:  # an __init__.py that only makes a package
            continue
        first, _, rest = (ast.get_docstring(module) or "").partition("\n")
        if not first or rest[:1] not in {"", "\n"}:
            silent.append(place(path))
    assert not silent


# Folders and pages of the repository, as a text would name them; what a wheel holds is under ringfence/.
_NOT_INSTALLED = re.compile(
    r"(?<![\w/.:-])(?:docs|scripts|deploy|findings|services|tests)/[\w.-]|\b[\w-]+\.md\b"
)


def test_no_text_of_a_package_names_a_file_that_no_installed_package_has() -> None:
    named = [
        f"{place(path, node.lineno)}: {node.value}"
        for path in python(*SOURCES)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and _NOT_INSTALLED.search(node.value)
    ]
    template = [path for source in SOURCES for path in source.rglob("template/**/*.in")]
    assert template
    named += [place(path) for path in template if re.search(r"\b(docs|scripts|deploy)/", path.read_text())]
    assert not named


def test_no_code_branches_on_an_engine_outside_the_engines() -> None:
    branches = [
        f"{place(path, node.lineno)}: {ast.unparse(node)}"
        for path in python(*SOURCES, ROOT / "services")
        if not {"engines", "features"} & set(path.parts)
        for node in ast.walk(tree(path))
        if _branches_on_engine(node)
    ]
    assert not branches


def _branches_on_engine(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        operands = [node.left, *node.comparators]
    elif isinstance(node, ast.MatchValue):
        operands = [node.value]
    elif (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "startswith"
    ):
        operands = list(node.args)
    else:
        return False
    names = {
        part.value for operand in operands for part in ast.walk(operand) if isinstance(part, ast.Constant)
    }
    return bool(names & set(ENGINES))


def test_the_namespace_package_has_no_init() -> None:
    assert not [place(path) for path in files() if path.parts[-2:] == ("ringfence", "__init__.py")]


def test_top_level_folders_are_no_packages() -> None:
    assert not [place(path) for path in ROOT.glob("*/__init__.py")]


def test_no_file_knows_where_it_was_written() -> None:
    parent = str(ROOT.parent)
    if parent in _COMMON_PARENTS:
        parent = str(ROOT)
    pattern = re.compile(rf"(?<![\w.-]){re.escape(parent)}/".encode())
    assert not [place(path) for path in files() if pattern.search(path.read_bytes())]


LOCKS = {"requirements.lock": ("test", "lint"), "requirements-bench.lock": ("test", "bench")}
"""Each lock, and the dependency groups that it is made from, beside both distributions."""


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_names_no_index_and_hashes_everything(name: str) -> None:
    lock = (ROOT / name).read_text()
    assert not re.search(r"https?:|--(extra-)?index|--find-links|file:", lock)
    pins = re.findall(r"^([a-z0-9._-]+)==.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    assert len(pins) > 20
    assert lock.count("--hash=sha256:") >= len(pins)
    assert "pydal==20260520.0 " in lock


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_satisfies_every_requirement(name: str) -> None:
    lock = (ROOT / name).read_text()
    pins = dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", lock, re.MULTILINE))
    unmet = [
        wanted
        for wanted in _requirements(LOCKS[name])
        if pins.get(canonicalize_name(wanted.name), "0") not in wanted.specifier
    ]
    assert not unmet, "run scripts/lock.sh"


def test_the_locks_agree() -> None:
    """The benchmark measures the versions that the tests test."""
    pins = [
        dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in LOCKS
    ]
    assert not {name for name in pins[0] if pins[1].get(name, pins[0][name]) != pins[0][name]}


def _requirements(groups: tuple[str, ...]) -> Iterator[Requirement]:
    """What both distributions and some dependency groups ask for, less the distributions themselves."""
    known = _toml("pyproject.toml")["dependency-groups"]
    texts = [text for group in groups for text in known[group]]
    for side in ("runtime", "schema"):
        project = _toml(f"{side}/pyproject.toml")["project"]
        texts += project["dependencies"]
        texts += [text for extra in project["optional-dependencies"].values() for text in extra]
    wanted = [Requirement(text) for text in texts if isinstance(text, str)]
    return (requirement for requirement in wanted if not requirement.name.startswith("ringfence-"))


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text())


@pytest.mark.parametrize("side", ["runtime", "schema"])
def test_each_distribution_is_marked_as_typed(side: str) -> None:
    assert (ROOT / side / "src/ringfence" / side / "py.typed").exists()


def test_every_script_is_strict_and_executable() -> None:
    scripts = [p for p in files() if p.is_relative_to(ROOT / "scripts") and p.parent.name == "scripts"]
    for script in [*(p for p in scripts if p.suffix == ".sh"), Path(ROOT / ".ci/run")]:
        text = script.read_text()
        assert text.startswith("#!/usr/bin/env bash\n"), script.name
        assert "set -euo pipefail" in text, script.name
        assert script.stat().st_mode & 0o111, script.name
