"""scripts/migrate.sh and scripts/health-check.sh, with the environment that is shipped and with a server's."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from servers.base import Server, clean_environment
from servers.process import free_ports

ROOT = Path(__file__).parents[2]


def script(name: str, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    environment = clean_environment() | {"RINGFENCE_VENV": sys.prefix} | env
    return subprocess.run(
        [ROOT / "scripts" / name, *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "scripts").glob("*.sh")))
def test_each_script_says_what_it_does_and_installs_nothing_for_it(name, tmp_path):
    done = script(
        name, "--help", RINGFENCE_VENV=str(tmp_path / "venv"), RINGFENCE_BENCH_VENV=str(tmp_path / "bench")
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"  scripts/{name} " in done.stdout
    assert not done.stdout.startswith("#")
    assert not list(tmp_path.iterdir())


def accounts() -> list[str]:
    return list(yaml.safe_load((ROOT / "services/access.yaml").read_text())["accounts"])


@pytest.fixture
def file(tmp_path) -> dict[str, str]:
    """The development environment, with a file of its own."""
    return {"DB_NAME": str(tmp_path / "development.sqlite")}


def test_an_environment_is_ill_before_its_migration_and_well_after_it(file):
    before = script("health-check.sh", "development", **file)
    assert before.returncode == 1
    assert "WRONG the database, for analytics" in before.stderr
    for _ in range(2):
        migrated = script("migrate.sh", "development", **file)
        assert migrated.returncode == 0, migrated.stderr
    after = script("health-check.sh", "development", **file)
    assert after.returncode == 0, after.stderr
    assert after.stderr.count("ok ") == 1 + len(accounts())


def test_a_service_that_does_not_answer_is_found(file):
    [port] = free_ports(1)
    script("migrate.sh", "development", **file)
    done = script("health-check.sh", "development", HEALTH_URLS=f"http://127.0.0.1:{port}/readyz", **file)
    assert done.returncode == 1
    assert f"WRONG http://127.0.0.1:{port}/readyz" in done.stderr


@pytest.mark.parametrize("name", ["migrate.sh", "health-check.sh"])
@pytest.mark.parametrize("environment", [[], ["nowhere"], [""], ["../deploy/development"], ["Development"]])
def test_an_environment_that_is_none_is_refused_with_a_list(name, environment):
    done = script(name, *environment)
    assert done.returncode == 3
    assert "there is: development" in done.stderr


@pytest.fixture
def platform(server: Server, tmp_path) -> Iterator[dict[str, str]]:
    """A server's environment: the admin's login, and a file with the password of each account."""
    with server.database() as database:
        secrets = tmp_path / "secrets"
        program = Path(sys.executable).with_name("ringfence")
        subprocess.run(
            [program, "-C", ROOT / "services", "secrets", "generate", secrets],
            check=True,
            capture_output=True,
        )
        yield database.env() | {f"{path.name.upper()}_FILE": str(path) for path in secrets.iterdir()}
        for account in accounts():
            database.operations.drop(server, database.name, account)


@pytest.mark.engines("postgresql", "mariadb")
def test_a_server_is_checked_under_each_account(platform):
    migrated = script("migrate.sh", "development", "--json", **platform)
    assert migrated.returncode == 0, migrated.stdout + migrated.stderr
    well = script("health-check.sh", "development", **platform)
    assert well.returncode == 0, well.stderr
    Path(platform["ANALYTICS_DB_PASS_FILE"]).write_text("another\n")
    ill = script("health-check.sh", "development", **platform)
    assert ill.returncode == 1
    assert [line for line in ill.stderr.splitlines() if line.startswith("WRONG")] == [
        "WRONG the database, for analytics"
    ]
