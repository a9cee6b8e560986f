"""Accounts and grants on real servers: what is missing is granted, what is too much is taken, and nothing else."""

import json
import logging
import re
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from ringfence.runtime.settings import Secret
from ringfence.schema.engines import Statement, reach
from ringfence.schema.errors import JobFailed
from ringfence.schema.grants.passwords import MissingPasswords
from ringfence.schema.privileges.apply import Applied, StatementRunner
from ringfence.schema.verification.verify import verify
from servers.mysql_family import _as_admin as as_mysql_admin
from support.deployments import lay_out

pytestmark = [pytest.mark.requires("accounts"), pytest.mark.newer]

CHANGES = re.compile(
    r"\s*(GRANT|REVOKE|CREATE|ALTER|DROP|INSERT|UPDATE|DELETE)\b(?!.*ringfence_lease)", re.IGNORECASE
)


@pytest.fixture
def shop(db, tmp_path):
    return lay_out(tmp_path, db)


@contextmanager
def statements():
    """Every statement that SQLAlchemy sends meanwhile."""
    sent = []

    def hear(connection, cursor, statement, parameters, context, executemany):
        sent.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", hear)
    try:
        yield sent
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", hear)


def proof(shop):
    return verify(shop.load(), shop.settings(), shop.passwords())


def connect(shop, service, password):
    """A raw connection; PyMySQL takes a password that is not Latin-1 as bytes."""
    given = password if shop.database.server.db_type == "postgresql" else password.encode()
    return shop.database.connect(shop.login(service), given)


def denied(shop, service, sql):
    """Whether the server refuses the statement to the account."""
    connection = shop.connect(service)
    try:
        connection.cursor().execute(sql)
    except Exception as error:
        text = str(error).lower()
        assert "denied" in text, text
        return True
    finally:
        connection.close()
    return False


def as_account(shop, service):
    """The account as it is written in a GRANT."""
    login = shop.login(service)
    return f'"{login}"' if shop.database.server.db_type == "postgresql" else f"'{login}'@'%'"


def test_accounts_may_do_what_the_manifest_says_and_nothing_else(shop):
    report = shop.migrate()
    assert sorted(report.access.created) == sorted(map(shop.login, ("till", "report", "door")))
    assert proof(shop).findings == []
    assert not denied(shop, "till", "INSERT INTO customer (id, email, active) VALUES (1, 'a@b', '1')")
    assert not denied(shop, "door", "INSERT INTO purchase (customer_id, amount) VALUES (1, 5)")
    assert denied(shop, "door", "SELECT amount FROM purchase")
    assert denied(shop, "report", "SELECT secret FROM customer")
    assert denied(shop, "till", "CREATE TABLE mine (id INTEGER)")
    assert denied(shop, "till", "SELECT * FROM ringfence_account")


def test_a_second_run_changes_nothing(shop):
    shop.migrate()
    with statements() as sent:
        report = shop.migrate()
    assert report.access.statements == []
    assert report.applied == []
    # The scratch of the comparison is rolled back, or temporary.
    scratch = re.compile(r"ringfence_scratch_| TEMPORARY TABLE ")
    assert [sql for sql in sent if CHANGES.match(sql) and not scratch.search(sql)] == []


def test_undeclared_privileges_are_revoked_and_missing_ones_granted(shop):
    shop.migrate()
    report, till = as_account(shop, "report"), as_account(shop, "till")
    shop.database.execute(
        f"GRANT SELECT (secret), UPDATE (secret) ON customer TO {report}",
        f"GRANT DELETE ON purchase TO {report}",
        f"GRANT SELECT ON ringfence_account TO {report}",
        f"REVOKE INSERT ON customer FROM {till}",
    )
    found = {(finding.kind, finding.table, finding.verb) for finding in proof(shop).findings if finding.table}
    assert found == {
        ("excess", "customer", "select"),
        ("excess", "customer", "update"),
        ("excess", "purchase", "delete"),
        ("excess", "ringfence_account", "select"),
        ("missing", "customer", "insert"),
    }
    again = shop.migrate()
    assert again.access.granted == 4, "a column each"
    assert proof(shop).findings == []
    assert not any(re.search(r"REVOKE ALL", sql) for sql in again.access.statements)


def test_a_table_wide_grant_narrows_to_columns_and_widens_again(shop):
    shop.migrate()
    wide = (shop.root / "access.yaml").read_text()
    shop.write("access.yaml", wide.replace("purchase: ro", "purchase: {select: [id, amount]}"))
    shop.migrate()
    assert proof(shop).findings == []
    assert denied(shop, "report", "SELECT customer_id FROM purchase")
    shop.write("access.yaml", wide)
    shop.migrate()
    assert proof(shop).findings == []


def test_rights_above_the_tables_are_taken_away(shop):
    shop.migrate()
    till = as_account(shop, "till")
    if shop.database.server.db_type == "postgresql":
        shop.database.execute(
            f"GRANT CREATE ON SCHEMA public TO {till}",
            f'CREATE ROLE "{shop.login("strong")}"',
            f'GRANT "{shop.login("strong")}" TO {till}',
        )
    else:
        name = shop.database.name.replace("_", r"\_")
        shop.database.execute(
            f"GRANT CREATE, ALTER ON `{name}`.* TO {till} WITH GRANT OPTION",
            f"GRANT PROCESS ON *.* TO {till}",
            f"GRANT SELECT ON purchase TO {till} WITH GRANT OPTION",
        )
    report = shop.migrate()
    assert report.access.revoked >= 2
    assert denied(shop, "till", "CREATE TABLE mine (id INTEGER)")
    assert shop.migrate().access.statements == []


def test_an_account_that_is_no_longer_declared_is_locked_and_comes_back(shop):
    shop.migrate()
    before = (shop.root / "access.yaml").read_text()
    shop.write("access.yaml", before.partition("  door:")[0])
    gone = shop.migrate()
    assert gone.access.locked == [shop.login("door")]
    with pytest.raises(Exception, match=r"(?i)lock|not permitted|denied"):
        shop.connect("door")
    assert shop.migrate().access.statements == []
    shop.write("access.yaml", before)
    shop.migrate()
    assert proof(shop).findings == []


def test_a_new_password_alters_its_account_alone(shop):
    shop.migrate()
    again = shop.migrate(shop.env(TILL_DB_PASS="yet-another-\u00e4\u2260\U0001f511"))
    assert again.access.passwords == [shop.login("till")]
    assert len(again.access.statements) == 1
    connect(shop, "till", "yet-another-\u00e4\u2260\U0001f511").close()
    with pytest.raises(Exception, match=r"(?i)password|denied"):
        shop.connect("till")


def test_missing_passwords_stop_the_job_before_its_first_statement(shop):
    env = {name: value for name, value in shop.env().items() if not name.startswith(("TILL", "DOOR"))}
    with statements() as sent, pytest.raises(MissingPasswords) as raised:
        shop.migrate(env)
    assert "TILL_DB_PASS" in str(raised.value)
    assert "DOOR_DB_PASS" in str(raised.value)
    assert [sql for sql in sent if CHANGES.match(sql)] == []


def test_an_unmanaged_login_is_not_changed_unless_adopted(shop):
    login = shop.login("till")
    postgresql = shop.database.server.db_type == "postgresql"
    word = "WITH LOGIN PASSWORD" if postgresql else "IDENTIFIED BY"
    shop.database.execute(f"CREATE USER {as_account(shop, 'till')} {word} 'theirs'")
    with pytest.raises(JobFailed, match=rf"access.yaml:\d+: the login '{login}' exists .* --adopt"):
        shop.migrate()
    shop.database.connect(login, "theirs").close() if postgresql else None
    shop.migrate(adopt=True)
    assert proof(shop).findings == []


def test_the_admin_is_no_service(shop):
    access = (shop.root / "access.yaml").read_text()
    admin = shop.database.server.admin_user
    shop.write("access.yaml", access.replace("  till:\n", f"  till:\n    login: {admin}\n"))
    with pytest.raises(JobFailed, match=rf"the login '{admin}' is .*choose another|shadows '{admin}'@'%'"):
        shop.migrate(adopt=True)


def test_odd_logins_are_quoted(shop):
    odd = ["a-b.c", "O'Brien", 'say "x"', "100%s", "back\\slash", "tick`", "ünï"]
    added = "".join(
        f"  odd{number}:\n    login: {json.dumps('PREFIX' + login)}\n    tables: {{purchase: rw}}\n"
        for number, login in enumerate(odd)
    )
    shop.write("access.yaml", (shop.root / "access.yaml").read_text() + added)
    for number, login in enumerate(odd):
        assert shop.load().accounts[f"odd{number}"].login == shop.database.prefix + login
    shop.migrate()
    assert shop.migrate().access.statements == []
    assert proof(shop).findings == []


def test_no_password_is_in_the_echo_or_the_report(shop, caplog):
    with caplog.at_level(logging.DEBUG):
        report = shop.migrate()
        logging.getLogger("sqlalchemy.engine").setLevel(logging.DEBUG)
        try:
            report2 = shop.migrate(shop.env(TILL_DB_PASS="quite-another-8kQ2z"))
        finally:
            logging.getLogger("sqlalchemy.engine").setLevel(logging.NOTSET)
    shown = caplog.text + str(report.as_dict()) + str(report2.as_dict()) + repr(report2)
    assert "CREATE" in str(report.as_dict())
    assert "quite-another-8kQ2z" not in shown
    for service in ("till", "report", "door"):
        assert shop.password(service) not in shown


def test_a_failed_statement_with_a_secret_shows_neither_it_nor_its_cause(shop):
    backend = reach(shop.settings())
    with backend.engine().connect() as connection, pytest.raises(JobFailed) as raised:
        StatementRunner(connection, Applied()).send(
            Statement("CREATE NONSENSE IDENTIFIED BY %s", ("hush",), "CREATE NONSENSE '***'", secret=True)
        )
    assert "hush" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert "CREATE NONSENSE '***'" in str(raised.value)


def test_a_grant_on_a_table_that_no_migration_made_is_reported_with_its_line(shop):
    models = (shop.root / "shop_models.py").read_text()
    shop.write(
        "shop_models.py",
        models
        + "\n\nclass Till(Base):\n    __tablename__ = 'tills'\n    id: Mapped[int] = mapped_column(primary_key=True)\n",
    )
    access = (shop.root / "access.yaml").read_text()
    shop.write("access.yaml", access + "      tills: [insert]\n")
    with pytest.raises(
        JobFailed, match=r"access.yaml:\d+: the database has no table tills; is a migration missing\?"
    ):
        shop.migrate()


@pytest.mark.engines("postgresql")
def test_sequences_are_usable_where_an_insert_draws_from_one(shop):
    shop.migrate()
    rows = shop.database.execute(
        "SELECT r.rolname, c.relname FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) x"
        f" JOIN pg_roles r ON r.oid = x.grantee WHERE c.relkind = 'S' AND r.rolname LIKE '{shop.database.prefix}%'"
    )
    assert sorted(rows) == [
        (shop.login("door"), "purchase_id_seq"),
        (shop.login("till"), "customer_id_seq"),
        (shop.login("till"), "purchase_id_seq"),
    ]


@pytest.mark.engines("postgresql")
def test_create_on_the_schema_public_is_revoked_from_public(shop):
    shop.database.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    report = shop.migrate()
    assert 'REVOKE CREATE ON SCHEMA "public" FROM PUBLIC' in report.access.statements
    assert proof(shop).findings == []


@pytest.mark.engines("postgresql")
def test_a_database_without_connect_for_public_admits_the_accounts(shop):
    shop.database.execute(f'REVOKE CONNECT ON DATABASE "{shop.database.name}" FROM PUBLIC')
    shop.migrate()
    assert proof(shop).findings == []
    assert shop.migrate().access.statements == []


@pytest.mark.engines("postgresql")
def test_all_of_access_is_one_transaction(shop):
    shop.migrate()
    access = (shop.root / "access.yaml").read_text()
    shop.write("access.yaml", access.replace("purchase: ro", "purchase: {select: [id]}"))
    shop.database.execute(
        "CREATE FUNCTION fail() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$",
        "CREATE EVENT TRIGGER no_grants ON ddl_command_end WHEN TAG IN ('GRANT') EXECUTE FUNCTION fail()",
    )
    try:
        with pytest.raises(JobFailed, match="not today"):
            shop.migrate()
    finally:
        shop.database.execute("DROP EVENT TRIGGER no_grants")
    assert not denied(shop, "report", "SELECT customer_id FROM purchase")


@pytest.mark.engines("mariadb", "mysql")
@pytest.mark.parametrize("who", ["", "till"])
def test_an_account_that_shadows_a_service_is_found_before_anything_is_done(shop, who):
    login = shop.login(who) if who else ""
    boss = shop.login("boss")  # an admin of a narrow host, whom nothing shadows
    with as_mysql_admin(shop.database.server) as admin:
        cursor = admin.cursor()
        cursor.execute(f"CREATE USER '{boss}'@'localhost' IDENTIFIED BY 'x'")
        cursor.execute(f"GRANT ALL ON *.* TO '{boss}'@'localhost' WITH GRANT OPTION")
        cursor.execute(f"CREATE USER '{login}'@'localhost' IDENTIFIED BY 'x'")
        try:
            with pytest.raises(JobFailed, match=rf"shadows .*DROP USER '{login}'@'localhost'"):
                shop.migrate(shop.env(DB_USER=boss, DB_PASS="x"))
        finally:
            cursor.execute(f"DROP USER '{login}'@'localhost', '{boss}'@'localhost'")
    assert list(shop.database.execute("SHOW TABLES")) == []


@pytest.mark.engines("mariadb", "galera", "mysql", "postgresql")
def test_a_password_that_is_not_ascii_logs_in(shop):
    for password in ("gr\u00fc\u00dfe", "IX\u00ad", "\u2168 \u00a0x"):
        shop.migrate(shop.env(TILL_DB_PASS=password, RINGFENCE_ENV="test"), allow_weak=True)
        connect(shop, "till", password).close()


def test_settings_hide_the_password_of_the_probe(shop):
    backend = reach(shop.settings())
    assert not backend.login_works(shop.login("nobody"), Secret("nothing"))
    shown = repr(backend.url()) + str(backend.engine().url)
    assert shop.database.server.admin_password == "" or shop.database.server.admin_password not in shown


def test_odd_names_of_tables_and_columns_are_quoted(shop):
    models = (shop.root / "shop_models.py").read_text()
    shop.write(
        "shop_models.py",
        models
        + """

class Odd(Base):
    __tablename__ = "odd-%s table"
    id: Mapped[int] = mapped_column(primary_key=True)
    plain: Mapped[str | None] = mapped_column("100% \\"of\\" `it`", sa.String(9))
    hidden: Mapped[str | None] = mapped_column("O'Brien", sa.String(9))
""",
    )
    shop.write(
        "migrations/versions/c3.py",
        """
        revision = "c3"
        down_revision = "b2"
        import sqlalchemy as sa
        from alembic import op


        def upgrade():
            op.create_table(
                "odd-%s table",
                sa.Column("id", sa.Integer, primary_key=True),
                sa.Column('100% "of" `it`', sa.String(9)),
                sa.Column("O'Brien", sa.String(9)),
            )
        """,
    )
    access = (shop.root / "access.yaml").read_text()
    shop.write(
        "access.yaml", access + '      "odd-%s table": {select: [id, \'100% "of" `it`\'], insert: all}\n'
    )
    shop.migrate()
    assert shop.migrate().access.statements == []
    assert proof(shop).findings == []
