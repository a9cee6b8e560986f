"""`access verify` admits what a made-up row and a unique index leave open, and asks of a sequence what drawing needs."""

import pytest

from ringfence.runtime import AccessDenied, Database, Mirror, Settings
from ringfence.schema.privileges.service import apply_access
from ringfence.schema.verification.verify import verify
from support.deployments import lay_out_created

MODELS = """
import sqlalchemy as sa

metadata = sa.MetaData()
sa.Table(
    "person",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("tenant", sa.String(20), nullable=False),
    sa.Column("email", sa.String(100), nullable=False),
    sa.Column("code", sa.String(20)),
)
sa.Index("in_lower_case", sa.func.lower(metadata.tables["person"].c.email), unique=True).ddl_if(dialect="postgresql")
sa.Index(
    "of_some",
    metadata.tables["person"].c.code,
    unique=True,
    postgresql_where=metadata.tables["person"].c.code > "a",
    sqlite_where=metadata.tables["person"].c.code > "a",
    mysql_length=4,
    mariadb_length=4,
)
sa.Table(
    "entry",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("words", sa.String(40), nullable=False),
)
sa.Table(
    "counted",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("words", sa.String(40), nullable=False),
)
"""
ACCESS = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  desk:
    tables:
      person: {verbs: rw, rows: {tenant: a}}
  log:
    tables:
      entry: [insert]
      counted: [insert]
"""
RAISES = {
    "postgresql": [
        "CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not now''; END'",
        "CREATE TRIGGER refuses BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION refused()",
    ],
    "mysql": [
        "CREATE TRIGGER refuses BEFORE INSERT ON entry FOR EACH ROW"
        " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not now'"
    ],
}


@pytest.fixture(scope="module")
def applied(server, tmp_path_factory):
    with server.database() as database:
        shop = lay_out_created(tmp_path_factory.mktemp("unproven"), database, MODELS, ACCESS)
        shop.migrate()
        yield shop


@pytest.fixture
def shop(applied):
    yield applied
    apply_access(applied.load(), applied.env())


def prove(shop):
    return verify(shop.load(), shop.settings(), shop.passwords())


@pytest.mark.engines("postgresql", "mariadb", "mysql")
def test_a_row_that_is_refused_for_another_reason_proves_nothing(shop):
    before = prove(shop)
    assert before.findings == []
    assert before.allowed + before.refused == before.attempts
    shop.database.execute(*RAISES[shop.database.server.db_type])
    try:
        proof = prove(shop)
    finally:
        on = " ON entry" if shop.database.server.db_type == "postgresql" else ""
        shop.database.execute(f"DROP TRIGGER refuses{on}")
    assert [f for f in proof.findings if f.kind != "excess"] == []
    [said] = [w for w in proof.warnings if "insert on entry" in w]
    assert said.startswith(
        "not proven: log: insert on entry: a generated row was refused, for another reason than"
    )
    # What the trigger says may hold data, and is in no message of ours.
    assert ("P0001" in said) if shop.database.server.db_type == "postgresql" else ("1644" in said)
    assert (proof.attempts, proof.allowed) == (before.attempts, before.allowed - 1)


@pytest.mark.engines("postgresql", "mariadb")
def test_a_partial_or_expression_unique_index_is_reported_as_not_tried(shop):
    shop.database.execute(
        "INSERT INTO person (id, tenant, email, code) VALUES (1, 'a', 'one@a', 'x1'), (2, 'b', 'two@b', 'x2')"
    )
    try:
        proof = prove(shop)
    finally:
        shop.database.execute("DELETE FROM person")
    assert proof.findings == []
    said = {w.rpartition("unique index ")[2] for w in proof.warnings if "the unique index" in w}
    lower = {"in_lower_case was not tried"} if shop.database.server.db_type == "postgresql" else set()
    assert said == {"of_some was not tried", *lower}


# -- what a sequence asks for on PostgreSQL


def tried(shop, sql):
    """Whether the account of `log` may run it."""
    settings = Settings.from_env(shop.database.env(shop.login("log"), shop.password("log")))
    with Database(settings, Mirror.load(shop.root / "mirrors/log.json")) as database:
        try:
            with database.session() as dal:
                dal.executesql(sql or database.backend.sequence_privilege_probe(None, "entry_id_seq"))
        except AccessDenied:
            return False
        return True


def drawn(shop):
    return shop.database.execute("SELECT last_value, is_called FROM entry_id_seq")[0]


@pytest.mark.requires("row_security")
@pytest.mark.parametrize(
    ("rights", "draws", "sets"),
    [("USAGE", True, False), ("UPDATE", True, True), ("SELECT", False, False), ("", False, False)],
)
def test_drawing_needs_usage_or_update_and_setting_needs_update(shop, rights, draws, sets):
    who = f'"{shop.login("log")}"'
    shop.database.execute(f"REVOKE ALL ON SEQUENCE entry_id_seq FROM {who}")
    if rights:
        shop.database.execute(f"GRANT {rights} ON SEQUENCE entry_id_seq TO {who}")
    before = drawn(shop)
    assert tried(shop, None) is draws
    assert drawn(shop) == before
    assert tried(shop, "INSERT INTO entry (words) VALUES ('a')") is draws
    assert tried(shop, "SELECT setval('entry_id_seq', 7)") is sets
    # An identity is drawn by the server itself.
    assert tried(shop, "INSERT INTO counted (words) VALUES ('a')") is True
    shop.database.execute("DELETE FROM entry", "DELETE FROM counted")
    found = {(f.kind, f.service, f.verb, f.table) for f in prove(shop).findings}
    assert (
        found
        == {
            "USAGE": set(),
            "UPDATE": {
                ("excess", "log", "update", "sequence entry_id_seq"),
                ("missing", "log", "usage", "sequence entry_id_seq"),
            },
            "SELECT": {
                ("missing", "log", "insert", "entry"),
                ("excess", "log", "select", "sequence entry_id_seq"),
            },
            "": {("missing", "log", "insert", "entry")},
        }[rights]
    )
