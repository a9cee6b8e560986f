#!/usr/bin/env bash
# Regenerate requirements.lock: every package of the development environment, pinned, with hashes. And
# requirements-bench.lock: the same versions, and the libraries that the benchmark compares with.
#
#   scripts/lock.sh [options of uv pip compile, such as --upgrade or --upgrade-package NAME]
#
# Needs uv. The two distributions themselves stay out: they are installed from this folder.
set -euo pipefail
# shellcheck source=scripts/lib/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/environment.sh"
help_if_asked "$@"
cd "$root"
command -v uv >/dev/null || die "scripts/lock.sh needs uv, which is not here: https://docs.astral.sh/uv/"

extras() { # the extras of a distribution, joined by commas
  python3 - "$1" <<'PYTHON'
import sys, tomllib
with open(f"{sys.argv[1]}/pyproject.toml", "rb") as file:
    print(",".join(tomllib.load(file)["project"].get("optional-dependencies", {})))
PYTHON
}

lock() { # the lock of one group of pyproject.toml: lock GROUP FILE [options]
  local group=$1 file=$2
  shift 2
  printf -- '-e ./%s[%s]\n' runtime "$(extras runtime)" schema "$(extras schema)" |
    uv pip compile - --group "pyproject.toml:$group" --output-file "$file" \
      --universal --python-version 3.11 --generate-hashes --no-emit-index-url --quiet \
      --no-emit-package ringfence-runtime --no-emit-package ringfence-schema \
      --custom-compile-command scripts/lock.sh "$@"
}

lock dev requirements.lock "$@"
lock bench requirements-bench.lock --constraint requirements.lock "$@"
