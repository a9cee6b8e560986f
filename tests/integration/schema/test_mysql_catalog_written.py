"""What revisions write for odd columns and indexes of MySQL and MariaDB."""

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.dialects import mysql

from ringfence.schema.comparison.differences import compare
from ringfence.schema.comparison.model_objects import ModelLookup
from ringfence.schema.comparison.operation_writer import OperationWriter
from support.mysql_models import differing, given

pytestmark = pytest.mark.engines("mysql", "mariadb", "galera")


ODD = (
    "id BIGINT AUTO_INCREMENT",
    "code VARCHAR(21) NOT NULL DEFAULT (concat('a,', 'b)')) COMMENT 'it''s, (x'",
    "code VARCHAR(20) DEFAULT (concat('a,', 'b)')) COMMENT 'it''s, (x'",
    "code VARCHAR(20) NOT NULL DEFAULT (concat('a,', 'b)'))",
    "code VARCHAR(20) NOT NULL DEFAULT 'x' COMMENT 'it''s, (x'",
    "moment TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP",
    "moment TIMESTAMP(6) NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)",
    "moment TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)",
    "number CHAR(33) DEFAULT (uuid())",
    r"quoted VARCHAR(31) DEFAULT 'it''s \\ `x` 5%'",
    "plain VARCHAR(20) NOT NULL DEFAULT 'x'",
    "plain VARCHAR(20) COLLATE utf8mb4_bin DEFAULT 'x'",
    "counted INT DEFAULT 3",
    "counted INT UNSIGNED NOT NULL DEFAULT 3",
)


@pytest.mark.engines("mysql", "mariadb")
def test_what_a_revision_writes_for_a_column_leaves_the_rest_of_it(backend, connection):
    metadata = sa.MetaData()
    sa.Table(
        "odd",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "code",
            sa.String(20),
            server_default=sa.text("(concat('a,', 'b)'))"),
            comment="it's, (x",
            nullable=False,
        ),
        sa.Column(
            "moment",
            mysql.TIMESTAMP(fsp=6),
            server_default=sa.text("CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)"),
            nullable=False,
        ),
        sa.Column("number", sa.Uuid(native_uuid=False), server_default=sa.text("(uuid())")),
        sa.Column("quoted", sa.String(30), server_default=r"it's \ `x` 5%"),
        sa.Column("plain", sa.String(20, collation="utf8mb4_bin"), nullable=False, server_default="x"),
        sa.Column("counted", mysql.INTEGER(unsigned=True), server_default="3"),
    )
    known, wrong = given(metadata), {}
    metadata.create_all(connection)
    for column in ODD:
        statement = f"ALTER TABLE odd MODIFY {column}"
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        named = ModelLookup(known, connection.dialect).named
        found, reference = (
            backend.introspection.catalog.read(connection, known.schemas),
            backend.introspection.catalog.reference(connection, known),
        )
        differences = compare(reference, found, named)
        assert differences, column
        operations = Operations(MigrationContext.configure(connection))
        for modify in OperationWriter(ModelLookup(known, connection.dialect), connection).operations(
            differences
        ):
            for operation in modify.ops:
                operations.invoke(operation)
        if left := differing(backend, connection, known):
            wrong[column] = left
    assert wrong == {}


@pytest.mark.engines("mysql", "mariadb")
def test_a_default_that_is_altered_is_as_one_that_is_created(backend, connection):
    defaults = {
        mysql.BIT(8): sa.text("b'101'"),
        sa.BINARY(4): sa.text("x'0001'"),
        sa.Integer(): sa.text("-1"),
        sa.Float(): sa.func.rand(),
        sa.String(40): sa.func.uuid(),
        sa.Text(): sa.text("concat('5%', '\\:x')"),
        sa.DateTime(): sa.text("now() + interval 1 day"),
        sa.JSON(): sa.text("(json_array(1))"),
    }
    bare, full, wider = sa.MetaData(), sa.MetaData(), sa.MetaData()
    for metadata, comment in ((bare, None), (full, None), (wider, "it's")):
        columns = (
            sa.Column(f"c{n}", kind, comment=comment, server_default=None if metadata is bare else default)
            for n, (kind, default) in enumerate(defaults.items())
        )
        sa.Table("t", metadata, sa.Column("id", sa.Integer, primary_key=True), *columns)
    bare.create_all(connection)
    operations = Operations(MigrationContext.configure(connection))
    for metadata in (full, wider):
        known = given(metadata)
        differences = compare(
            backend.introspection.catalog.reference(connection, known),
            backend.introspection.catalog.read(connection, {None}),
        )
        assert len(differences) == len(defaults)
        (modify,) = OperationWriter(ModelLookup(known, connection.dialect), connection).operations(
            differences
        )
        for operation in modify.ops:
            operations.invoke(operation)
        assert differing(backend, connection, known) == {}


@pytest.mark.engines("mysql", "mariadb")
def test_an_index_that_goes_comes_back_as_it_was(backend, connection, db):
    metadata = sa.MetaData()
    song = sa.Table(
        "song",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("title", sa.String(20)),
        sa.Column("seen", sa.DateTime),
        sa.Column("group", sa.String(20)),
        sa.Index("ix_word", sa.text("`group`(5) DESC"), "title"),
        sa.Index("ix_plain_word", "group"),
        sa.Index("ix_prefix", "title", "seen", mysql_length={"title": 5}, mariadb_length={"title": 5}),
        sa.Index("ix_down", sa.text("seen DESC"), "title", unique=True),
        sa.Index("ft", "title", mysql_prefix="FULLTEXT", mariadb_prefix="FULLTEXT"),
    )
    if db.server.engine == "mysql":
        sa.Index("uq_lower", song.c.seen, sa.text(r"(concat(lower(title), '\:x, 5%'))"), unique=True)
    metadata.create_all(connection)
    bare = sa.MetaData()
    sa.Table("song", bare, *(sa.Column(c.name, c.type, primary_key=c.primary_key) for c in song.columns))
    known, full = given(bare), given(metadata)
    before = backend.introspection.catalog.read(connection, {None}).items
    differences = compare(
        backend.introspection.catalog.reference(connection, known),
        backend.introspection.catalog.read(connection, {None}),
    )
    assert len(differences) == len(song.indexes)
    (modify,) = OperationWriter(ModelLookup(known, connection.dialect), connection).operations(differences)
    operations = Operations(MigrationContext.configure(connection))
    for operation in modify.ops:
        operations.invoke(operation)
    assert differing(backend, connection, known) == {}
    for operation in reversed(modify.ops):
        operations.invoke(operation.reverse())
    assert backend.introspection.catalog.read(connection, {None}).items == before
    assert differing(backend, connection, full) == {}
