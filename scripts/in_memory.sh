#!/usr/bin/env bash
# Runs COMMAND… with TMPDIR in memory, where the system has a file system for that with enough space: tests create thousands of streams and
# databases, whose files cost most of their time on a disk. What asks for durability (make torture, make bench) runs without.
#
#   scripts/in_memory.sh COMMAND…
#
# WEFT_TEST_TMPDIR names another folder, also one on a disk.
set -euo pipefail

# What must be free, in KiB: in the file system, and in memory.
space=$((6 << 20))
memory=$((8 << 20))

# enough reports whether /dev/shm is in memory and has room.
enough() {
  [[ -d /dev/shm && -w /dev/shm && $(stat -f -c %T /dev/shm 2>/dev/null) == tmpfs ]] || return 1
  [[ $(df -k --output=avail /dev/shm | tail -n 1) -ge $space ]] || return 1
  [[ $(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo) -ge $memory ]]
}

if [[ -n ${WEFT_TEST_TMPDIR:-} ]]; then
  export TMPDIR=$WEFT_TEST_TMPDIR
  exec "$@"
fi
if ! enough; then
  exec "$@"
fi
# testing.T.TempDir prefers GOTMPDIR.
unset GOTMPDIR
TMPDIR=$(mktemp -d /dev/shm/weft-test.XXXXXX)
export TMPDIR
chmod 711 "$TMPDIR"
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
status=0
"$@" || status=$?
exit "$status"
