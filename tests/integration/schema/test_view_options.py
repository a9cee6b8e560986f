"""What replacing a view takes away, on each server: what the lint's rule for it (RF410) rests on."""

import pytest

pytestmark = [pytest.mark.engines("postgresql", "mysql", "mariadb", "galera"), pytest.mark.newer]
FAMILY = pytest.mark.engines("mysql", "mariadb", "galera")
OPTIONS = "SELECT reloptions FROM pg_class WHERE relname = 'v'"
SECURITY = (
    "SELECT security_type, check_option, definer = 'someone@%' FROM information_schema.views"
    " WHERE table_schema = DATABASE()"
)
INVOKER = (
    "CREATE OR REPLACE ALGORITHM=MERGE DEFINER='someone'@'%' SQL SECURITY INVOKER VIEW v AS SELECT id FROM t WHERE id > 1"
    " WITH LOCAL CHECK OPTION"
)


@pytest.mark.engines("postgresql")
def test_postgresql_keeps_only_the_options_that_are_named(db):
    db.execute(
        "CREATE TABLE t (id INTEGER)",
        "CREATE VIEW v WITH (security_invoker = true, security_barrier) AS SELECT id FROM t WHERE id > 1"
        " WITH LOCAL CHECK OPTION",
    )
    assert db.execute(OPTIONS) == [
        (["security_invoker=true", "security_barrier=true", "check_option=local"],)
    ]
    db.execute("CREATE OR REPLACE VIEW v WITH (security_barrier) AS SELECT id FROM t WHERE id > 2")
    assert db.execute(OPTIONS) == [(["security_barrier=true"],)]
    db.execute("ALTER VIEW v SET (security_invoker = true)", "ALTER VIEW v RESET (security_barrier)")
    assert db.execute(OPTIONS) == [(["security_invoker=true"],)]
    db.execute("CREATE OR REPLACE VIEW v AS SELECT id FROM t WHERE id > 2")
    assert db.execute(OPTIONS) == [(None,)]


@FAMILY
def test_the_family_gives_defaults_for_what_is_not_named(db):
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)", INVOKER)
    assert db.execute(SECURITY) == [("INVOKER", "LOCAL", 1)]
    db.execute("CREATE OR REPLACE VIEW v AS SELECT id FROM t WHERE id > 2")
    assert db.execute(SECURITY) == [("DEFINER", "NONE", 0)]
    assert "ALGORITHM=UNDEFINED" in db.execute("SHOW CREATE VIEW v")[0][1]


@FAMILY
def test_alter_view_keeps_all_but_the_check_option(db):
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)", INVOKER)
    db.execute("ALTER VIEW v AS SELECT id FROM t WHERE id > 2")
    assert db.execute(SECURITY) == [("INVOKER", "NONE", 1)]
    assert "ALGORITHM=MERGE" in db.execute("SHOW CREATE VIEW v")[0][1]
