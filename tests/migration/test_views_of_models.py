"""Views, triggers and functions that the models make: revisions make them too, and see what was changed by hand."""

import pytest

from ringfence.schema.authoring.revise import revise
from ringfence.schema.errors import Drift
from support.deployments import lay_out

pytestmark = pytest.mark.newer

VIEW = """

shown = sa.CreateView(
    sa.select(Customer.__table__.c.id, Customer.__table__.c.email).where(Customer.__table__.c.active),
    "shown",
    metadata=metadata,
)
"""
PERCENT = """

rest = sa.CreateView(
    sa.select(Customer.__table__.c.id).where(
        Customer.__table__.c.email.like("a%"), Customer.__table__.c.id % 2 == 1
    ),
    "rest",
    metadata=metadata,
)
"""
TRIGGER = """

sa.event.listen(Customer.__table__, "after_create", sa.DDL(
    "CREATE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS "
    "'BEGIN NEW.email := lower(NEW.email); RETURN NEW; END'"
).execute_if(dialect="postgresql"))
sa.event.listen(Customer.__table__, "after_create", sa.DDL(
    "CREATE TRIGGER noted BEFORE INSERT ON customer FOR EACH ROW EXECUTE FUNCTION note_it()"
).execute_if(dialect="postgresql"))
"""
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
    shop = lay_out(tmp_path, db)
    shop.write("access.yaml", ACCESS)
    shop.run("ringfence", "mirror")
    shop.migrate()
    return shop


def add(shop, text):
    shop.write("shop_models.py", (shop.root / "shop_models.py").read_text() + text)


@pytest.mark.engines("sqlite", "postgresql", "mariadb", "mysql")
def test_a_view_of_the_models_is_made_and_taken_back_by_revisions(shop):
    add(shop, VIEW)
    shop.write("access.yaml", ACCESS + "    views: {shown: ro}\n")
    made = revise(shop.load(), "a view", shop.database.env())
    assert not made.findings
    assert not [text for text in made.warnings if "shown" in text]
    text = made.path.read_text()
    assert "online.execute_on(" in text
    assert "create_table" not in text
    shop.migrate()
    shop.database.execute("INSERT INTO customer (id, email, active) VALUES (1, 'a@b', '1'), (2, 'c@d', '0')")
    assert shop.database.execute("SELECT id, email FROM shown") == [(1, "a@b")]
    assert shop.run("alembic", "check").returncode == 0
    assert not revise(shop.load(), "nothing", shop.database.env()).paths
    assert shop.run("alembic", "downgrade", "-1").returncode == 0
    with pytest.raises(Exception, match="shown"):
        shop.database.execute("SELECT id FROM shown")


@pytest.mark.engines("sqlite", "postgresql", "mysql", "mariadb")
def test_a_view_that_was_replaced_by_hand_is_seen(shop):
    add(shop, VIEW)
    revise(shop.load(), "a view", shop.database.env())
    shop.migrate()
    shop.database.execute("DROP VIEW shown", "CREATE VIEW shown AS SELECT id, email FROM customer")
    with pytest.raises(Drift, match="modify view shown: definition"):
        shop.migrate()


@pytest.mark.engines("sqlite", "postgresql", "mysql", "mariadb")
def test_a_percent_sign_in_a_view_stays_one(shop):
    add(shop, PERCENT)
    revise(shop.load(), "the rest", shop.database.env())
    shop.migrate()
    shop.database.execute("INSERT INTO customer (id, email, active) VALUES (1, 'a@b', '1'), (2, 'a@d', '0')")
    assert shop.database.execute("SELECT id FROM rest") == [(1,)]
    assert not revise(shop.load(), "nothing", shop.database.env()).paths


@pytest.mark.engines("postgresql")
def test_a_view_comes_back_as_it_was_with_its_kind_and_options(shop):
    add(shop, VIEW)
    revise(shop.load(), "a view", shop.database.env())
    shop.migrate()
    kept = "SELECT relkind::text, reloptions FROM pg_class WHERE relname = 'shown'"
    for statements in (
        (
            "DROP VIEW shown",
            "CREATE VIEW shown WITH (security_invoker=true) AS SELECT id, email FROM customer",
        ),
        ("DROP VIEW shown", "CREATE MATERIALIZED VIEW shown AS SELECT id, email FROM customer"),
    ):
        shop.database.execute(*statements)
        before = shop.database.execute(kept)
        revise(shop.load(), "as the models say", shop.database.env())
        shop.run("alembic", "upgrade", "head")
        assert shop.database.execute(kept) == [("v", None)]
        assert shop.run("alembic", "downgrade", "-1").returncode == 0
        assert shop.database.execute(kept) == before
        assert shop.run("alembic", "upgrade", "head").returncode == 0


KEPT = (
    "SELECT security_type, check_option FROM information_schema.views"
    " WHERE table_schema = DATABASE() AND table_name = 'shown'"
)


@pytest.mark.engines("mysql", "mariadb")
@pytest.mark.parametrize(
    ("security", "check", "has", "other"),
    [
        ("SQL SECURITY INVOKER ", "", ("INVOKER", "NONE"), "security"),
        ("", " WITH LOCAL CHECK OPTION", ("DEFINER", "LOCAL"), "check option"),
        ("SQL SECURITY DEFINER ", " WITH CHECK OPTION", ("DEFINER", "CASCADED"), "check option"),
    ],
)
def test_a_revision_keeps_the_options_that_the_models_give_a_view(shop, security, check, has, other):
    select = "SELECT id, email FROM customer WHERE id > 0"
    statement = f"CREATE {security}VIEW shown AS {select}{check}"
    add(shop, f'\n\nsa.event.listen(Customer.__table__, "after_create", sa.DDL({statement!r}))\n')
    assert revise(shop.load(), "a view", shop.database.env()).paths
    shop.migrate()
    assert shop.database.execute(KEPT) == [has]
    assert not revise(shop.load(), "nothing", shop.database.env()).paths
    models = (shop.root / "shop_models.py").read_text()
    shop.write("shop_models.py", models.replace("id > 0", "id > 5"))
    revise(shop.load(), "another query", shop.database.env())
    shop.migrate()
    assert shop.database.execute(KEPT) == [has]
    assert shop.run("alembic", "downgrade", "-1").returncode == 0
    assert shop.database.execute(KEPT) == [has]
    shop.migrate()
    # Replaced by hand without its options, it is another view.
    shop.database.execute("CREATE OR REPLACE VIEW shown AS SELECT id, email FROM customer WHERE id > 5")
    with pytest.raises(Drift, match=f"modify view shown: {other}"):
        shop.migrate()
    revise(shop.load(), "as the models say", shop.database.env())
    shop.run("alembic", "upgrade", "head")
    assert shop.database.execute(KEPT) == [has]
    assert shop.run("alembic", "check").returncode == 0


ROUTINES = """

for name, kind in (("Mixed", "FUNCTION"), ("steps", "PROCEDURE")):
    sa.event.listen(metadata, "after_create", sa.DDL(
        f'CREATE {kind} "{name}"(a int) ' + ("RETURNS int " if kind == "FUNCTION" else "")
        + "LANGUAGE sql AS 'SELECT 1'"
    ))
sa.event.listen(metadata, "after_create", sa.DDL(
    "CREATE FUNCTION Folded() RETURNS int LANGUAGE sql AS 'SELECT 1'"
))
"""


@pytest.mark.engines("postgresql")
def test_routines_of_every_kind_and_spelling_go_again(shop):
    add(shop, ROUTINES)
    made = revise(shop.load(), "routines", shop.database.env())
    assert not [text for text in made.warnings if "by hand" in text]
    shop.migrate()
    there = "SELECT proname FROM pg_proc WHERE proname IN ('Mixed', 'steps', 'folded') ORDER BY 1"
    assert len(shop.database.execute(there)) == 3
    assert shop.run("alembic", "downgrade", "-1").returncode == 0
    assert shop.database.execute(there) == []


@pytest.mark.engines("postgresql")
def test_a_function_and_a_trigger_are_made_in_their_order_and_seen_when_replaced(shop):
    add(shop, TRIGGER)
    made = revise(shop.load(), "notes", shop.database.env())
    assert not made.findings
    shop.migrate()
    shop.database.execute("INSERT INTO customer (id, email, active) VALUES (1, 'A@B', true)")
    assert shop.database.execute("SELECT email FROM customer") == [("a@b",)]
    shop.database.execute(
        "CREATE OR REPLACE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
    )
    with pytest.raises(Drift, match=r"modify function note_it\(\): body"):
        shop.migrate()
    assert shop.run("alembic", "downgrade", "-1").returncode == 0
    assert shop.database.execute("SELECT count(*) FROM pg_trigger WHERE tgname = 'noted'") == [(0,)]


@pytest.mark.engines("sqlite", "postgresql", "mysql", "mariadb")
def test_the_way_back_of_a_changed_view_quotes_its_name(shop):
    add(shop, VIEW.replace('"shown"', '"Shown now"'))
    revise(shop.load(), "a view", shop.database.env())
    shop.migrate()
    models = (shop.root / "shop_models.py").read_text()
    shop.write("shop_models.py", models.replace("c.active),", "c.active.is_(False)),"))
    assert revise(shop.load(), "the others", shop.database.env()).paths
    shop.migrate()
    assert shop.run("alembic", "downgrade", "-1").returncode == 0
    assert shop.run("alembic", "upgrade", "head").returncode == 0  # which drops the view that is to be back
    assert shop.run("alembic", "check").returncode == 0


@pytest.mark.engines("sqlite", "postgresql", "mariadb")
def test_a_percent_sign_in_ddl_of_the_models_is_one(shop):
    statement = "CREATE VIEW shown AS SELECT id FROM customer WHERE email LIKE 'a%%:b'"
    add(shop, f'\n\nsa.event.listen(Customer.__table__, "after_create", sa.DDL({statement!r}))\n')
    revise(shop.load(), "a view", shop.database.env())
    shop.migrate()
    assert shop.run("alembic", "check").returncode == 0
    shop.database.execute("INSERT INTO customer (id, email, active) VALUES (1, 'ax:b', '1'), (2, 'ax', '1')")
    assert shop.database.execute("SELECT id FROM shown") == [(1,)]


@pytest.mark.engines("sqlite", "postgresql")
def test_an_index_that_the_models_make_in_ddl_of_their_own_is_made(shop):
    statement = 'CREATE UNIQUE INDEX "by mail" ON customer (email)'
    add(shop, f'\n\nsa.event.listen(Customer.__table__, "after_create", sa.DDL({statement!r}))\n')
    assert "op.create_index" not in revise(shop.load(), "an index", shop.database.env()).path.read_text()
    shop.migrate()
    assert shop.run("alembic", "check").returncode == 0
    assert shop.run("alembic", "downgrade", "-1").returncode == 0
    assert shop.run("alembic", "upgrade", "head").returncode == 0  # which makes the index that is to be gone


@pytest.mark.engines("postgresql")
def test_an_enum_type_that_no_column_has_is_made(shop):
    add(shop, '\n\nmood = sa.Enum("ok", "it\'s", name="Mood", metadata=metadata)\n')
    assert revise(shop.load(), "a type", shop.database.env()).paths
    shop.migrate()
    assert shop.database.execute('SELECT enum_range(NULL::"Mood")::text') == [("{ok,it's}",)]
    assert shop.run("alembic", "check").returncode == 0
    assert shop.run("alembic", "downgrade", "-1").returncode == 0
    assert shop.database.execute("SELECT count(*) FROM pg_type WHERE typname = 'Mood'") == [(0,)]


NEEDED = """

sa.event.listen(metadata, "before_create", sa.DDL(
    "CREATE FUNCTION numbered() RETURNS int LANGUAGE sql AS 'SELECT 7'"
))
for name in ("one", "two"):
    given = sa.Table(
        name,
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("n", sa.Integer, server_default=sa.text("numbered()")),
        sa.Column("m", sa.Integer),
    )
    sa.event.listen(given, "after_create", sa.DDL(f"CREATE UNIQUE INDEX {name}_m ON {name} ((m + 1))"))
    sa.event.listen(given, "after_create", sa.DDL(
        "CREATE TRIGGER same BEFORE UPDATE ON %(fullname)s"
        " FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    ))
"""


@pytest.mark.engines("postgresql")
def test_one_revision_makes_what_new_tables_need_and_what_is_made_with_them(shop):
    add(shop, NEEDED)
    made = revise(shop.load(), "two", shop.database.env())
    assert not [text for text in made.warnings if "by hand" in text]
    shop.migrate()
    assert not revise(shop.load(), "nothing", shop.database.env()).paths
    shop.database.execute("INSERT INTO two (id) VALUES (1)")
    assert shop.database.execute("SELECT n FROM two") == [(7,)]
    assert shop.run("alembic", "downgrade", "-1").returncode == 0
    assert not shop.database.execute("SELECT 1 FROM pg_proc WHERE proname = 'numbered'")


@pytest.mark.engines("sqlite", "postgresql", "mariadb", "mysql")
def test_a_percent_sign_and_a_colon_in_the_name_of_a_view_stay_both_ways(shop):
    mark = "`" if shop.database.server.db_type == "mysql" else '"'
    name = f"{mark}50%:x{mark}"
    models = (shop.root / "shop_models.py").read_text()
    for email in ("a", "b"):
        statement = f"CREATE VIEW {name} AS SELECT id FROM customer WHERE email = '{email}'".replace(
            "%", "%%"
        )
        text = f'{models}\n\nsa.event.listen(Customer.__table__, "after_create", sa.DDL({statement!r}))\n'
        shop.write("shop_models.py", text)
        assert revise(shop.load(), f"view of {email}", shop.database.env()).paths
        shop.migrate()
        assert shop.run("alembic", "check").returncode == 0
    assert shop.run("alembic", "downgrade", "-1").returncode == 0
    shop.database.execute("INSERT INTO customer (id, email, active) VALUES (1, 'a', '1'), (2, 'b', '1')")
    assert shop.database.execute(f"SELECT id FROM {name}") == [(1,)]
    assert shop.run("alembic", "downgrade", "-1").returncode == 0
    with pytest.raises(Exception, match="50%"):
        shop.database.execute(f"SELECT id FROM {name}")
