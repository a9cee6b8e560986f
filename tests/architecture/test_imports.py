"""The runtime and the services know nothing of the admin side, and one package alone imports PyDAL."""

from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from support.repository import ROOT, imports, place, python

ADMIN_SIDE = ("ringfence.schema", "sqlalchemy", "alembic", "yaml")
RUNTIME = ROOT / "runtime/src"
DAL = RUNTIME / "ringfence/runtime/dal"
ADMIN_FOLDERS = ("platform_models", "migrations")  # of services/: what the admin side reads


def _found(paths: list[Path], *forbidden: str) -> list[str]:
    return [
        f"{place(path, line)} imports {name}"
        for path in paths
        for line, name in imports(path)
        if any(f"{name}.".startswith(f"{word}.") for word in forbidden)
    ]


def test_the_import_contracts_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    kept = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0
    assert kept, capsys.readouterr().out


def test_the_runtime_imports_nothing_of_the_admin_side() -> None:
    assert python(RUNTIME)
    assert not _found(python(RUNTIME), *ADMIN_SIDE, "pydantic")


def test_the_services_import_nothing_of_the_admin_side() -> None:
    services = ROOT / "services"
    apps = [path for path in python(services) if path.relative_to(services).parts[0] not in ADMIN_FOLDERS]
    assert not _found(apps, *ADMIN_SIDE)


def test_only_the_dal_package_imports_pydal() -> None:
    everywhere_else = [path for path in python() if not path.is_relative_to(DAL)]
    outside_tests = [path for path in everywhere_else if not path.is_relative_to(ROOT / "tests")]
    assert not _found(outside_tests, "pydal")


def test_only_the_cli_speaks_to_the_terminal() -> None:
    cli = ROOT / "schema/src/ringfence/schema/cli"
    elsewhere = [p for p in python(ROOT / "schema/src", RUNTIME) if not p.is_relative_to(cli)]
    assert not _found(elsewhere, "click", "rich")
