#!/usr/bin/env bash
# A temporary PostgreSQL for tests: its own cluster on a free port of 127.0.0.1, without fsync unless WEFT_POSTGRES_FSYNC=on, with
# trust authentication for connections over the loopback interface. It never touches a server that is already running.
#
#   scripts/postgres.sh with COMMAND…   runs COMMAND with WEFT_TEST_POSTGRES set, then removes the server
#   scripts/postgres.sh start DIR       creates and starts one in DIR (which must not exist), prints its URL
#   scripts/postgres.sh stop DIR        stops it and removes DIR
#   scripts/postgres.sh restart DIR     restarts it without waiting for its clients
#
# `with` uses WEFT_TEST_POSTGRES if it is already set. If PostgreSQL is not installed it prints how to install it
# and runs COMMAND without, unless CI is set: then it fails.
set -euo pipefail

# binaries prints the folder with initdb and pg_ctl: Debian's newest, or the one in PATH.
binaries() {
  local newest
  newest=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
  [[ -x $newest ]] || newest=$(command -v initdb) || return 1
  [[ -x $(dirname "$newest")/pg_ctl ]] || return 1
  dirname "$newest"
}

# owned runs a command as a user that may own a cluster: PostgreSQL refuses root.
owned() {
  if [[ $EUID -ne 0 ]]; then
    "$@"
    return
  fi
  local user=postgres
  id "$user" >/dev/null 2>&1 || user=nobody
  (cd / && exec setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@")
}

start() {
  local dir=$1 bin port attempt durability="-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
  if [[ ${WEFT_POSTGRES_FSYNC:-} == on ]]; then durability=""; fi
  bin=$(binaries)
  mkdir -m 700 "$dir"
  if [[ $EUID -eq 0 ]]; then chown "$(id -u postgres 2>/dev/null || id -u nobody)" "$dir"; fi
  owned "$bin/initdb" --pgdata "$dir/data" --username postgres --auth trust --encoding UTF8 --locale C \
    --no-sync >"$dir.log" 2>&1 || { cat "$dir.log" >&2; return 1; }
  for attempt in 1 2 3 4 5 6 7 8; do
    # Below the kernel's range of ephemeral ports.
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    if owned "$bin/pg_ctl" start --wait --timeout 30 --silent --pgdata "$dir/data" --log "$dir/data/server.log" --options \
      "-h 127.0.0.1 -p $port -k '' $durability -c max_connections=1000" \
      >>"$dir.log" 2>&1; then
      rm -f "$dir.log"
      echo "postgres://postgres@127.0.0.1:$port/postgres?sslmode=disable"
      return
    fi
  done
  cat "$dir.log" >&2
  owned tail -n 20 "$dir/data/server.log" >&2 || true
  echo "postgres.sh: PostgreSQL did not start after $attempt attempts" >&2
  return 1
}

stop() {
  local dir=$1 bin
  bin=$(binaries)
  if [[ -f $dir/data/postmaster.pid ]]; then
    owned "$bin/pg_ctl" stop --mode immediate --silent --pgdata "$dir/data" || true
  fi
  rm -rf "$dir" "$dir.log"
}

restart() {
  local dir=$1 bin
  bin=$(binaries)
  owned "$bin/pg_ctl" restart --wait --mode fast --silent --pgdata "$dir/data" --log "$dir/data/server.log"
}

with() {
  if [[ -n ${WEFT_TEST_POSTGRES:-} ]]; then
    exec "$@"
  fi
  if ! binaries >/dev/null; then
    if [[ -n ${CI:-} ]]; then
      echo "postgres.sh: PostgreSQL is not installed, which CI requires" >&2
      exit 1
    fi
    cat >&2 <<'EOF'
PostgreSQL is not installed: the tests run on SQLite only. To install it, use one of
  apt-get install postgresql          (Debian, Ubuntu)
  brew install postgresql             (macOS)
  docker run -d -p 127.0.0.1:5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust postgres:17
or set WEFT_TEST_POSTGRES to the URL of one.
EOF
    exec "$@"
  fi
  local parent url status=0
  parent=$(mktemp -d "${TMPDIR:-/tmp}/weft-postgres.XXXXXX")
  chmod 711 "$parent"
  # shellcheck disable=SC2064 # the folder's current value is the one to remove
  trap "stop '$parent/cluster'; rm -rf '$parent'" EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  url=$(start "$parent/cluster")
  WEFT_TEST_POSTGRES=$url "$@" || status=$?
  exit "$status"
}

case ${1:-} in
  with) shift; with "$@" ;;
  start) start "${2:?a folder}" ;;
  stop) stop "${2:?a folder}" ;;
  restart) restart "${2:?a folder}" ;;
  *) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
