"""The runtime's wheel, alone in a clean environment, holds no SQLAlchemy and works."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from servers.base import clean_environment
from servers.capabilities import engines_with
from support.repository import ROOT, python

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HERE = Path(__file__)
TOOLS = ("pytest", "pytest-timeout", "hypothesis")
FORBIDDEN = {"sqlalchemy", "alembic", "pydantic", "pyyaml", "ringfence-schema"}


def _run(*argv: str | Path, cwd: Path = ROOT) -> str:
    environment = clean_environment() | {"PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [str(word) for word in argv], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{argv[:4]} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def _wheel(side: str, folder: Path) -> Path:
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT / side)
    (wheel,) = folder.glob(f"ringfence_{side}-*.whl")
    return wheel


@pytest.fixture(scope="module")
def runtime_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _wheel("runtime", tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def clean_python(runtime_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment that holds the wheel, what it declares, and pytest: at the locked versions."""
    folder = tmp_path_factory.mktemp("clean")
    constraints = folder / "constraints.txt"
    pins = re.findall(r"^([a-z0-9._-]+==[^\s;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    constraints.write_text("\n".join(pins))
    _run(sys.executable, "-m", "venv", folder / "venv")
    interpreter = folder / "venv" / "bin" / "python"
    pip = (interpreter, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", constraints)
    _run(*pip, f"{runtime_wheel}[flask]")
    _run(*pip, *TOOLS)
    return interpreter


@pytest.mark.parametrize("side", ["runtime", "schema"])
def test_a_wheel_holds_its_own_portion_of_the_namespace_alone(side: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(_wheel(side, tmp_path)) as archive:
        names = archive.namelist()
    assert f"ringfence/{side}/__init__.py" in names
    assert f"ringfence/{side}/py.typed" in names
    assert "ringfence/__init__.py" not in names
    assert {name.split("/")[1] for name in names if name.startswith("ringfence/")} == {side}


def test_the_runtime_alone_brings_no_sqlalchemy(clean_python: Path) -> None:
    listed = json.loads(
        _run(clean_python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check")
    )
    installed = {package["name"].lower().replace("_", "-") for package in listed}
    assert "ringfence-runtime" in installed
    assert not installed & FORBIDDEN
    _run(clean_python, "-m", "pip", "check")


def test_every_module_of_the_runtime_imports_without_the_admin_side(clean_python: Path) -> None:
    program = """
import importlib, pkgutil, sys
import ringfence.runtime
for module in pkgutil.walk_packages(ringfence.runtime.__path__, "ringfence.runtime."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        if error.name not in {"psycopg2", "pymysql", "prometheus_client"}:  # extras that were not asked for
            raise
assert "site-packages" in ringfence.runtime.__file__, ringfence.runtime.__file__
for name in ("sqlalchemy", "alembic", "ringfence.schema"):
    try:
        importlib.import_module(name)
    except ImportError:
        continue
    sys.exit(f"{name} can be imported")
"""
    _run(clean_python, "-I", "-c", program)


def test_the_sqlite_suite_passes_against_the_wheel(clean_python: Path) -> None:
    """Only the files that hold such tests are collected: others import what is not there."""
    suite = [
        path for path in python(ROOT / "tests") if "mark.runtime_only" in path.read_text() and path != HERE
    ]
    assert suite, "no test is marked runtime_only"
    networked = " or ".join(engines_with("networked"))
    said = _run(
        clean_python, "-m", "pytest", "-q", "-p", "no:cacheprovider",
        "-m", "runtime_only", "-k", f"not ({networked})", *suite,
    )  # fmt: skip
    assert re.search(r"\d+ passed", said), said
    assert "skipped" not in said, said
