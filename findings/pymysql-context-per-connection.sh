#!/usr/bin/env bash
# PyMySQL 1.2.4: a connection to which nobody said a word of TLS makes a TLS context of its own, and reads every
# authority of the system for it, before it knows whether the server has TLS. 1.1.2 makes none. Of 20 connections that
# are made and not opened (`defer_connect=True`), so that no server has a part in it:
#
#   1.1.2  contexts made: 0     0.02 ms each
#   1.2.4  contexts made: 20   10 to 20 ms each on an idle machine, all of it processor time
#
# It is more than the connection itself takes on a local network, and it was a quarter of the time of a test suite
# that opens connections often. A pool hides it until the pool grows. `ssl_disabled=True` makes none; a subclass that
# keeps the context of `_create_ssl_ctx` makes one.
# Exit 0: still so. Exit 1: it is otherwise now.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
count() { # VERSION: how many contexts 20 connections make
  "$folder/venv/bin/pip" install -q "pymysql==$1"
  "$folder/venv/bin/python" - "$1" <<'PY'
import ssl
import sys
import time

import pymysql

made = 0
create = ssl.create_default_context


def counted(*args, **kwargs):
    global made
    made += 1
    return create(*args, **kwargs)


ssl.create_default_context = counted
start = time.perf_counter()
for _ in range(20):
    pymysql.connect(defer_connect=True)
print(sys.argv[1], f"{(time.perf_counter() - start) * 50:.2f} ms each", file=sys.stderr)
print(made)
PY
}
before=$(count 1.1.2)
now=$(count 1.2.4)
printf 'contexts made: %s by 1.1.2, %s by 1.2.4\n' "$before" "$now"
[[ $before == 0 && $now == 20 ]]
