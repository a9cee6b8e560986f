#!/usr/bin/env bash
# Run the tests on every engine.
#
#   scripts/test.sh [--require all|ENGINE,…] [--without ENGINE,…] [--no-install] [pytest arguments]
#
# Without pytest arguments: style, types and import contracts first, then every test. With them: pytest alone.
# Makes .venv from requirements.lock, and brings the servers that are missing, each with its size said before: from
# the system's packages (as root, or with sudo), and MySQL, which Debian does not package, unpacked into a folder of
# its own. The tests start private instances as an unprivileged user, and stop them.
#
#   --require all|ENGINE,…   end with status 4 when one of these could not be had
#   --without ENGINE,…       run and install nothing for these engines; as RINGFENCE_TEST_WITHOUT=…
#   --no-install             install no server: use those that are on this machine
#   RINGFENCE_TEST_POSTGRESQL_URL, …_MYSQL_URL, …_MARIADB_URL, …_GALERA_URL (nodes with commas), …_REDIS_URL
#                            existing servers to use instead, such as mysql://root:@127.0.0.1:3306/
#
# `scripts/test.sh tests --help` lists the options of pytest.
#
# Exit status: 0 all tests that ran passed, and the end lists engines that were not available in red; 1 something failed; 4 all
# passed, but a required engine could not be had.
set -euo pipefail
# shellcheck source=scripts/lib/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/environment.sh"
help_if_asked "$@"
cd "$root"

install=1 requirements=() arguments=()
while (($#)); do
  case $1 in
    --no-install) install= ;;
    --require=* | --without=*) set -- "" "${1%%=*}" "${1#*=}" "${@:2}" ;; # the same in two words, read next
    --require | --without)
      if (($# < 2)); then die "$1 needs the names of engines, separated by commas"; fi
      if [[ $1 == --require ]]; then requirements=(--require "$2"); else
        export RINGFENCE_TEST_WITHOUT=${RINGFENCE_TEST_WITHOUT:+$RINGFENCE_TEST_WITHOUT,}$2
      fi
      shift
      ;;
    *) arguments+=("$1") ;;
  esac
  shift
done

make_environment
missing=()
for engine in postgresql mariadb galera mysql redis pgbouncer; do
  variable=RINGFENCE_TEST_${engine^^}_URL
  if [[ -z ${!variable:-} && ,${RINGFENCE_TEST_WITHOUT:-}, != *",$engine,"* ]]; then missing+=("$engine"); fi
done
if [[ -n $install ]]; then ensure_engines "${missing[@]}"; fi

export PATH=$venv/bin:$PATH
if ((${#arguments[@]})); then exec python -m pytest "${requirements[@]}" "${arguments[@]}"; fi

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
# A worker has a server to itself; PostgreSQL, which has the most tests, has two workers.
python -m pytest -n 4 --dist loadgroup "${requirements[@]}" || status=$?
if ((${#failed[@]})); then
  red "FAILED: $(printf '%s; ' "${failed[@]}")"
  exit 1
fi
exit "$status"
