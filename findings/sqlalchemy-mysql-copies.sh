#!/usr/bin/env bash
# SQLAlchemy 2.1.9 and Alembic 1.20.1, dialect mysql: what is copied, altered or read again is not what was declared.
#
#   ENUM('a', charset='latin1', collation='latin1_bin').copy()  ->  ENUM('a'); so a mixin's column, Table.to_metadata and
#       every CreateTableOp of autogenerate make the column in the table's character set. SET keeps both.
#   DEFAULT concat(':b') is read as a text with a parameter b: written back, it is concat('NULL').
#   Column("x", BIT(8), server_default=text("b'1'")) is DEFAULT (b'1') in CREATE TABLE, and op.alter_column sends
#       SET DEFAULT b'1': an expression and a literal, which MySQL keeps apart; SET DEFAULT uuid() is refused there (1064).
#
# Exit 0: still so. Exit 1: it is otherwise now.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q sqlalchemy==2.1.9 alembic==1.20.1
"$folder/venv/bin/python" - <<'PY'
import io

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects.mysql.reflection import MySQLTableDefinitionParser
from sqlalchemy.schema import CreateTable

copies = [repr(kind.copy()) for kind in (mysql.ENUM("a", charset="latin1"), mysql.SET("a", charset="latin1"))]
dialect = mysql.dialect(is_mariadb=False)
parser = MySQLTableDefinitionParser(dialect, dialect.identifier_preparer)
(column,) = parser.parse("CREATE TABLE `t` (\n  `a` text DEFAULT (concat(_utf8mb4':b'))\n) ENGINE=InnoDB", "utf8mb4").columns
read = str(sa.text(column["default"]).compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
dialect.server_version_info = (9, 0)
table = sa.Table("t", sa.MetaData(), sa.Column("x", mysql.BIT(8), server_default=sa.text("b'1'")))
create = str(CreateTable(table).compile(dialect=dialect))
said = io.StringIO()
context = MigrationContext.configure(dialect=dialect, opts={"as_sql": True, "output_buffer": said})
Operations(context).alter_column("t", "x", server_default=sa.text("b'1'"))
print(copies, read, create, said.getvalue(), sep="\n")
assert copies == ["ENUM('a')", "SET('a', charset='latin1')"]
assert read == "(concat(_utf8mb4'NULL'))"
assert "DEFAULT (b'1')" in create
assert "SET DEFAULT b'1'" in said.getvalue()
PY
