"""`access verify` inserts rows that it makes up: what an insert needs beside its privilege, and keys that it may not know."""

import pytest

from ringfence.schema.verification.verify import verify
from support.deployments import lay_out_created

MODELS = """
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

metadata = sa.MetaData()


class Base(DeclarativeBase):
    metadata = metadata


class Person(Base):
    __tablename__ = "person"
    __table_args__ = (sa.UniqueConstraint("tenant", "badge"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(sa.String(20))
    email: Mapped[str] = mapped_column(sa.String(100), unique=True, info={"sensitive": True})
    badge: Mapped[str | None] = mapped_column(sa.String(20), info={"sensitive": True})
    born: Mapped[sa.Date] = mapped_column(sa.Date, unique=True, info={"sensitive": True})
    joined: Mapped[sa.Date] = mapped_column(sa.Date)


class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(sa.ForeignKey("person.id"))
    words: Mapped[str] = mapped_column(sa.String(40))


class Entry(Base):
    __tablename__ = "entry"
    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[str] = mapped_column(sa.String(40))
"""
ACCESS = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  desk:
    tables:
      person: {verbs: rw, also: [email, badge, born], rows: {tenant: a}}
  front:
    tables:
      person: {verbs: rw, also: [email, badge, born]}
      note: rw
      entry: rw
  log:
    tables:
      entry: [insert]
"""


@pytest.fixture(scope="module")
def shop(server, tmp_path_factory):
    with server.database() as database:
        shop = lay_out_created(tmp_path_factory.mktemp("made"), database, MODELS, ACCESS)
        shop.migrate()
        yield shop


def prove(shop, **options):
    return verify(shop.load(), shop.settings(), shop.passwords(), **options)


def test_a_key_whose_values_are_not_sent_is_no_excess(shop):
    shop.database.execute(
        "INSERT INTO person (id, tenant, email, badge, born, joined)"
        " VALUES (1, 'a', 'one@a', 'x', '2001-01-01', '2020-01-01'), (2, 'b', 'two@b', 'x', '2002-01-01', '2020-01-01')"
    )
    try:
        proof = prove(shop)
        assert proof.findings == []
        said = [w for w in proof.warnings if "by which an upsert could match" in w]
        assert sorted(w.partition("value of ")[2].partition(" by")[0] for w in said) == ["(born)", "(email)"]
        rows = shop.database.execute("SELECT id, tenant, email FROM person ORDER BY id")
        assert [tuple(row) for row in rows] == [(1, "a", "one@a"), (2, "b", "two@b")]
    finally:
        shop.database.execute("DELETE FROM person")


@pytest.mark.engines("postgresql")
def test_a_sequence_without_its_privilege_is_missed(shop):
    shop.database.execute(f'REVOKE ALL ON SEQUENCE entry_id_seq FROM "{shop.login("log")}"')
    try:
        found = prove(shop).findings
        assert [(f.service, f.kind, f.verb, f.table) for f in found] == [
            ("log", "missing", "insert", "entry")
        ]
        assert "entry_id_seq" in found[0].message
        assert prove(shop, services=["front"]).findings == []
        assert prove(shop, services=["front"]).accounts == ["front"]
    finally:
        shop.database.execute(f'GRANT USAGE ON SEQUENCE entry_id_seq TO "{shop.login("log")}"')
    assert prove(shop).findings == []


@pytest.mark.engines("postgresql")
def test_a_function_that_a_trigger_s_condition_calls_is_missed(shop):
    shop.database.execute(
        "CREATE FUNCTION worth(words text) RETURNS boolean LANGUAGE sql AS 'SELECT length(words) > 0'",
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER looked BEFORE INSERT ON entry FOR EACH ROW WHEN (worth(NEW.words)) EXECUTE FUNCTION nothing()",
        "REVOKE EXECUTE ON FUNCTION worth(text) FROM PUBLIC",
    )
    try:
        found = prove(shop).findings
        assert {(f.service, f.kind, f.verb, f.table) for f in found} == {
            ("log", "missing", "insert", "entry"),
            ("front", "missing", "insert", "entry"),
        }
        assert all("worth" in f.message for f in found)
    finally:
        shop.database.execute(
            "DROP TRIGGER looked ON entry", "DROP FUNCTION worth(text)", "DROP FUNCTION nothing()"
        )


@pytest.mark.engines("mariadb", "mysql")
def test_a_table_that_does_not_roll_back_is_left_alone(shop):
    shop.database.execute("ALTER TABLE entry ENGINE = MyISAM")
    try:
        proof = prove(shop)
        assert proof.findings == []
        assert shop.database.execute("SELECT COUNT(*) FROM entry")[0][0] == 0
        said = [w for w in proof.warnings if "keeps rows after a rollback" in w]
        assert [w.split(": ")[1:3] for w in said] == [
            ["front", "entry is of a storage engine that keeps rows after a rollback"],
            ["log", "entry is of a storage engine that keeps rows after a rollback"],
        ]
    finally:
        shop.database.execute("ALTER TABLE entry ENGINE = InnoDB")


def test_one_service_is_proven_with_its_own_password(shop):
    everybody = {f"{name}_DB_PASS": "" for name in ("FRONT", "LOG")}
    done = shop.run("ringfence", "--json", "access", "verify", "--service", "desk", **everybody)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"accounts": ["desk"]' in " ".join(done.stdout.split()).replace("[ ", "[").replace(" ]", "]")
    wrong = shop.run("ringfence", "access", "verify", "--service", "desc")
    assert wrong.returncode == 3
    assert "there is no account 'desc'" in wrong.stderr
    assert "desk" in wrong.stderr
