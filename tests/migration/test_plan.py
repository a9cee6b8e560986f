"""`ringfence plan` shows the whole job first, and changes nothing."""

import json

import pytest

from ringfence.schema.errors import JobFailed
from support.deployments import lay_out

THIRD = '''
"""Notes, and no secrets."""
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op


def upgrade():
    op.create_table("note", sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text))
    with op.batch_alter_table("customer") as batch:
        batch.add_column(sa.Column("nick", sa.String(20)))
        batch.drop_column("secret")  # ringfence: allow RF102, RF301 because nobody reads it
    op.execute("UPDATE customer SET nick = email")  # ringfence: allow RF602 because it is small


def downgrade():
    raise NotImplementedError  # ringfence: allow RF501 because a test
'''


@pytest.mark.engines("sqlite", "postgresql", "mariadb")
def test_the_whole_job_is_shown_first_and_nothing_is_changed(db, tmp_path):
    shop = lay_out(tmp_path, db)
    assert shop.run("ringfence", "mirror").returncode == 0
    first = shop.run("ringfence", "plan")
    assert first.returncode == 2, first.stderr
    assert "make the table customer" in first.stdout
    assert "CREATE TABLE customer" in first.stdout
    assert "is at no revision; the head is b2" in first.stdout
    assert json.loads(shop.run("ringfence", "plan", "--json").stdout)["error"]["plan"]["head"] == "b2"

    shop.migrate()
    document = json.loads(shop.run("ringfence", "plan", "--json").stdout)
    assert document["ok"] is True
    assert (document["nothing_to_do"], document["revisions"], document["findings"]) == (True, [], [])

    shop.write("migrations/versions/c3.py", THIRD)
    access = (shop.root / "access.yaml").read_text().replace("[id, active]", "[id]")
    shop.write("access.yaml", access.replace("[insert]", "[insert, select]"))
    done = shop.run("ringfence", "plan", "--json")
    assert done.returncode == 2, done.stdout
    error = json.loads(done.stdout)["error"]
    (revision,) = error["plan"]["revisions"]
    assert revision["revision"] == "c3"
    assert error["kind"] == "UnsafeRevisions"
    assert "c3 retires customer.secret, which is used, by till" in error["plan"]["stops"][0]
    assert any("till" in finding["message"] for finding in error["findings"])
    assert revision["message"] == "Notes, and no secrets."
    assert revision["retires"] == ["customer.secret"]
    assert "add the column customer.nick (String(length=20))" in revision["operations"]
    assert any("UPDATE customer SET nick = email" in statement for statement in revision["sql"])
    for service in ("till", "report", "door"):
        assert shop.password(service) not in done.stdout
    assert shop.database.execute("SELECT version_num FROM alembic_version") in ([("b2",)], (("b2",),))

    shop.database.execute(
        "DELETE FROM alembic_version"
    )  # as before `alembic stamp`, where the tables are older
    document = json.loads(shop.run("ringfence", "plan", "--json").stdout)
    (obstacle,) = [one for one in document["error"]["plan"]["obstacles"] if "no revision is recorded" in one]
    assert "holds tables of this deployment (customer, purchase)" in obstacle
    assert "`alembic stamp head`" in obstacle
    assert "a job would refuse to begin" in document["error"]["message"]
    with pytest.raises(JobFailed) as refused:
        shop.migrate()
    assert obstacle in str(refused.value)
