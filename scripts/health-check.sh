#!/usr/bin/env bash
# Say whether an environment is well: its mirrors, its database as each service account sees it, its services.
#
#   scripts/health-check.sh ENV
#
# deploy/ENV.env says where everything is; see deploy/README.md. Each service of SERVICES (all that have a mirror, by
# default) logs in with its own account and secret; each address of HEALTH_URLS must answer 200. Nothing is changed.
# Exit status: 0 all is well; 1 something is not; 3 when ENV or its file is wrong.
set -euo pipefail
# shellcheck source=scripts/lib/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/environment.sh"
help_if_asked "$@"
# shellcheck source=scripts/lib/deployment.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/deployment.sh"
cd "$root"

load_deployment "$@"
make_environment
status=0

check() { # run a check; when it fails, say what it said
  local name=$1 said
  shift
  if said=$("$@" 2>&1); then
    say "ok    $name"
  else
    red "WRONG $name"
    printf '%s\n' "$said" | sed 's/^/      /' >&2
    status=1
  fi
}

ready() { # whether the database is what a service needs, asked under the service's own account
  local mirror=services/mirrors/$1.json variable pass file login
  variable=${1^^}
  variable=${variable//[^A-Z0-9]/_}_DB_PASS
  pass=$variable file=${variable}_FILE
  login=$("$venv/bin/python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["login"])' "$mirror") || return
  (
    unset DB_PASS DB_PASS_FILE
    export DB_USER=$login
    if [[ -n ${!pass:-} ]]; then export DB_PASS=${!pass}; fi
    if [[ -n ${!file:-} ]]; then export DB_PASS_FILE=${!file}; fi
    "$venv/bin/ringfence-ready" --once "$mirror"
  )
}

answers() { # whether an address answers 200
  "$venv/bin/python" -c 'import sys, urllib.request as web; web.urlopen(sys.argv[1], timeout=float(sys.argv[2]))' \
    "$1" "${HEALTH_TIMEOUT:-10}"
}

check "the mirrors agree with the models and the manifest" "$venv/bin/ringfence" -C services mirror --check
if [[ -z ${SERVICES:-} ]]; then SERVICES=$(basename -s .json services/mirrors/*.json | paste -sd' '); fi
for service in $SERVICES; do check "the database, for $service" ready "$service"; done
for url in ${HEALTH_URLS:-}; do check "$url" answers "$url"; done
exit "$status"
