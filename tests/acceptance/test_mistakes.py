"""What users get wrong is named, with its place and how to resolve it: no traceback, no words of another program."""

import json
import re
from pathlib import Path

import pytest

from ringfence.runtime import AccessDenied, Settings
from ringfence.schema.engines import reach
from ringfence.schema.errors import JobFailed
from ringfence.schema.job.plan import plan_job
from support.deployments import lay_out


@pytest.mark.engines("sqlite")
def test_files_that_do_not_fit_together(db, tmp_path):
    shop = lay_out(tmp_path, db)

    def told(*arguments, code):
        done = shop.run("ringfence", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    Path(db.name).touch()
    assert "ringfence bootstrap" in told("revision", "-m", "too soon", code=1)
    models = (shop.root / "shop_models.py").read_text()
    shop.write("shop_models.py", models.replace("    email:", "    nick: Mapped[int | None]\n    email:"))
    assert told("mirror", code=0) == ""
    ahead = told("migrate", "--no-lint", "a test", code=2)
    assert "add column customer.nick" in ahead
    assert "applied before that, and they stay: a1, b2" in ahead
    shop.write("shop_models.py", models)
    shop.migrate()
    (shop.root / "mirrors/till.json").unlink()
    assert (
        told("mirror", "--check", code=2)
        == "mirrors/till.json: missing\nwrite them with `ringfence mirror`\n"
    )
    assert "out/old.py: the folder does not exist: out" in told("reflect", "out/old.py", code=3)
    shop.write("shop_models.py", models.replace("    email:", "    address:"))
    rename = told("revision", "-m", "address", "--rename", "customer.emial=address", code=1)
    assert "customer loses no 'emial'; it loses email" in rename
    shop.write("shop_models.py", models)
    second = shop.root / "migrations/versions/b2.py"
    shop.write("migrations/versions/b2.py", second.read_text().replace('"a1"', '"a0"'))
    assert "b2.py goes on from 'a0', and no file there is that revision" in told("lint", code=3)
    toml = (shop.root / "ringfence.toml").read_text()
    shop.write("ringfence.toml", "# The models:\n" + toml.replace("shop_models:metadata", "shop_models"))
    line = toml.splitlines().index('models = ["shop_models:metadata"]') + 2
    assert f"ringfence.toml:{line}: models: 'shop_models' is not MODULE:NAME" in told("lint", code=3)


REVISION = 'revision = "c3"\ndown_revision = "b2"\nfrom alembic import op\n'
UPGRADE = "def upgrade():\n    op.execute('SELECT nothing FROM nowhere')\ndef downgrade():\n    pass\n"


@pytest.mark.engines("sqlite")
def test_a_revision_that_cannot_be_read_is_named_with_its_line(db, tmp_path):
    shop = lay_out(tmp_path, db)
    for body, says in (
        ("x = undefined\n", "cannot be read: NameError: name 'undefined' is not defined"),
        ("def upgrade() -> None\n", "cannot be read: expected ':'"),
        ("import nowhere_at_all\n", "cannot be read: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        (
            "op.frobnicate\n",
            "cannot be read: AttributeError: module 'alembic.op' has no attribute 'frobnicate'",
        ),
    ):
        shop.write("migrations/versions/c3.py", REVISION + body)
        for verb in (("plan",), ("migrate",), ("lint",), ("mirror", "--check"), ("test-migrations",)):
            done = shop.run("ringfence", *verb)
            assert done.returncode == 3, (verb, done.stdout + done.stderr)
            assert done.stderr == f"migrations/versions/c3.py:4: {says}\n", verb


@pytest.mark.engines("sqlite")
def test_several_heads_are_a_mistake_in_the_files(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    second = (shop.root / "migrations/versions/b2.py").read_text()
    shop.write("migrations/versions/b3.py", second.replace('"b2"', '"b3"'))
    for verb in (("plan",), ("migrate",), ("revision", "-m", "x"), ("mirror",), ("test-migrations",)):
        done = shop.run("ringfence", *verb)
        assert done.returncode == 3, (verb, done.stdout + done.stderr)
        assert done.stderr.startswith("migrations: the migrations have several heads, b2 (b2.py"), verb


def test_a_revision_that_fails_is_named_by_plain_alembic_too(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    shop.write("migrations/versions/c3.py", REVISION + UPGRADE)
    for command in (("ringfence", "migrate"), ("alembic", "upgrade", "head")):
        done = shop.run(*command)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "a migration failed, c3 (migrations/versions/c3.py): " in done.stderr
        assert done.stderr.splitlines()[-1] == "  in: SELECT nothing FROM nowhere"
        assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.engines("sqlite")
def test_plain_alembic_explains_what_is_wrong(db, tmp_path):
    shop = lay_out(tmp_path, db)
    for command in (("upgrade", "head"), ("check",), ("current",), ("upgrade", "head", "--sql")):
        done = shop.run("alembic", *command, DB_TYPE="")
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("  DB_TYPE is not set"), done.stderr
        assert "Traceback" not in done.stdout + done.stderr
    shop.write("access.yaml", (shop.root / "access.yaml").read_text().replace("purchase", "purchases"))
    done = shop.run("alembic", "upgrade", "head")
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no table 'purchases' in the models" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.engines("sqlite")
def test_a_proof_in_json_is_one_document(db, tmp_path):
    shop = lay_out(tmp_path, db)
    done = shop.run("ringfence", "test-migrations", "--json", DB_TYPE="", DB_NAME="")
    assert json.loads(done.stdout)["ok"] is True, done.stderr


@pytest.mark.requires("networked")
def test_a_missing_database_and_a_wrong_password(db):
    for wrong, way in (
        ({"DB_NAME": "not_there"}, "check DB_NAME"),
        ({"DB_PASS": "wrong"}, "check DB_USER and DB_PASS"),
    ):
        with pytest.raises(AccessDenied, match=way):
            reach(Settings.from_env(db.env() | wrong))


@pytest.mark.requires("accounts")
def test_an_unmanaged_login_stops_a_job_before_its_first_revision(db, tmp_path):
    shop = lay_out(tmp_path, db)
    login, kind = shop.login("till"), db.server.db_type
    db.execute(f'CREATE ROLE "{login}" LOGIN' if kind == "postgresql" else f"CREATE USER '{login}'@'%'")
    told = r"access.yaml:\d+: the login '\S+till' exists on the server and was not made for this database"
    assert any(re.match(told, obstacle) for obstacle in plan_job(shop.load(), shop.env()).obstacles)
    with pytest.raises(JobFailed, match="changed nothing:\n  " + told):
        shop.migrate()
    with pytest.raises(Exception, match="customer"):
        db.execute("SELECT id FROM customer")
    shop.migrate(adopt=True)
    assert db.execute("SELECT id FROM customer") == []


@pytest.mark.engines("sqlite")
def test_a_verb_that_is_none_names_the_nearest(db, tmp_path):
    done = lay_out(tmp_path, db).run("ringfence", "acess", "plan")
    assert done.returncode == 3
    assert "there is no command 'acess'; did you mean 'access'?" in done.stderr
