"""docker-compose.yml and the Dockerfiles: valid, and no service holds more than its own secret and code."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from demo.processes import GUNICORN, MIGRATE

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "tests/unit/data/compose_spec.json"
ADMIN = "admin_db_pass"
SUPERUSER = "superuser_db_pass"
BEFORE = ("database", "admin", "migrate")
"""What has to be done, or to be there, before a service starts."""
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = {name: given for name, given in COMPOSE["services"].items() if name not in BEFORE}
DOCKERFILES = [ROOT / "deploy/runtime.Dockerfile", ROOT / "deploy/schema.Dockerfile"]


def accounts() -> list[str]:
    return list(yaml.safe_load((ROOT / "services/access.yaml").read_text())["accounts"])


def secret_of(account: str) -> str:
    return f"{account.replace('-', '_')}_db_pass"


def instructions(path: Path) -> list[str]:
    """The instructions of a Dockerfile, continued lines joined, comments left out."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
    return [line.strip() for line in re.sub(r"\\\n", " ", text).splitlines() if line.strip()]


def test_the_file_is_valid_by_the_compose_specification():
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft201909Validator(schema).validate(COMPOSE)


def test_the_specification_would_find_a_mistake():
    wrong = COMPOSE | {"services": COMPOSE["services"] | {"analytics": {"imaeg": "x"}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft201909Validator(json.loads(SCHEMA.read_text())).validate(wrong)


def holders(secret):
    return {name for name, given in COMPOSE["services"].items() if secret in json.dumps(given)}


def test_the_superuser_makes_the_admin_and_goes_nowhere_else():
    assert holders(SUPERUSER) == {"database", "admin"}
    assert holders(ADMIN) == {"admin", "migrate"}
    database, admin = COMPOSE["services"]["database"], COMPOSE["services"]["admin"]
    assert database["environment"] == {"POSTGRES_PASSWORD_FILE": f"/run/secrets/{SUPERUSER}"}
    assert admin["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert admin["volumes"] == ["./deploy/admin.sql:/admin.sql:ro"]
    assert (ROOT / "deploy/admin.sql").is_file()
    shell, flag, command = admin["command"]
    assert (shell, flag) == ("sh", "-c")
    assert "--set admin=admin --set database=platform" in command
    assert "--username postgres" in command


def test_the_job_runs_as_admin_after_the_admin_is_made_and_before_the_services():
    job = COMPOSE["services"]["migrate"]
    assert job["environment"]["DB_USER"] == "admin"
    assert job["environment"]["DB_NAME"] == "platform"
    assert job["depends_on"] == {"admin": {"condition": "service_completed_successfully"}}
    assert COMPOSE["services"]["database"]["image"] == "postgres:16"
    assert COMPOSE["services"]["database"]["healthcheck"]["test"]
    for service in SERVICES.values():
        assert service["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_the_job_is_given_the_password_of_every_account_of_the_manifest():
    job = COMPOSE["services"]["migrate"]
    wanted = {secret_of(account) for account in accounts()}
    assert set(job["secrets"]) == wanted | {ADMIN}
    given = {name: path for name, path in job["environment"].items() if name.endswith("_DB_PASS_FILE")}
    assert given == {f"{secret.upper()}_FILE": f"/run/secrets/{secret}" for secret in wanted}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_holds_its_own_secret_alone(name):
    service = SERVICES[name]
    mirror = json.loads((ROOT / f"services/mirrors/{name}.json").read_text())
    assert service["secrets"] == [secret_of(name)]
    assert service["environment"]["DB_USER"] == mirror["login"]
    assert service["environment"]["DB_PASS_FILE"] == f"/run/secrets/{secret_of(name)}"
    passwords = [key for key in service["environment"] if "PASS" in key or "URL" in key]
    assert passwords == ["DB_PASS_FILE"]
    assert service["build"]["args"] == {"SERVICE": name, "PACKAGE": name.replace("-", "_")}


def test_no_password_stands_in_the_file_and_every_secret_is_a_file_of_its_own():
    assert set(COMPOSE["secrets"]) == {secret_of(account) for account in accounts()} | {ADMIN, SUPERUSER}
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"secrets/{name}"}
    assert "secrets/" in (ROOT / ".gitignore").read_text().split()


def test_the_containers_run_the_commands_of_the_demonstration():
    assert tuple(COMPOSE["services"]["migrate"]["command"]) == MIGRATE
    for name, service in SERVICES.items():
        assert service["command"] == [*GUNICORN, f"{name.replace('-', '_')}.wsgi:app"]


def test_the_runtimes_image_holds_nothing_of_the_admin_side():
    for line in instructions(ROOT / "deploy/runtime.Dockerfile"):
        assert not re.search(r"schema|sqlalchemy|alembic|migrations|platform_models|access\.yaml", line), line


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
def test_a_dockerfile_copies_what_there_is_and_does_not_run_as_root(dockerfile):
    lines = instructions(dockerfile)
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            for name in line.split()[1:-1]:
                for service in SERVICES:
                    path = name.replace("${PACKAGE}", service.replace("-", "_")).replace(
                        "${SERVICE}", service
                    )
                    assert (ROOT / path).exists(), line
                    assert f"!{path.split('/')[0]}" in (ROOT / ".dockerignore").read_text().split(), line
    assert any(line.startswith("USER ") and not line.startswith("USER 0") for line in lines)
