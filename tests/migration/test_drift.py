"""A database that somebody changed by hand is seen by a job that has nothing to do."""

import json

import pytest

from ringfence.schema.errors import Drift, JobFailed
from support.deployments import lay_out

# What is done by hand, and how each verb shows it.
BY_HAND = (
    ("ALTER TABLE customer DROP COLUMN active", "add column customer.active"),
    ("ALTER TABLE customer ADD COLUMN nick VARCHAR(9)", None),
)


# Nobody is granted what is dropped: of that, the accounts would be refused first.
ACCESS = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  till:
    tables:
      customer: {select: [id]}
"""


@pytest.fixture
def shop(db, tmp_path):
    return lay_out(tmp_path, db)


@pytest.mark.engines("sqlite", "postgresql", "mariadb", "mysql")
@pytest.mark.parametrize(("statement", "shown"), BY_HAND, ids=["column_dropped", "column_added"])
def test_a_change_by_hand_is_seen_though_nothing_is_to_be_applied(shop, statement, shown):
    shop.write("access.yaml", ACCESS)
    shop.run("ringfence", "mirror")
    shop.migrate()
    assert shop.run("ringfence", "plan").returncode == 0
    shop.database.execute(statement)
    planned = shop.run("ringfence", "plan", "--json")
    document = json.loads(planned.stdout)
    if shown is None:  # what nobody here made is left alone, and said
        report = shop.migrate()
        assert any(
            "1 object is not ours: left alone: column customer.nick" in text for text in report.warnings
        )
        assert document["ok"] is True
        assert any("customer.nick" in text for text in document["warnings"])
        return
    with pytest.raises(Drift, match=shown) as caught:
        shop.migrate()
    assert "is not what the models say" in str(caught.value)
    assert planned.returncode == 2
    assert shown in document["error"]["plan"]["schema"]
    text = shop.run("ringfence", "plan").stdout
    assert shown in text
    assert "nothing to do" not in text
    check = shop.run("alembic", "check")
    assert check.returncode != 0
    assert shown.split()[-1].rpartition(".")[2] in check.stdout + check.stderr


@pytest.mark.engines("sqlite", "postgresql", "mariadb", "mysql")
def test_a_dropped_object_with_grants_is_named(shop):
    shop.run("ringfence", "mirror")
    shop.migrate()
    shop.database.execute("DROP TABLE purchase")
    with pytest.raises((Drift, JobFailed), match="purchase"):
        shop.migrate()
