#!/usr/bin/env bash
# SQLAlchemy 2.1.9, dialects mysql and mariadb: reflection takes SHOW CREATE TABLE apart by regular expressions, and loses
# what it does not understand without a warning. What MariaDB 10.11 and MySQL 9.7 say of four valid tables is read as:
#
#   DEFAULT concat('a,','b') COMMENT 'its words'  ->  no default, and no comment either
#   DEFAULT ((1 + 2) * 3) COMMENT 'x'             ->  default '((1 + 2)', no comment
#   UNIQUE KEY (`b`,(lower(`a`)))                 ->  unique over b alone, which is stricter
#   UNIQUE KEY ((lower(`a`)))                     ->  unique over no column
#
# A column that Alembic alters with what was read loses its default and its comment in the database.
# Exit 0: still so. Exit 1: it is read otherwise now.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q sqlalchemy==2.1.9
"$folder/venv/bin/python" - <<'PY'
from sqlalchemy.dialects.mysql.base import MySQLDialect
from sqlalchemy.dialects.mysql.reflection import MySQLTableDefinitionParser

dialect = MySQLDialect()
read = MySQLTableDefinitionParser(dialect, dialect.identifier_preparer).parse(
    """CREATE TABLE `song` (
  `a` varchar(20) NOT NULL DEFAULT concat('a,','b') COMMENT 'its words',
  `b` int DEFAULT ((1 + 2) * 3) COMMENT 'x',
  UNIQUE KEY `some` (`b`,(lower(`a`))),
  UNIQUE KEY `none` ((lower(`a`)))
) ENGINE=InnoDB""",
    "utf8mb4",
)
found = [(column["default"], column["comment"]) for column in read.columns]
found += [[name for name, *_ in key["columns"]] for key in read.keys]
print(*found, sep="\n")
assert found == [(None, None), ("((1 + 2)", None), ["b"], []]
PY
