"""SQL of the models comes into a revision as it is: with its colons, percent signs and backslashes."""

import pytest

from support.deployments import TOML, lay_out

ALL = '["postgresql", "mariadb", "galera", "mysql", "sqlite"]'
MODELS = r"""
import sqlalchemy as sa

metadata = sa.MetaData()
sa.Table(
    "rate",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("text", sa.String(40)),
    sa.Column("twice", sa.String(90), sa.Computed("concat(text, ' \\:x 100%')" if CONCAT else "text || ' \\:x 100%'", persisted=True)),
    sa.PrimaryKeyConstraint("id", name="pk_rate"),
    sa.CheckConstraint("text <> ' \\:x' AND text NOT LIKE '5%%'", name="ck_rate"),
)
"""


@pytest.mark.engines("postgresql", "mariadb", "sqlite")
def test_colons_and_percent_signs_stay(db, tmp_path):
    shop = lay_out(tmp_path, db)
    for revision in ("a1", "b2"):
        (shop.root / f"migrations/versions/{revision}.py").unlink()
    shop.write("ringfence.toml", TOML.replace(ALL, f'["{db.server.engine}"]'))
    concat = db.server.engine == "mariadb"
    shop.write("shop_models.py", MODELS.replace("if CONCAT", f"if {concat}"))
    shop.write("access.yaml", "version: 1\naccounts: {}\n")
    written = shop.run("ringfence", "revision", "-m", "first")
    assert written.returncode == 0, written.stdout + written.stderr
    shop.migrate()
    db.execute("INSERT INTO rate (id, text) VALUES (1, 'a'), (2, 'x :y')")
    assert [row[0] for row in db.execute("SELECT twice FROM rate ORDER BY id")] == [
        "a :x 100%",
        "x :y :x 100%",
    ]
    for refused in (" :x", "5%", "55"):
        with pytest.raises(Exception, match="ck_rate"):
            db.execute(f"INSERT INTO rate (id, text) VALUES (3, '{refused}')")


@pytest.mark.engines("postgresql")
def test_percent_signs_of_an_exclude_constraint_stay(db, tmp_path):
    shop = lay_out(tmp_path, db)
    for revision in ("a1", "b2"):
        (shop.root / f"migrations/versions/{revision}.py").unlink()
    shop.write("ringfence.toml", TOML.replace(ALL, f'["{db.server.engine}"]'))
    shop.write("access.yaml", "version: 1\naccounts: {}\n")
    models = (
        "import sqlalchemy as sa\nfrom sqlalchemy.dialects import postgresql\nmetadata = sa.MetaData()\n"
        'sa.Table("offer", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("note", sa.String(40)),'
        ' sa.PrimaryKeyConstraint("id", name="pk_offer"){})\n'
    )
    exclude = (
        """, postgresql.ExcludeConstraint((sa.text("(note || '%')"), "="), where=sa.text("note <> '50%'"),"""
        """ using="btree", name="ex_offer")"""
    )
    for more in ("", exclude):
        shop.write("shop_models.py", models.format(more))
        written = shop.run("ringfence", "revision", "-m", "next")
        assert written.returncode == 0, written.stdout + written.stderr
        shop.migrate()
    (definition,) = db.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ex_offer'"
    )[0]
    assert "%" in definition
    assert "%%" not in definition
    db.execute("INSERT INTO offer (id, note) VALUES (1, '50%'), (2, '50%'), (3, 'a')")
    with pytest.raises(Exception, match="ex_offer"):
        db.execute("INSERT INTO offer (id, note) VALUES (4, 'a')")


# SQLAlchemy gives a CHECK in a column its name, which MySQL takes and MariaDB does not.
@pytest.mark.engines("postgresql", "mysql", "sqlite")
def test_a_check_in_a_column_is_made_once_with_its_table_and_with_its_column(db, tmp_path):
    shop = lay_out(tmp_path, db)
    for revision in ("a1", "b2"):
        (shop.root / f"migrations/versions/{revision}.py").unlink()
    shop.write("ringfence.toml", TOML.replace(ALL, f'["{db.server.engine}"]'))
    shop.write("access.yaml", "version: 1\naccounts: {}\n")
    column = 'sa.Column("{0}", sa.Integer, sa.CheckConstraint("{0} < 9", name="ck_{0}"))'
    models = (
        'import sqlalchemy as sa\nmetadata = sa.MetaData()\nsa.Table("rate", metadata,'
        ' sa.Column("id", sa.Integer, primary_key=True), sa.PrimaryKeyConstraint("id", name="pk_rate"), {})\n'
    )
    for columns in (["few"], ["few", "less"]):
        shop.write("shop_models.py", models.format(", ".join(column.format(name) for name in columns)))
        written = shop.run("ringfence", "revision", "-m", columns[-1])
        assert written.returncode == 0, written.stdout + written.stderr
        shop.migrate()
        for name in columns:
            with pytest.raises(Exception, match=f"ck_{name}|{name} < 9|rate.{name}"):
                db.execute(f"INSERT INTO rate (id, {name}) VALUES (3, 10)")


@pytest.mark.engines("postgresql", "sqlite")
def test_a_difference_that_no_operation_mends_is_not_called_none(db, tmp_path):
    shop = lay_out(tmp_path, db)
    for revision in ("a1", "b2"):
        (shop.root / f"migrations/versions/{revision}.py").unlink()
    shop.write("ringfence.toml", TOML.replace(ALL, f'["{db.server.engine}"]'))
    shop.write("access.yaml", "version: 1\naccounts: {}\n")
    shop.write("shop_models.py", MODELS.replace("if CONCAT", "if False"))
    assert shop.run("ringfence", "revision", "-m", "first").returncode == 0
    shop.migrate()
    shop.write("shop_models.py", MODELS.replace("if CONCAT", "if False").replace("' \\\\:x 100%'", "'!'"))
    second = shop.run("ringfence", "revision", "-m", "second")
    assert second.returncode == 0, second.stdout + second.stderr
    said = " ".join((second.stdout + second.stderr).split())
    assert "No revision was written: the differences below must be written by hand" in said
    assert "by hand (`ringfence revision --empty`): " in said
    assert "rate.twice" in said
    assert "say nothing" not in said
