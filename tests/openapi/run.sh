#!/usr/bin/env bash
# Asks a running coordinator, by its own description of its interface, thousands of questions that are as
# described and as many that are not, and fails if an answer is not as described (schemathesis, all checks).
# Without keys on records in memory; with keys, and with a player's token, on SQLite.
#
#   tests/openapi/run.sh [SEED]      needs python3 with venv; the program has to be built
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seed=${1:-1}
program=$(realpath "${COORDINATOR:-target/debug/p2p-coordinator}")
venv=target/schemathesis
here=$PWD/tests/openapi

if ! python3 -c "import ensurepip, venv" 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq python3-venv
  else
    echo "run: python3 with venv is missing: install python3-venv, then run this again" >&2
    exit 1
  fi
fi

if ! cmp -s tests/openapi/requirements.txt "$venv/requirements.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement tests/openapi/requirements.txt
  cp tests/openapi/requirements.txt "$venv/"
fi
schemathesis=$(realpath "$venv/bin/schemathesis")

work=$(mktemp -d)
running=
stop() {
  [ -z "$running" ] || { kill "$running" && wait "$running"; } 2>/dev/null || true
  running=
}
trap 'stop; rm -rf "$work"' EXIT
cd "$work"

# Starts the program on a free port; `url` is where.
start() {
  env --ignore-environment "PATH=$PATH" "${settings[@]}" \
    "$program" --listen 127.0.0.1:0 "$@" >program.log 2>&1 &
  running=$!
  for _ in $(seq 100); do
    url=$(sed -n 's/^p2p-coordinator .* serves //p' program.log)
    [ -z "$url" ] || return 0
    sleep 0.1
  done
  cat program.log >&2
  return 1
}

ask() {
  echo "-- $1"
  shift
  timeout 120 "$schemathesis" --config-file "$here/schemathesis.toml" run "$url/openapi.json" \
    --checks all --seed "$seed" --no-color --warnings off "$@" ||
    { status=$?; tail -n 20 program.log >&2; return "$status"; }
  # It still does its work.
  kill -0 "$running"
}

settings=()
start --memory
ask "nobody is asked who they are" --max-examples 12
stop

key=$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')
settings=("API_KEYS=admin:$key" RATE_LIMIT_ENABLED=false)
start --database records.db
ask "with the key of who runs it" --max-examples 8 --header "X-API-Key: $key"
token=$(python3 - "$url" "$key" <<'PYTHON'
import json, sys, urllib.request
url, key = sys.argv[1:]
body = json.dumps({"player_id": "ann"}).encode()
headers = {"X-API-Key": key, "Content-Type": "application/json"}
request = urllib.request.Request(url + "/api/v1/auth/token", body, headers)
print(json.load(urllib.request.urlopen(request))["access_token"])
PYTHON
)
ask "with a player's token" --max-examples 4 --phases examples,coverage,fuzzing \
  --header "Authorization: Bearer $token"
