"""Plain Alembic in a deployment's folder: it works as its users expect, takes the lock, and records releases."""

import re

import pytest

from ringfence.schema.engines import reach
from ringfence.schema.errors import JobFailed
from ringfence.schema.state import releases
from support.deployments import lay_out


@pytest.fixture
def shop(db, tmp_path):
    return lay_out(tmp_path, db)


def alembic(shop, *arguments, code=0):
    done = shop.run("alembic", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def read(shop, table, *columns):
    return [
        tuple(row) for row in shop.database.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY 1")
    ]


def test_upgrade_records_releases_and_downgrade_takes_them_back(shop):
    alembic(shop, "upgrade", "head")
    assert read(shop, "ringfence_release", "seq", "revision") == [(1, "a1"), (2, "b2")]
    alembic(shop, "downgrade", "-1")
    assert read(shop, "ringfence_release", "seq", "revision") == [(1, "a1")]
    alembic(shop, "upgrade", "head")
    assert read(shop, "ringfence_release", "seq", "revision") == [(1, "a1"), (2, "b2")]
    alembic(shop, "downgrade", "base")
    assert read(shop, "ringfence_release", "seq", "revision") == []


def test_our_tables_are_no_difference(shop):
    shop.migrate()
    assert "No new upgrade operations detected" in alembic(shop, "check")
    alembic(shop, "revision", "--autogenerate", "-m", "nothing new")
    (made,) = (shop.root / "migrations" / "versions").glob("*nothing_new.py")
    assert "ringfence_" not in made.read_text()
    assert "op." not in made.read_text()


def test_autogenerate_sees_what_changed(shop):
    shop.migrate()
    models = (shop.root / "shop_models.py").read_text()
    shop.write(
        "shop_models.py",
        models.replace(
            "    amount: Mapped[int]\n",
            "    amount: Mapped[int]\n    note: Mapped[str | None] = mapped_column(sa.String(20))\n",
        ),
    )
    alembic(shop, "revision", "--autogenerate", "-m", "note")
    alembic(shop, "upgrade", "head")
    assert "No new upgrade operations detected" in alembic(shop, "check")


@pytest.mark.engines("sqlite")
def test_a_rename_is_asked_in_a_line(shop):
    shop.migrate()
    models = (shop.root / "shop_models.py").read_text()
    shop.write("shop_models.py", models.replace("    amount: Mapped[int]", "    price: Mapped[int]"))
    done = shop.run("alembic", "revision", "--autogenerate", "-m", "price")
    assert done.returncode != 0
    assert "FAILED: purchase loses amount and gains price" in done.stdout + done.stderr
    assert "--rename purchase.amount=price" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.engines("sqlite", "postgresql", "mariadb")
def test_looking_makes_nothing(shop):
    shop.database.execute("CREATE TABLE earlier (id INTEGER)")  # an SQLite file is there by then
    alembic(shop, "current")
    alembic(shop, "history")
    backend = reach(shop.settings())
    with backend.engine().connect() as connection:
        # On the MySQL family the admin sees the other databases of the server too.
        mine = {table for schema, table, _ in backend.introspection.columns(connection) if schema is None}
        assert not [table for table in mine if table.startswith("ringfence")]


@pytest.mark.engines("sqlite", "postgresql", "mariadb")
def test_a_database_that_plain_alembic_made_gets_its_releases(shop):
    shop.write(
        "migrations/env.py",
        """
        from alembic import context
        from ringfence.schema.engines import reach
        from ringfence.runtime.settings import Settings

        with reach(Settings.from_env()).engine().connect() as connection:
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
            connection.commit()
        """,
    )
    alembic(shop, "upgrade", "head")
    shop.write("migrations/env.py", "from ringfence.schema.job.environment import run\n\nrun()\n")
    alembic(shop, "upgrade", "head")
    assert read(shop, "ringfence_release", "revision") == [("a1",), ("b2",)]


@pytest.mark.engines("sqlite", "postgresql", "mariadb")
def test_stamp_records_all_that_then_stands(shop):
    alembic(shop, "stamp", "head")
    assert read(shop, "ringfence_release", "revision") == [("a1",), ("b2",)]
    alembic(shop, "stamp", "a1")
    assert read(shop, "ringfence_release", "revision") == [("a1",)]


def test_what_a_revision_takes_away_is_retired(shop):
    shop.migrate()
    shop.write(
        "migrations/versions/c3.py",
        """
        revision = "c3"
        down_revision = "b2"
        import sqlalchemy as sa
        from alembic import op


        def upgrade():
            with op.batch_alter_table("customer") as batch:
                batch.drop_column("secret")
            op.drop_table("purchase")


        def downgrade():
            raise NotImplementedError
        """,
    )
    alembic(shop, "upgrade", "head")
    quote = "`" if shop.database.server.db_type == "mysql" else '"'
    names = [f"{quote}{name}{quote}" for name in ("seq", "table", "column", "schema")]
    assert sorted(read(shop, "ringfence_retired", *names), key=str) == [
        (3, "customer", "secret", None),
        (3, "purchase", None, None),
    ]


def test_a_failed_revision_is_reported_without_its_values_and_records_nothing(shop):
    shop.write(
        "migrations/versions/c3.py",
        """
        revision = "c3"
        down_revision = "b2"
        import sqlalchemy as sa
        from alembic import op


        def upgrade():
            op.get_bind().execute(sa.text("INSERT INTO nowhere VALUES (:x)"), {"x": "priv" + "ate"})
        """,
    )
    with pytest.raises(JobFailed, match="INSERT INTO nowhere") as raised:
        shop.migrate()
    assert "private" not in str(raised.value)
    assert read(shop, "ringfence_release", "revision") == [("a1",), ("b2",)]


@pytest.mark.requires("networked")
def test_the_sql_of_an_upgrade_can_be_printed_and_records_releases(shop):
    sql = alembic(shop, "upgrade", "head", "--sql")
    assert "CREATE TABLE IF NOT EXISTS ringfence_release" in sql
    assert re.search(r"INSERT INTO ringfence_release .*'b2'", sql)
    down = alembic(shop, "downgrade", "b2:a1", "--sql")
    assert re.search(r"DELETE FROM ringfence_release WHERE .*'b2'", down)


@pytest.mark.engines("sqlite")
def test_an_engine_the_deployment_does_not_name_is_refused(shop):
    shop.write("ringfence.toml", (shop.root / "ringfence.toml").read_text().replace(', "sqlite"', ""))
    told = alembic(shop, "upgrade", "head", code=1)
    assert "is sqlite" in told
    assert "add 'sqlite' to its engines" in told


@pytest.mark.engines("sqlite", "postgresql", "mariadb")
def test_tables_of_a_later_version_are_left_alone(shop):
    shop.migrate()
    shop.database.execute("UPDATE ringfence_format SET format = 2")
    told = alembic(shop, "upgrade", "head", code=1)
    assert f"have format 2, and this version knows {releases.FORMAT}" in told
