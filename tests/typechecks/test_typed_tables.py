"""What mypy and pyright report about the typed modules: nothing about right code, and each mistake."""

import ast
import importlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings

from ringfence.runtime import Mirror
from ringfence.runtime.dal import RingfenceDAL
from ringfence.schema.documents import Document
from ringfence.schema.errors import BadDeployment
from ringfence.schema.manifest.resolution import resolve_accounts
from ringfence.schema.mirror import check_typed_files, make_mirror, write_mirrors
from ringfence.schema.stubs import module_name, module_text, stub_text
from support import random_manifests, type_checkers, typed_gallery
from support.repository import ROOT

SAMPLES = Path(__file__).parent / "samples"
CHECKERS = {"mypy": (type_checkers.mypy, 0), "pyright": (type_checkers.pyright, 1)}
_MARK = re.compile(r"# E: (\S+) (\S+)")


@pytest.fixture(params=CHECKERS)
def checker(request) -> Iterator[tuple[Callable[..., type_checkers.Found], int]]:
    return CHECKERS[request.param]


@pytest.fixture
def gallery(tmp_path):
    write_mirrors(typed_gallery.deployment(tmp_path))
    for sample in SAMPLES.glob("*.py"):
        shutil.copy(sample, tmp_path)
    return tmp_path


def marked(text: str, column: int) -> set[tuple[int, str]]:
    lines = enumerate(text.splitlines(), 1)
    return {(number, found.group(column + 1)) for number, line in lines if (found := _MARK.search(line))}


@pytest.mark.slow
def test_right_code_and_the_stubs_have_no_error(gallery, checker):
    check, _ = checker
    assert check(gallery, "good.py", "mirrors/gallery.pyi") == set()


@pytest.mark.slow
def test_each_mistake_is_an_error_where_it_stands(gallery, checker):
    check, column = checker
    found = {(line, code) for file, line, code in check(gallery, "bad.py") if file == "bad.py"}
    expected = marked((gallery / "bad.py").read_text(), column)
    assert expected - found == set()
    # A checker may report a second error in such a line, but none in another.
    assert {line for line, _ in found} == {line for line, _ in expected}


@pytest.mark.slow
def test_the_stubs_of_the_reference_services_have_no_error(tmp_path, checker):
    check, _ = checker
    shutil.copytree(ROOT / "services/mirrors", tmp_path / "mirrors")
    assert (
        check(tmp_path, *(f"mirrors/{path.name}" for path in (tmp_path / "mirrors").glob("*.pyi"))) == set()
    )


def mirrors_of(manifest) -> list[Mirror]:
    document = Document("access.yaml", yaml.safe_dump(manifest))
    tables = random_manifests.TABLES
    accounts = resolve_accounts(document, tables, ("postgresql",))
    assert document.mistakes == []
    made = typed_gallery.deployment_of(Path(), tables, accounts)
    return [make_mirror(made, account, None) for account in accounts]


def names_of(stub: str) -> set[str]:
    tree = ast.parse(stub)
    return {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


@pytest.mark.slow
def test_whatever_the_manifest_the_stub_is_valid_and_the_module_has_its_names(tmp_path):
    stubs: dict[str, str] = {}

    @settings(
        max_examples=60,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(random_manifests.manifests())
    def draw(manifest):
        for mirror in mirrors_of(manifest):
            stub = stub_text(mirror)
            stubs[f"s{len(stubs)}"] = stub
            module: dict[str, object] = {"__file__": "mirrors/service.py"}
            exec(compile(module_text(mirror, "a.json"), "service.py", "exec"), module)  # noqa: S102  # what a service imports
            assert names_of(stub) <= set(module)
            assert module["DAL"] is RingfenceDAL

    draw()
    (tmp_path / "mirrors").mkdir()
    some = {name: stub for name, stub in stubs.items() if int(name[1:]) % 6 == 0}
    for name, stub in some.items():
        (tmp_path / "mirrors" / f"{name}.pyi").write_text(stub)
    assert type_checkers.mypy(tmp_path, *(f"mirrors/{name}.pyi" for name in some)) == set()


def test_the_typed_module_opens_the_database(gallery, monkeypatch):
    monkeypatch.syspath_prepend(gallery)
    module = importlib.import_module("mirrors.gallery")
    for name in ("mirrors", "mirrors.gallery"):
        monkeypatch.delitem(sys.modules, name)

    mirror = json.loads((gallery / "mirrors/gallery.json").read_text())
    mirror["engines"] = ["sqlite"]
    del mirror["tables"]["work"]  # SQLite has no arrays
    (gallery / "mirrors/gallery.json").write_text(json.dumps(mirror))
    with module.open_database({"DB_TYPE": "sqlite", "DB_NAME": ":memory:"}) as database:
        assert type(database.dal) is module.DAL
        assert "artist" in database.dal.tables


def test_a_stub_that_differs_is_found_and_named(gallery):
    deployment = typed_gallery.deployment(gallery)
    assert check_typed_files(deployment) == ()
    stub, module = gallery / "mirrors/gallery.pyi", gallery / "mirrors/gallery.py"
    stub.write_text(stub.read_text().replace("title", "titel"))
    module.unlink()
    (gallery / "mirrors/gone.pyi").write_text(f"{stub.read_text()}")
    (gallery / "mirrors/own.py").write_text("x = 1\n")
    assert {file.path.name: file.state for file in check_typed_files(deployment)} == {
        "gallery.pyi": "stale",
        "gallery.py": "missing",
        "gone.pyi": "orphan",
    }
    write_mirrors(deployment)
    assert check_typed_files(deployment) == ()
    assert {path.name for path in (gallery / "mirrors").iterdir()} == {
        "gallery.json", "gallery.py", "gallery.pyi", "own.py",
    }  # fmt: skip


def test_a_file_that_was_not_generated_is_not_overwritten(gallery):
    (gallery / "mirrors/gallery.py").write_text("x = 1\n")
    with pytest.raises(BadDeployment, match=r"gallery\.py is not generated"):
        write_mirrors(typed_gallery.deployment(gallery))
    assert (gallery / "mirrors/gallery.py").read_text() == "x = 1\n"


@pytest.mark.parametrize(
    ("service", "taken", "name"),
    [("backend-api", (), "backend_api"), ("import", (), "import_"), ("a-b", ("a_b",), "a_b_")],
)
def test_a_service_has_a_module_of_its_own_name(service, taken, name):
    assert module_name(service, taken) == name
