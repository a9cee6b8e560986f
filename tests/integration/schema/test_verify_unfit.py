"""`access verify` on a table that refuses the rows that a proof makes up: no excess, no failure, and the reason is said."""

from ringfence.schema.verification.verify import verify
from support.deployments import lay_out_created

MODELS = """
import sqlalchemy as sa

metadata = sa.MetaData()
person = sa.Table(
    "person",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("tenant", sa.String(20), nullable=False, index=True),
    sa.Column("email", sa.String(100), nullable=False, unique=True, info={"sensitive": True}),
    sa.Column("code", sa.String(20), nullable=False, unique=True),
    sa.Column("kind", sa.Enum("x", "y", "z", name="kinds"), nullable=False),
    sa.Column("body", sa.JSON),
    sa.Column("slot", sa.Integer),
    sa.Column("twice", sa.Integer, sa.Computed("slot * 2", persisted=True)),
    sa.PrimaryKeyConstraint("id", name="pk_person"),
    sa.CheckConstraint("email LIKE '_%@_%'", name="ck_person_email"),
    sa.CheckConstraint("code LIKE 'c-_%'", name="ck_person_code"),
    sa.UniqueConstraint("kind", "slot", name="uq_person_kind"),
)
sa.Index("ix_person_twice", person.c.twice, unique=True)
"""
ACCESS = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  desk:
    tables:
      person: {verbs: rw, also: [email], rows: {tenant: a}}
  form:
    tables:
      person:
        rows: {tenant: a}
        select: [id, tenant]
        insert: [tenant, email, code, kind, slot]
        update: [email, slot]
  short:
    tables:
      person: {rows: {tenant: a}, select: [id, tenant], insert: [tenant, code, kind]}
"""


def test_rows_that_the_table_refuses_from_anybody_prove_nothing_and_fail_nothing(db, tmp_path):
    shop = lay_out_created(tmp_path, db, MODELS, ACCESS)
    shop.migrate()
    rows = (
        "(1, 'a', 'one@a', 'c-1', 'x', '{}', 1), (2, 'b', 'two@b', 'c-2', 'y', '{}', 2),"
        " (3, 'b', 'three@b', 'c-3', 'z', '{}', NULL)"
    )
    shop.database.execute(f"INSERT INTO person (id, tenant, email, code, kind, body, slot) VALUES {rows}")
    proof = verify(shop.load(), shop.settings(), shop.passwords())
    assert [str(finding) for finding in proof.findings] == []
    said = [warning for warning in proof.warnings if warning.startswith("not proven: ")]
    inside = "insert on person: a row inside its scope: an insert:"
    assert any(f"desk: {inside} the row is refused by ck_person_email" in warning for warning in said), said
    assert any(f"short: {inside} no value was given" in warning for warning in said), said
    assert not any("update on person" in warning or "delete on person" in warning for warning in said), said
