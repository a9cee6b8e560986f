# Shell functions shared by the scripts: the Python environment and the servers' packages. To be sourced.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
venv=${RINGFENCE_VENV:-$root/.venv}
lock=requirements.lock # a script that needs another environment names its lock and its venv

say() { printf '%s\n' "$*" >&2; }

help_if_asked() { # print the comment that the calling script begins with, and end, when the first argument is --help
  if [[ ${1:-} == --help || ${1:-} == -h ]]; then
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit 0
  fi
}

red() { # a line in red on a terminal, plain elsewhere
  if [[ -t 2 ]]; then printf '\033[1;31m%s\033[0m\n' "$*" >&2; else say "$*"; fi
}

die() {
  red "$*"
  exit 1
}

as_root() { # run a command as root, or return 1 when we may not
  if [[ $EUID == 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n "$@"
  else
    return 1
  fi
}

say_size() { # say what will be installed, and how much there is to download for it
  local bytes
  bytes=$(apt-get install -q --no-install-recommends --print-uris -y "$@" | awk "/^'/ {sum += \$3} END {print sum + 0}")
  say "installing from the system's packages, $(((bytes + 999999) / 1000000)) MB to download: $*"
}

install_packages() { # install system packages without starting their services; 1 when that cannot be done
  command -v apt-get >/dev/null || { say "there is no apt-get here to install: $*"; return 1; }
  as_root true || { say "neither root nor sudo without a password, so not installed: $*"; return 1; }
  # Debian starts a server as it is installed, unless this file says no. Ours are started by the tests.
  local policy=/usr/sbin/policy-rc.d placed='' status=0 log
  log=$(mktemp)
  if [[ ! -e $policy ]]; then
    placed=1
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
  fi
  {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
      say_size "$@" 2>&3 &&
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
  } 3>&2 >"$log" 2>&1 </dev/null || status=1
  [[ -z $placed ]] || as_root rm -f "$policy"
  if [[ $status != 0 ]]; then tail -n 15 "$log" >&2; fi
  rm -f "$log"
  return $status
}

find_python() { # print the first Python of at least 3.11
  local candidate
  for candidate in ${RINGFENCE_PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  die "Python 3.11 or newer is needed; name one by RINGFENCE_PYTHON"
}

make_venv() { # an empty virtual environment, also where Debian keeps python3-venv in a package of its own
  local python=$1 version
  "$python" -m venv --clear "$venv" >/dev/null 2>&1 && return
  rm -rf "$venv"
  version=$("$python" -c 'import sys; print(f"{sys.version_info.major}.{sys.version_info.minor}")')
  if install_packages "python$version-venv" || install_packages python3-venv; then
    "$python" -m venv --clear "$venv" && return
  fi
  "$python" -m virtualenv -q "$venv" 2>/dev/null && return
  die "cannot make a virtual environment: install python3-venv or virtualenv"
}

make_environment() { # the environment that $lock describes, and both distributions from this folder
  local stamp=$venv/.ringfence-stamp wanted
  wanted=$(cat "$root/$lock" "$root"/{runtime,schema}/pyproject.toml | cksum)
  if [[ ! -x $venv/bin/python ]] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    say "making the environment"
    make_venv "$(find_python)"
  elif [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
    return
  fi
  say "installing $lock"
  "$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r "$root/$lock"
  "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation \
    -e "$root/runtime" -e "$root/schema"
  printf '%s\n' "$wanted" >"$stamp"
}

_has() { PATH=$PATH:/usr/sbin:/usr/local/sbin:/sbin command -v "$1" >/dev/null; }

have_engine() { # whether the programs of a server are on this machine
  case $1 in
    postgresql) _has initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ;;
    mariadb) _has mariadbd && _has mariadb-install-db ;;
    galera) have_engine mariadb && _has rsync && compgen -G '/usr/lib*/galera*/libgalera_smm.so' >/dev/null ;;
    redis) _has redis-server ;;
    pgbouncer) _has pgbouncer ;;
    *) true ;; # sqlite comes with Python; MySQL is no package of Debian's, see unpack_mysql
  esac
}

engine_packages() { # the Debian packages of a server
  case $1 in
    postgresql) echo postgresql ;;
    mariadb) echo mariadb-server ;;
    galera) echo mariadb-server galera-4 rsync ;;
    redis) echo redis-server ;;
    pgbouncer) echo pgbouncer ;;
  esac
}

unpack_mysql() { # download a MySQL server into a folder of its own, unless the machine has one; says its size first
  PYTHONPATH=$root/tests PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m servers install mysql
}

ensure_engines() { # bring the programs of the named servers where they are missing; never fails
  local engine packages=()
  for engine in "$@"; do
    if [[ $engine == mysql ]]; then unpack_mysql || true; fi
    have_engine "$engine" || read -r -a packages <<<"${packages[*]} $(engine_packages "$engine")"
  done
  if ((${#packages[@]})); then install_packages "${packages[@]}" || true; fi
}
