#!/usr/bin/env bash
# Run the tests on every engine.
#
#   scripts/test.sh [pytest arguments]
#
# Without arguments: style, types and import contracts first, then every test. With arguments: pytest alone.
# Makes .venv from requirements.lock, and installs the servers that are missing from the system's packages (as
# root, or with sudo). The tests start private instances as an unprivileged user, and stop them.
#
#   RINGFENCE_TEST_WITHOUT=mysql,…   do without these engines
#   RINGFENCE_TEST_POSTGRESQL_URL, …_MYSQL_URL, …_MARIADB_URL, …_GALERA_URL (nodes with commas), …_REDIS_URL
#                                    servers of yours to use instead, such as mysql://root:@127.0.0.1:3306/
#
# Exit status: 0 all is well; 1 something failed; 4 all passed, but an engine could not be had (named in red).
set -euo pipefail
# shellcheck source=scripts/lib/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/environment.sh"
cd "$root"

make_environment
wanted=()
for engine in postgresql mariadb galera redis pgbouncer; do
  variable=RINGFENCE_TEST_${engine^^}_URL
  if [[ -z ${!variable:-} && ,${RINGFENCE_TEST_WITHOUT:-}, != *",$engine,"* ]]; then wanted+=("$engine"); fi
done
ensure_engines "${wanted[@]}"

export PATH=$venv/bin:$PATH
if (($#)); then exec python -m pytest "$@"; fi

failed=()
step() { # run a check, go on when it fails, remember its name
  local name=$1
  shift
  say "── $name"
  "$@" || failed+=("$name")
}
step "style" ruff check
step "format" ruff format --check --quiet
step "types" mypy
step "types of the test servers" mypy -p servers
step "import contracts" lint-imports --no-logo
status=0
say "── tests"
# A worker has an engine to itself: most of the time goes into waiting for servers.
python -m pytest -n 3 --dist loadgroup || status=$?
if ((${#failed[@]})); then
  red "FAILED: $(printf '%s; ' "${failed[@]}")"
  exit 1
fi
exit "$status"
