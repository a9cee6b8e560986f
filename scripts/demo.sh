#!/usr/bin/env bash
# From an empty database to running services, in one command, with a check behind every line it prints.
#
#   scripts/demo.sh [--engine sqlite|postgresql|mariadb|galera|mysql] [--json] [--serve]
#
# Makes .venv from requirements.lock. On a networked engine it starts a private server from the programs on this
# machine (missing ones come from the system's packages, as root or with sudo; MySQL is unpacked into a folder of its
# own, sizes in the README), or takes DATABASE_URL, the admin's address of an empty database.
#
#   --engine ENGINE          default: that of DATABASE_URL, else sqlite
#   --json                   print one JSON document at the end, the transcript on stderr
#   --serve                  leave the services running until Ctrl-C
#
# Exit status: 0 every printed line was checked; 1 a check failed; 3 the command line is wrong; 4 the server
# cannot be had.
set -euo pipefail
# shellcheck source=scripts/lib/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/environment.sh"
help_if_asked "$@"
cd "$root"

engine= previous=
for argument in "$@"; do
  if [[ $previous == --engine ]]; then engine=$argument; fi
  if [[ $argument == --engine=* ]]; then engine=${argument#--engine=}; fi
  previous=$argument
done

make_environment
if [[ -n $engine && -z ${DATABASE_URL:-} ]]; then ensure_engines "$engine"; fi
export PATH=$venv/bin:$PATH PYTHONPATH=$root/scripts:$root/tests PYTHONDONTWRITEBYTECODE=1
exec python -m demo "$@"
