#!/usr/bin/env bash
# Bring the database of an environment to head, with its accounts, grants and releases.
#
#   scripts/migrate.sh ENV [options of `ringfence migrate`]
#
# deploy/ENV.env says where the database is and who its admin is; see deploy/README.md. Exit status: that of
# `ringfence migrate`; 3 when ENV or its file is wrong.
set -euo pipefail
# shellcheck source=scripts/lib/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/environment.sh"
help_if_asked "$@"
# shellcheck source=scripts/lib/deployment.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/deployment.sh"
cd "$root"

load_deployment "${@:1:1}"
make_environment
exec "$venv/bin/ringfence" -C services migrate "${@:2}"
