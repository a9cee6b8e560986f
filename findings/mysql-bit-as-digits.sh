#!/usr/bin/env bash
# MariaDB 10.11.19 and MySQL 9.7.4, read with PyMySQL 1.2.4: a BIT column is sent as its bits, and some expressions over the
# same column as decimal digits, under the same type (16, BIT), character set (63) and length. A driver that goes by the
# type gives another number: max() of a BIT(64) that holds 300 is b"300", which is 3355696 as bits. MariaDB sets the
# BINARY flag (128) on those that are digits. MySQL sets none: COALESCE, IFNULL, GREATEST, ANY_VALUE and a view's column
# made of them are digits, MAX, IF and CASE are bits, and where as many digits came as the column has bytes, nothing tells.
#
# Expected beforehand: one form for one type.
# Seen: column, flags, what was sent for 5 and 300:
#   MariaDB  b 32 b"\x05" | COALESCE(b,w) 160 b"5" | MAX(w) 160 b"300" | IF(n=1,b,w) 160 b"5" | w in a derived table 32 bits
#   MySQL    b 32 b"\x05" | COALESCE(b,w)  32 b"5" | MAX(w)  32 bits   | IF(n=1,b,w)  32 bits | GREATEST(b,w) 32 b"300"
#
# Usage: MYSQL_PWD=… mysql-bit-as-digits.sh HOST PORT USER, of a server to try it on; it makes and drops a database.
# Exits 0 while it is so, 1 when the behaviour has changed, 2 when the package or the server cannot be had.
set -euo pipefail
[ $# = 3 ] || { sed -n '2,/^# Exits/p' "$0" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pymysql==1.2.4 || exit 2
"$folder/venv/bin/python" - "$@" <<'PY'
import os
import sys

import pymysql

host, port, user = sys.argv[1:]
password = os.environ.get("MYSQL_PWD", "")
try:
    connection = pymysql.connect(host=host, port=int(port), user=user, password=password)
except pymysql.Error as error:
    print(error)
    sys.exit(2)
cursor = connection.cursor()
cursor.execute("SELECT VERSION()")
(version,) = cursor.fetchone()
print(version)
cursor.execute("CREATE DATABASE bits_as_digits")
try:
    cursor.execute("USE bits_as_digits")
    cursor.execute("CREATE TABLE t (b BIT(8), w BIT(64), n INT)")
    cursor.execute("INSERT INTO t VALUES (5, 300, 1)")
    seen = {}
    for what in ("b", "COALESCE(b, w)", "MAX(w)", "IF(n = 1, b, w)", "GREATEST(b, w)"):
        cursor.execute(f"SELECT {what} FROM t")
        field = cursor._result.fields[0]
        (value,) = cursor.fetchone()
        seen[what] = (value, bool(field.flags & 128), field.type_code, field.charsetnr)
        print(what, *seen[what])
finally:
    cursor.execute("DROP DATABASE bits_as_digits")
marked = "mariadb" in version.lower()
bits = (300).to_bytes(8, "big"), (5).to_bytes(8, "big")
wanted = {
    "b": (b"\x05", False),
    "COALESCE(b, w)": (b"5", marked),
    "MAX(w)": (b"300", True) if marked else (bits[0], False),
    "IF(n = 1, b, w)": (b"5", True) if marked else (b"\x05", False),
    "GREATEST(b, w)": (b"300", marked),
}
sys.exit(seen != {what: (*sent, 16, 63) for what, sent in wanted.items()})
PY
