#!/usr/bin/env bash
# Make the first secrets of docker-compose.yml: one for the superuser, one for the admin and one for each account of services/access.yaml.
#
#   deploy/secrets.sh [FOLDER]      default: secrets/ at the repository's root
#
# Each is a file that only its owner may read. A file that is there already stays as it is.
set -euo pipefail
# shellcheck source=scripts/lib/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib/environment.sh"

folder=$(realpath -m -- "${1:-$root/secrets}")
make_environment
"$venv/bin/ringfence" -C "$root/services" secrets generate "$folder"
for name in superuser admin; do
  if [[ ! -e $folder/${name}_db_pass ]]; then
    (umask 077 && "$venv/bin/python" -c 'import secrets; print(secrets.token_urlsafe(24))' >"$folder/${name}_db_pass")
  fi
done
say "the secrets are in $folder"
