"""Git is told of no secret, whatever a deployment calls the variables of its own."""

import json
import os
from pathlib import Path

import pytest

from ringfence.runtime.errors import BadMirror
from ringfence.schema.deployment import Deployment
from ringfence.schema.errors import BadDeployment, JobFailed
from ringfence.schema.review.manifest_diff import read_manifest
from ringfence.schema.testing.services import mirrors_at, mirrors_in
from support.deployments import ACCESS, MODELS

SECRETS = (
    "DB_PASS DB_PASS_FILE TILL_DB_PASS TILL_DB_PASS_FILE DATABASE_URL RINGFENCE_TEST_URLS PGPASSWORD MYSQL_PWD ALL_OF_THEM "
    "VAULT_TOKEN AWS_SECRET_ACCESS_KEY GIT_HOOKS_DB_PASS XDG_DB_PASS_FILE"
).split()
GIT = """#!/bin/sh
env > "$HOME/seen.$1"
echo "no such commit" >&2
exit 128
"""


def test_git_gets_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = f"git_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{package}.py").write_text(MODELS)
    (tmp_path / "ringfence.toml").write_text(
        f'name = "shop"\nengines = ["postgresql"]\nmodels = ["{package}:metadata"]\n'
    )
    (tmp_path / "access.yaml").write_text(ACCESS.lstrip().replace("PREFIX", ""))
    deployment = Deployment.load(tmp_path)
    (tmp_path / "git").write_text(GIT)
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", "/kept")
    for name in SECRETS:
        monkeypatch.setenv(name, "s3cret")
    with pytest.raises(BadDeployment, match="no such commit"):
        read_manifest(deployment, "HEAD~1")
    with pytest.raises(JobFailed, match="no such commit"):
        mirrors_at(deployment, "HEAD~1", tmp_path / "before")
    for verb in ("show", "ls-tree"):
        seen = (tmp_path / f"seen.{verb}").read_text()
        assert "s3cret" not in seen
        assert "GIT_CEILING_DIRECTORIES=/kept" in seen


def test_the_mirror_of_an_account_without_a_table_is_no_service_to_try(tmp_path: Path) -> None:
    whole = json.loads((Path(__file__).parents[3] / "services/mirrors/jukebox.json").read_text())
    for name, changes in (("jukebox", {}), ("caller", {"service": "caller", "tables": {}})):
        (tmp_path / f"{name}.json").write_text(json.dumps(whole | changes))
    assert [mirror.service for mirror in mirrors_in(tmp_path)] == ["jukebox"]
    (tmp_path / "caller.json").write_text(json.dumps(whole | {"tables": []}))
    with pytest.raises(BadMirror, match=r"caller.json: tables: must be an object"):
        mirrors_in(tmp_path)


def test_no_other_module_starts_a_process() -> None:
    source = Path(__file__).parents[3] / "schema/src"
    starts = ("subprocess", "os.system", "os.exec", "os.spawn", "popen")
    found = [path.name for path in source.rglob("*.py") if any(word in path.read_text() for word in starts)]
    assert found == ["git.py"]
