"""Tables that no model covers become a file of models: named in ringfence.toml, and spoken of in the manifest."""

import pytest

from ringfence.runtime import Database
from support.deployments import ACCESS, TOML, lay_out

pytestmark = pytest.mark.newer

OLD = {
    "sqlite": "id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL DEFAULT 'x', cents BIGINT, note TEXT, day DATE",
    "postgresql": "id serial PRIMARY KEY, name varchar(40) NOT NULL DEFAULT 'x', cents bigint, note text, day date,"
    " seen timestamptz, doc jsonb, odd point",
    "mysql": "id INTEGER AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40) NOT NULL DEFAULT 'x', cents BIGINT, note LONGTEXT,"
    " day DATE, seen DATETIME(6), odd DATETIME",
}


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.write(
        "ringfence.toml",
        TOML.replace('["postgresql", "mariadb", "galera", "mysql", "sqlite"]', f'["{db.server.engine}"]'),
    )
    shop.migrate()
    return shop


def test_an_old_table_is_written_down_and_given(shop):
    kind = shop.database.server.db_type
    shop.database.execute(
        f"CREATE TABLE old_goods ({OLD[kind]}, customer_id INTEGER,"
        " CONSTRAINT fk_old FOREIGN KEY (customer_id) REFERENCES customer (id), CONSTRAINT uq_old UNIQUE (name))",
        "CREATE INDEX ix_old ON old_goods (cents, day)",
        "CREATE VIEW cheap AS SELECT id, name FROM old_goods WHERE cents < 100",
        "INSERT INTO old_goods (id, cents) VALUES (7, 5)",
    )
    made = shop.run("ringfence", "reflect", "--json")
    assert made.returncode == 0, made.stderr + made.stdout
    text = (shop.root / "reflected.py").read_text()
    assert shop.run("ringfence", "reflect").returncode == 3
    assert ("# left out: column old_goods.odd" in text) == (kind == "postgresql")
    toml = (shop.root / "ringfence.toml").read_text()
    shop.write(
        "ringfence.toml",
        toml.replace('"shop_models:metadata"', '"shop_models:metadata", "reflected:metadata"'),
    )
    shop.write("access.yaml", ACCESS + "  clerk:\n    tables: {old_goods: rw}\n    views: {cheap: ro}\n")
    assert shop.run("ringfence", "mirror").returncode == 0
    done = shop.run("ringfence", "migrate")
    assert done.returncode == 0, done.stderr
    same = shop.run("alembic", "check")
    assert same.returncode == 0, same.stdout + same.stderr
    with (
        Database.from_env(
            shop.root / "mirrors/clerk.json", shop.database.env(shop.login("clerk"), shop.password("clerk"))
        ) as clerk,
        clerk.session() as dal,
    ):
        assert [row.name for row in dal(dal.cheap).select()] == ["x"]
        assert dal.old_goods.insert(name="y", cents=3) > 7 or kind == "postgresql"  # Galera leaves gaps
    again = shop.run("ringfence", "reflect", "other.py")
    assert "the models cover every table" in again.stdout


def test_a_line_break_in_a_name_is_no_line_of_the_file(shop):
    kind = {"sqlite": "", "postgresql": "point"}.get(shop.database.server.db_type, "geometry")
    quote = "`" if shop.database.server.db_type == "mysql" else '"'
    name = f"odd{chr(10)}raise SystemExit(77)"
    shop.database.execute(f"CREATE TABLE old_goods (id INTEGER PRIMARY KEY, {quote}{name}{quote} {kind})")
    made = shop.run("ringfence", "reflect", "--json")
    assert made.returncode == 0, made.stderr + made.stdout
    assert (
        "# left out: column old_goods.odd raise SystemExit(77): " in (shop.root / "reflected.py").read_text()
    )


def test_a_deployment_without_a_model_is_where_it_begins(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.write(
        "ringfence.toml",
        TOML.replace('["postgresql", "mariadb", "galera", "mysql", "sqlite"]', f'["{db.server.engine}"]'),
    )
    shop.write("shop_models.py", "import sqlalchemy as sa\n\nmetadata = sa.MetaData()\n")
    db.execute("CREATE TABLE legacy (id INTEGER PRIMARY KEY, note VARCHAR(9))")
    made = shop.run("ringfence", "reflect")
    assert made.returncode == 0, made.stdout + made.stderr
    assert (
        "reflected.py: 1 table" in made.stdout
    )  # though the manifest speaks of tables that no model has yet
    shop.write("access.yaml", "version: 1\naccounts: {}\n")
    refused = shop.run("ringfence", "mirror")
    assert refused.returncode == 3
    assert "written down by `ringfence reflect`" in refused.stderr
    toml = (shop.root / "ringfence.toml").read_text()
    shop.write("ringfence.toml", toml.replace('"shop_models:metadata"', ""))
    refused = shop.run("ringfence", "mirror")
    assert "models: none is named" in refused.stderr
    made = shop.run("ringfence", "reflect", "--overwrite")
    assert 'models = ["reflected:metadata"]' in made.stdout
    shop.write("ringfence.toml", toml.replace("shop_models:", "reflected:"))
    assert list(shop.load().tables) == ["legacy"]
