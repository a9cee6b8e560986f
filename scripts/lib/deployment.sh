# Shell functions that read deploy/ENV.env. To be sourced after environment.sh.
# shellcheck shell=bash

WRONG_INPUT=3

wrong() { # end with the status for a command line or a file that is wrong
  red "$*"
  exit "$WRONG_INPUT"
}

environments() { # the names of the environments there are
  local file
  for file in "$root"/deploy/*.env; do
    if [[ -e $file ]]; then basename "$file" .env; fi
  done
}

load_deployment() { # export the variables of deploy/NAME.env; what is set already stays, so that a secret may come from outside
  local name=${1:-} file line number=0 variable
  if [[ $# != 1 || ! $name =~ ^[a-z0-9][a-z0-9-]*$ || ! -f $root/deploy/$name.env ]]; then
    wrong "name an environment: ${0##*/} ENV reads deploy/ENV.env; there is: $(environments | paste -sd' ')"
  fi
  file=$root/deploy/$name.env
  while IFS= read -r line || [[ -n $line ]]; do
    number=$((number + 1))
    line=${line%$'\r'}
    if [[ $line =~ ^[[:space:]]*(#.*)?$ ]]; then continue; fi
    if [[ ! $line =~ ^([A-Z][A-Z0-9_]*)=(.*)$ ]]; then
      wrong "deploy/$name.env:$number: not NAME=value (no blanks around =, no quotes needed)"
    fi
    variable=${BASH_REMATCH[1]}
    if [[ -z ${!variable+set} ]]; then export "$variable=${BASH_REMATCH[2]}"; fi
  done <"$file"
}
