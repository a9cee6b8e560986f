#!/usr/bin/env bash
# Measure Ringfence beside the bare driver and other libraries, and print the table.
#
#   scripts/bench.sh [--engine postgresql|mariadb|sqlite] [--json FILE] [--svg FILE] [--docs]
#                    [--quick] [--stream ROWS] [--cases A,B] [--peers A,B]
#   scripts/bench.sh --access [--engine …] [--services N,M] [--rounds N] [--docs]
#
# With --access: the plan and apply of 10, 100 and 200 accounts on 500 tables, in place of queries.
#
# Makes .venv-bench from requirements-bench.lock, and installs the server and wrk from the system's packages where they
# are missing (as root, or with sudo). Starts a private server, and stops it. Wants a machine with nothing else to do.
#
# Exit status: 0 measured; 1 a library gave something else than was asked for; 2 wrong options; 4 no such server here.
set -euo pipefail
# shellcheck source=scripts/lib/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/environment.sh"
help_if_asked "$@"

venv=${RINGFENCE_BENCH_VENV:-$root/.venv-bench}
lock=requirements-bench.lock
make_environment
engine=postgresql previous=
for argument in "$@"; do
  if [[ $previous == --engine ]]; then engine=$argument; fi
  if [[ $argument == --engine=* ]]; then engine=${argument#--engine=}; fi
  previous=$argument
done
variable=RINGFENCE_TEST_${engine^^}_URL
if [[ -z ${!variable:-} ]]; then ensure_engines "$engine"; fi
_has wrk || install_packages wrk || true

module=benchmarks
if [[ ${1:-} == --access ]]; then
  module=benchmarks.access
  shift
fi
PYTHONPATH=$root/tests exec "$venv/bin/python" -m "$module" "$@"
