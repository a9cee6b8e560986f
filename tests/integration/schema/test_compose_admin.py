"""deploy/admin.sql, as docker-compose.yml runs it: the admin it makes is no superuser, and the job runs under it."""

import contextlib
import subprocess

import pytest

from ringfence.runtime.settings import Settings
from ringfence.schema.engines import reach
from servers import postgres
from servers.base import clean_environment
from servers.process import Unavailable, find_binary
from support.deployments import lay_out
from support.repository import ROOT

ATTRIBUTES = "rolcanlogin, rolcreaterole, rolsuper, rolcreatedb, rolreplication, rolbypassrls"


@pytest.fixture
def made(db, tmp_path):
    """The admin's login, its database, and a function that runs the file again with a password."""
    server, admin, database = db.server, f'{db.prefix}ad"min', f"{db.name}_own"
    secret = tmp_path / "secret"
    try:
        psql = find_binary("psql", *postgres.bin_folders())
    except Unavailable as error:  # the server was given by its URL
        pytest.skip(str(error))

    def run(password):
        secret.write_text(f"{password}\n")
        ((host, port),) = server.hosts
        return subprocess.run(
            [
                psql,
                "--no-psqlrc",
                "--host",
                host,
                "--port",
                str(port),
                "--username",
                server.admin_user,
                "--dbname",
                "postgres",
                "--set",
                f"admin={admin}",
                "--set",
                f"database={database}",
                "--file",
                str(ROOT / "deploy/admin.sql"),
            ],
            env=clean_environment()
            | {"PGPASSWORD": server.admin_password, "ADMIN_DB_PASS_FILE": str(secret)},
            capture_output=True,
            text=True,
            check=False,
        )

    yield admin, database, run
    with contextlib.closing(
        postgres.connect(server, "postgres", server.admin_user, server.admin_password, 0)
    ) as root:
        root.cursor().execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


@pytest.mark.engines("postgresql")
def test_the_job_runs_under_the_admin_that_compose_makes(db, tmp_path, made):
    admin, database, run = made
    for password in ("it's one: \\ a", "another, 100% :so"):
        ran = run(password)
        assert (ran.returncode, password in ran.stdout + ran.stderr) == (0, False), ran.stderr
    assert db.execute(f"SELECT {ATTRIBUTES} FROM pg_roles WHERE rolname = '{admin}'") == [
        (True, True, False, False, False, False)
    ]
    shop = lay_out(tmp_path, db)
    env = shop.env() | {"DB_NAME": database, "DB_USER": admin, "DB_PASS": password}
    report = shop.migrate(env)
    assert (report.revision, report.applied, len(report.access.created)) == ("b2", ["a1", "b2"], 3)
    backend = reach(Settings.from_env(env))
    with backend.engine().connect() as connection:
        found = backend.checks.admin(connection, shop.load())
    assert (found.errors, [text for text in found.warnings if "superuser" in text]) == ([], [])
