"""Each rule of the lint: that it fires where it should, on the engines it should, and nowhere else."""

import pytest

from ringfence.schema.lint.rules import RULES
from ringfence.schema.models.types import ENGINES
from support.lint_cases import Bench, told

PG = {"postgresql"}
FAMILY = {"mysql", "mariadb", "galera"}
SERVERS = PG | FAMILY
ALL = set(ENGINES)
BATCH = "with op.batch_alter_table('thing') as batch:\n    "
AUTOCOMMIT = "with op.get_context().autocommit_block():\n    "
NEW = (
    "op.create_table('fresh', sa.Column('id', sa.Integer, primary_key=True), sa.Column('a', sa.String(40)))\n"
)
GALERA = {"galera"}
ADDED = BATCH + "batch.add_column(sa.Column('x', sa.Integer))"
EVENT = "op.execute('{} EVENT tidy ON SCHEDULE EVERY 1 DAY DO DELETE FROM thing')"
INVOKER = "op.execute('CREATE VIEW v WITH (security_invoker = true) AS SELECT 1')\n"
SECURED = "op.execute('CREATE DEFINER=`a`@`%` SQL SECURITY INVOKER VIEW s.v AS SELECT 1')\n"
CHECKED = "op.execute('CREATE VIEW v AS SELECT id FROM thing WITH CASCADED CHECK OPTION')\n"
REPLACED = "op.execute('CREATE OR REPLACE VIEW v AS SELECT 2')"
ONLINE = "from ringfence.schema.revisions import online\n"
LABELLED = "batch.alter_column('kind', type_=sa.Enum('a', 'b', 'c', name='kind'))"
KEYED = (
    "op.create_table('keyed', sa.Column('id', sa.Integer, primary_key=True),"
    " sa.Column('o', sa.Integer, sa.ForeignKey('thing.id', name='fk_o')))\n"
    "op.create_index('ix_o', 'keyed', ['o', 'id'])\n"
)

# The rule, what the upgrade does, and the engines on which it fires.
FIRES = [
    ("RF410", INVOKER + "op.execute('CREATE OR REPLACE VIEW v AS SELECT 2')", PG),
    ("RF410", INVOKER + "op.execute('create or replace view \"v\" with (security_barrier) as select 2')", PG),
    (
        "RF410",
        INVOKER
        + "op.execute('ALTER VIEW v RENAME TO w')\nop.execute('CREATE OR REPLACE VIEW w AS SELECT 2')",
        PG,
    ),
    (
        "RF410",
        "op.execute('CREATE VIEW v AS SELECT 1')\nop.execute('ALTER VIEW v SET (security_invoker)')\n"
        "op.execute('CREATE OR REPLACE VIEW v AS SELECT 2')",
        PG,
    ),
    ("RF410", SECURED + "op.execute('CREATE OR REPLACE VIEW s.v AS SELECT 2')", FAMILY),
    (
        "RF410",
        SECURED + "op.execute('CREATE OR REPLACE DEFINER=CURRENT_USER VIEW `s`.`v` AS SELECT 2')",
        FAMILY,
    ),
    ("RF410", CHECKED + "op.execute('CREATE OR REPLACE VIEW v AS SELECT 2')", SERVERS),
    ("RF410", CHECKED + "op.execute('ALTER VIEW v AS SELECT 2')", FAMILY),
    ("RF410", "op.execute('CREATE OR REPLACE VIEW unknown AS SELECT 2')", SERVERS),
    ("RF101", "op.drop_table('thing')", ALL),
    ("RF102", "op.drop_column('thing', 'note')", ALL),
    ("RF102", BATCH + "batch.drop_column('note')", ALL),
    ("RF103", "op.rename_table('thing', 'item')", ALL),
    ("RF104", BATCH + "batch.alter_column('note', new_column_name='remark')", ALL),
    ("RF105", BATCH + "batch.alter_column('note', type_=sa.String(39))", ALL),
    ("RF105", BATCH + "batch.alter_column('size', type_=sa.SmallInteger())", ALL),
    ("RF105", BATCH + "batch.alter_column('price', type_=sa.Numeric(8, 1))", ALL),
    ("RF105", BATCH + "batch.alter_column('note', type_=sa.Integer())", ALL),
    ("RF201", "op.create_index('ix', 'thing', ['note'])", PG | {"galera"}),
    ("RF201", BATCH + "batch.create_index('ix', ['note'])", PG | {"galera"}),
    ("RF201", BATCH + "batch.add_column(sa.Column('x', sa.Integer, index=True))", PG | {"galera"}),
    ("RF202", BATCH + "batch.alter_column('note', nullable=False)", SERVERS),
    ("RF203", BATCH + "batch.create_foreign_key('fk', 'owner', ['owner_id'], ['id'])", SERVERS),
    ("RF203", "op.create_foreign_key('fk', 'thing', 'owner', ['owner_id'], ['id'])", SERVERS),
    ("RF203", BATCH + "batch.add_column(sa.Column('o', sa.Integer, sa.ForeignKey('owner.id')))", SERVERS),
    ("RF204", BATCH + "batch.alter_column('size', type_=sa.BigInteger())", SERVERS),
    ("RF204", BATCH + "batch.alter_column('note', type_=sa.String(100))", FAMILY),
    ("RF204", BATCH + "batch.alter_column('other', type_=sa.String(100))", SERVERS),
    (
        "RF205",
        BATCH + "batch.add_column(sa.Column('u', sa.Uuid, server_default=sa.text('gen_random_uuid()')))",
        SERVERS,
    ),
    ("RF205", BATCH + "batch.add_column(sa.Column('n', sa.Integer, sa.Identity()))", SERVERS),
    ("RF205", BATCH + "batch.add_column(sa.Column('n', sa.Integer, sa.Computed('size * 2')))", SERVERS),
    ("RF206", BATCH + "batch.create_unique_constraint('uq', ['note'])", PG | {"galera"}),
    ("RF206", BATCH + "batch.add_column(sa.Column('x', sa.Integer, unique=True))", PG | {"galera"}),
    ("RF207", BATCH + "batch.create_check_constraint('ck', 'size > 0')", SERVERS),
    ("RF208", "op.drop_index('ix', 'thing')", PG),
    ("RF209", "op.create_index('ix', 'thing', ['note'], postgresql_concurrently=True)", PG),
    ("RF210", BATCH + "batch.create_primary_key('pk', ['name'])", SERVERS),
    (
        "RF211",
        "op.create_exclude_constraint('ex', 'thing', (sa.column('size'), '='), using='gist')",
        PG,
    ),
    ("RF301", BATCH + "batch.add_column(sa.Column('x', sa.Integer, nullable=False))", ALL),
    ("RF302", BATCH + "batch.alter_column('name', server_default=None)", ALL),
    ("RF401", BATCH + "batch.add_column(sa.Column('at', sa.DateTime))", FAMILY),
    ("RF401", "op.create_table('t', sa.Column('at', sa.Time, primary_key=True))", FAMILY),
    ("RF401", BATCH + "batch.alter_column('note', type_=mysql.DATETIME(fsp=3))", FAMILY),
    ("RF402", BATCH + "batch.alter_column('kind', type_=sa.Enum('a', name='kind'))", ALL),
    ("RF403", BATCH + "batch.alter_column('kind', type_=sa.Enum('c', 'a', 'b', name='kind'))", FAMILY),
    ("RF404", BATCH + "batch.alter_column('kind', type_=sa.Enum('a', 'b', 'c', name='kind'))", PG),
    ("RF405", "op.create_table('t', sa.Column('a', sa.Integer))", {"galera"}),
    ("RF405", BATCH + "batch.drop_constraint('pk_thing', type_='primary')", {"galera"}),
    ("RF406", f"op.create_table('t', sa.Column('{'n' * 64}', sa.Integer, primary_key=True))", PG),
    ("RF406", f"op.rename_table('thing', '{'n' * 65}')", SERVERS),
    ("RF406", BATCH + f"batch.create_index('{'ü' * 40}', ['note'])", PG),
    ("RF407", "op.alter_column('thing', 'note', nullable=False)", {"sqlite"}),
    ("RF407", "op.create_unique_constraint('uq', 'thing', ['note'])", {"sqlite"}),
    ("RF407", "op.drop_constraint('uq', 'thing')", {"sqlite"}),
    ("RF408", ONLINE + "online.replace_enum('kind', ['b', 'a'], existing_labels=['a', 'b'])", PG),
    ("RF408", ONLINE + "online.drop_enum_label('kind', 'a')", PG),
    ("RF409", KEYED + "op.drop_index('ix_o', 'keyed')", FAMILY),
    ("RF502", NEW + "op.execute(\"UPDATE thing SET note = ''\")", SERVERS),
    ("RF502", NEW + "op.execute(sa.table('thing').delete())", SERVERS),
    ("RF502", NEW + "op.bulk_insert(sa.table('owner', sa.column('id')), [{'id': 1}])", SERVERS),
    ("RF502", NEW + "op.get_bind().execute(sa.text('-- all of them\\nDELETE FROM thing'))", SERVERS),
    ("RF503", "[column for column in sa.inspect(op.get_bind()).get_columns('thing')]", ALL),
    ("RF503", "op.get_bind().execute(sa.text('SELECT 1')).one()", ALL),
    ("RF504", "op.execute('ALTER TABLE thing DROP COLUMN note')", ALL),
    ("RF504", "op.execute(sa.DDL('TRUNCATE thing'))", ALL),
    ("RF504", "op.execute('DROP FUNCTION f() CASCADE')", ALL),
    ("RF504", "op.execute('DROP VIEW v; DROP TABLE thing')", ALL),
    ("RF505", "op.execute('CREATE EXTENSION citext')", ALL),
    ("RF505", "op.execute('CREATE TABLE view_ (id INT)')", ALL),
    ("RF601", "op.execute('SET default_storage_engine = Aria')\n" + NEW, GALERA),
    ("RF601", "op.execute('SET SESSION sql_mode = \"A,B\", @@innodb_strict_mode := OFF')\n" + NEW, GALERA),
    ("RF601", "op.execute('SET @@session.system_versioning_alter_history=KEEP')\n" + ADDED, GALERA),
    ("RF601", "op.execute('/*!50100 SET GLOBAL innodb_strict_mode = 0 */')\n" + NEW, GALERA),
    ("RF601", "op.get_bind().exec_driver_sql('SET wsrep_OSU_method = RSU')\n" + ADDED, GALERA),
    ("RF601", "op.execute('SET time_zone = \"+02:00\"')\n" + EVENT.format("CREATE"), GALERA),
    ("RF602", "op.execute('SET GLOBAL max_connections = 500')", GALERA),
    ("RF602", "op.execute('SET @x = 1, @@global.event_scheduler = ON')", GALERA),
    ("RF603", "op.execute('ALTER EVENT tidy ON SCHEDULE EVERY 2 DAY')", GALERA),
    (
        "RF603",
        "op.execute('ALTER DEFINER=`a`@`%` EVENT `tidy` COMMENT \"ENABLE\" DO DELETE FROM thing')",
        GALERA,
    ),
    ("RF604", EVENT.format("CREATE"), GALERA),
    ("RF604", "op.execute('ALTER EVENT tidy ENABLE')", GALERA),
    ("RF605", "op.execute('ALTER TABLE thing ADD SYSTEM VERSIONING')", GALERA),
    (
        "RF605",
        "op.execute('ALTER TABLE `thing` ADD COLUMN a TIMESTAMP(6) GENERATED ALWAYS AS ROW START, ADD SYSTEM VERSIONING')",
        GALERA,
    ),
    ("RF606", BATCH + "batch.add_column(sa.Column('u', sa.Uuid, server_default=sa.text('uuid()')))", GALERA),
    (
        "RF606",
        BATCH + "batch.add_column(sa.Column('at', models.Timestamp, server_default=models.UtcNow()))",
        GALERA,
    ),
    (
        "RF606",
        BATCH
        + "batch.add_column(sa.Column('at', sa.DateTime, server_default=sa.text('current_timestamp(3)')))",
        GALERA,
    ),
]

# What a rule must leave alone.
QUIET = [
    ("RF410", "op.execute('CREATE VIEW v AS SELECT 2')"),
    ("RF410", "op.execute('CREATE VIEW v AS SELECT 1')\nop.execute('CREATE OR REPLACE VIEW v AS SELECT 2')"),
    ("RF410", INVOKER + "op.execute('CREATE OR REPLACE VIEW v WITH (security_invoker=true) AS SELECT 2')"),
    ("RF410", INVOKER + "op.execute('CREATE OR REPLACE VIEW v WITH (security_invoker=false) AS SELECT 2')"),
    ("RF410", INVOKER + "op.execute('ALTER VIEW v RESET (security_invoker)')\n" + REPLACED),
    ("RF410", INVOKER + "op.execute('DROP VIEW v')\n" + REPLACED),
    ("RF410", SECURED + "op.execute('ALTER VIEW s.v AS SELECT 2')"),
    (
        "RF410",
        SECURED + "op.execute('CREATE OR REPLACE DEFINER=a@b SQL SECURITY DEFINER VIEW s.v AS SELECT 2')",
    ),
    ("RF410", CHECKED + "op.execute('ALTER VIEW v AS SELECT 2 WITH LOCAL CHECK OPTION')"),
    ("RF410", "op.execute('CREATE OR REPLACE SQL SECURITY DEFINER VIEW unknown AS SELECT 2')"),
    (
        "RF601",
        "op.execute('SET STATEMENT innodb_strict_mode = OFF FOR CREATE TABLE t (id INT PRIMARY KEY)')\n"
        + NEW,
    ),
    ("RF601", "op.execute('SET default_storage_engine = InnoDB, innodb_strict_mode = 1')\n" + NEW),
    ("RF601", NEW + "op.execute('SET default_storage_engine = Aria')"),
    (
        "RF601",
        "op.execute('SET innodb_strict_mode = 0')\nop.execute('SET innodb_strict_mode = DEFAULT')\n" + NEW,
    ),
    ("RF601", "op.execute('SET system_versioning_alter_history = KEEP')\n" + NEW),
    ("RF601", "op.execute('SET time_zone = \"+00:00\"')\n" + NEW),
    ("RF601", "op.execute('SET foreign_key_checks = 0, sql_mode = \"\"')\n" + NEW),
    ("RF601", "op.execute('SET @default_storage_engine = 1')\n" + NEW),
    ("RF601", "op.execute('UPDATE thing SET note = 1, innodb_strict_mode = 0')\n" + NEW),
    ("RF602", "op.execute('SET SESSION lock_wait_timeout = 5')"),
    ("RF602", "op.execute('SET @@global_thing = 5, NAMES = 1')"),
    ("RF603", "op.execute('ALTER EVENT tidy ON SCHEDULE EVERY 2 DAY ENABLE')"),
    ("RF603", "op.execute('ALTER EVENT tidy DISABLE DO DELETE FROM thing')"),
    ("RF603", "op.execute('ALTER TABLE thing RENAME INDEX event TO other')"),
    ("RF604", "op.execute('CREATE EVENT tidy ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM thing')"),
    ("RF604", "op.execute('DROP EVENT tidy')"),
    ("RF605", "op.execute('CREATE TABLE kept (id INT PRIMARY KEY) WITH SYSTEM VERSIONING')"),
    ("RF605", NEW + "op.execute('ALTER TABLE fresh ADD SYSTEM VERSIONING')"),
    ("RF605", "op.execute('ALTER TABLE thing DROP SYSTEM VERSIONING')"),
    ("RF606", BATCH + "batch.add_column(sa.Column('at', sa.DateTime, server_default=sa.func.now()))"),
    ("RF606", BATCH + "batch.add_column(sa.Column('word', sa.String(20), server_default='uuid()'))"),
    ("RF606", NEW + "op.add_column('fresh', sa.Column('u', sa.Uuid, server_default=sa.text('uuid()')))"),
    ("RF101", NEW + "op.drop_table('fresh')"),
    ("RF102", NEW + "op.drop_column('fresh', 'a')"),
    ("RF103", NEW + "op.rename_table('fresh', 'fresher')\nop.drop_table('fresher')"),
    ("RF104", BATCH + "batch.alter_column('note', nullable=True)"),
    ("RF105", BATCH + "batch.alter_column('note', type_=sa.String(41))"),
    ("RF105", BATCH + "batch.alter_column('size', type_=sa.BigInteger())"),
    ("RF105", BATCH + "batch.alter_column('price', type_=sa.Numeric(10, 3))"),
    ("RF105", BATCH + "batch.alter_column('note', type_=models.LongText())"),
    ("RF201", NEW + "op.create_index('ix', 'fresh', ['a'])"),
    ("RF201", AUTOCOMMIT + "op.create_index('ix', 'thing', ['note'], postgresql_concurrently=True)"),
    ("RF202", BATCH + "batch.alter_column('name', nullable=False)"),
    (
        "RF202",
        BATCH
        + "batch.create_check_constraint('ck', 'note IS NOT NULL', postgresql_not_valid=True)\n"
        + "op.execute('ALTER TABLE thing VALIDATE CONSTRAINT ck')\n"
        + BATCH
        + "batch.alter_column('note', nullable=False)",
    ),
    (
        "RF203",
        BATCH + "batch.create_foreign_key('fk', 'owner', ['owner_id'], ['id'], postgresql_not_valid=True)",
    ),
    ("RF203", NEW + "op.create_foreign_key('fk', 'fresh', 'owner', ['id'], ['id'])"),
    ("RF204", BATCH + "batch.alter_column('note', type_=sa.String(50))"),
    ("RF205", BATCH + "batch.add_column(sa.Column('at', models.Timestamp, server_default=sa.func.now()))"),
    ("RF205", BATCH + "batch.add_column(sa.Column('word', sa.String(20), server_default='random()'))"),
    ("RF206", BATCH + "batch.create_unique_constraint('uq', ['note'], postgresql_using_index='ix')"),
    ("RF207", BATCH + "batch.create_check_constraint('ck', 'size > 0', postgresql_not_valid=True)"),
    ("RF208", AUTOCOMMIT + "op.drop_index('ix', 'thing', postgresql_concurrently=True)"),
    ("RF209", AUTOCOMMIT + "op.create_index('ix', 'thing', ['note'], postgresql_concurrently=True)"),
    ("RF210", NEW + "op.create_primary_key('pk', 'fresh', ['a'])"),
    ("RF211", NEW + "op.create_exclude_constraint('ex', 'fresh', (sa.column('a'), '='))"),
    ("RF301", BATCH + "batch.add_column(sa.Column('x', sa.Integer))"),
    (
        "RF301",
        BATCH + "batch.add_column(sa.Column('x', sa.Boolean, nullable=False, server_default=sa.false()))",
    ),
    ("RF302", BATCH + "batch.alter_column('note', server_default=None)"),
    ("RF401", BATCH + "batch.add_column(sa.Column('at', models.Timestamp))"),
    (
        "RF401",
        BATCH
        + "batch.add_column(sa.Column('at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), 'mysql', 'mariadb')))",
    ),
    ("RF402", BATCH + "batch.alter_column('kind', type_=sa.Enum('b', 'a', name='kind'))"),
    ("RF403", BATCH + "batch.alter_column('kind', type_=sa.Enum('a', 'b', 'c', name='kind'))"),
    ("RF404", BATCH + "batch.alter_column('kind', type_=sa.Enum('a', 'b', name='kind'))"),
    ("RF404", ONLINE + "online.add_enum_label('kind', 'c')\n" + BATCH + LABELLED),
    ("RF405", NEW),
    ("RF406", f"op.create_table('t', sa.Column('{'n' * 63}', sa.Integer, primary_key=True))"),
    ("RF406", BATCH + f"batch.create_index(op.f('{'n' * 70}'), ['note'])"),
    (
        "RF406",
        "op.create_table('t', sa.Column('a', sa.Integer, primary_key=True),"
        f" sa.CheckConstraint('a > 1', name=op.f('{'n' * 70}')))",
    ),
    ("RF407", "op.add_column('thing', sa.Column('x', sa.Integer))"),
    ("RF407", BATCH + "batch.create_unique_constraint('uq', ['note'])"),
    ("RF408", ONLINE + "online.add_enum_label('kind', 'c', after='b')"),
    ("RF409", KEYED + "op.create_index('ix_2', 'keyed', ['o'])\nop.drop_index('ix_o', 'keyed')"),
    (
        "RF409",
        ONLINE + KEYED + "online.index_foreign_key('fk_o', 'keyed', ['o'])\nop.drop_index('ix_o', 'keyed')",
    ),
    (
        "RF409",
        KEYED + "op.drop_constraint('fk_o', 'keyed', type_='foreignkey')\nop.drop_index('ix_o', 'keyed')",
    ),
    ("RF502", NEW + 'op.execute("INSERT INTO fresh (id) VALUES (1)")'),
    ("RF502", "op.execute(\"UPDATE thing SET note = ''\")"),
    (
        "RF502",
        "table = op.create_table('t', sa.Column('id', sa.Integer, primary_key=True))\nop.bulk_insert(table, [{'id': 1}])",
    ),
    (
        "RF503",
        "for row in op.get_bind().execute(sa.text('SELECT 1')).mappings():\n    op.drop_table('thing')",
    ),
    ("RF504", AUTOCOMMIT + "op.execute(\"ALTER TYPE kind ADD VALUE 'c'\")"),
    ("RF504", "op.execute('SELECT 1')"),
    ("RF504", "op.execute('DROP VIEW v')\nop.execute('DROP TRIGGER IF EXISTS t')"),
    (
        "RF504",
        "op.execute('ALTER PROCEDURE p COMMENT \\'x\\'')\nop.execute('DROP FUNCTION IF EXISTS f(integer)')",
    ),
    ("RF505", "op.execute(\"SET LOCAL lock_timeout = '2s'\")"),
    ("RF505", "op.execute('-- who is there\\nCREATE OR REPLACE VIEW v AS SELECT 1')"),
    ("RF505", "op.execute('CREATE DEFINER = CURRENT_USER SQL SECURITY INVOKER VIEW v AS SELECT 1')"),
    (
        "RF505",
        "op.execute('CREATE TRIGGER t BEFORE UPDATE ON thing FOR EACH ROW BEGIN SET @a = 1; SET @b = 2; END')",
    ),
    (
        "RF505",
        "op.execute('CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; SELECT 2 $$')",
    ),
]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.mark.parametrize(("rule", "body", "engines"), FIRES)
def test_it_fires_on_the_engines_that_it_is_about(bench, rule, body, engines):
    bench.upgrade(body)
    assert told(bench.lint()).get(rule) == engines


@pytest.mark.parametrize(("rule", "body"), QUIET)
def test_it_leaves_alone_what_does_no_harm(bench, rule, body):
    bench.upgrade(body)
    assert rule not in told(bench.lint())


@pytest.mark.parametrize(("rule", "body", "engines"), FIRES)
def test_a_reason_allows_it(bench, rule, body, engines):
    lines = body.splitlines()
    path = bench.upgrade(body)
    named = next(finding.line for finding in bench.lint() if finding.rule == rule)
    text = path.read_text().splitlines()
    indent = " " * (len(text[named - 1]) - len(text[named - 1].lstrip()))
    text.insert(named - 1, f"{indent}# ringfence: allow {rule} because the table is empty")
    path.write_text("\n".join(text) + "\n")
    found = told(bench.lint())
    assert rule not in found, lines
    assert "RF002" not in found


DOWNS = {
    "def downgrade():\n    pass\n": "does nothing",
    "def downgrade():\n    raise NotImplementedError('never')\n": "raises NotImplementedError",
    "": "no downgrade",
}


@pytest.mark.parametrize("down", DOWNS)
def test_a_revision_that_cannot_be_taken_back(bench, down):
    bench.add(
        f"\n\ndef upgrade():\n    op.create_table('t', sa.Column('id', sa.Integer, primary_key=True))\n\n\n{down}"
    )
    (found,) = bench.lint()
    assert (found.rule, found.engines) == ("RF501", ENGINES)
    assert DOWNS[down] in found.message


def test_a_reason_in_the_downgrade_allows_that_there_is_none(bench):
    bench.upgrade(NEW, "# ringfence: allow RF501 because the rows cannot be made again\n    pass")
    assert not bench.lint()


def test_a_revision_that_does_nothing_needs_no_way_back(bench):
    bench.upgrade("pass", "pass")
    assert not bench.lint()


def test_every_rule_but_those_of_services_and_comments_is_tried_here():
    elsewhere = {"RF001", "RF002", "RF303", "RF304", "RF305", "RF501"}
    assert {rule for rule, _, _ in FIRES} == set(RULES) - elsewhere
    assert {rule for rule, _ in QUIET} == set(RULES) - elsewhere
