#!/usr/bin/env bash
# Prints the tables of docs/performance.md, measured on this machine by the benchmarks of e2e/bench_test.go:
#
#   scripts/measure.sh [ROUNDS]    each figure is the median of so many rounds (default 5)
#
# Only ratios are comparable between machines: every target of a comparison is measured in the same run, alternating.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rounds=${1:-5}
out=$(go test -run '^$' -bench '^Benchmark(AuthenticatedRead|ColdStart|IdleMemory)$' -benchtime "${rounds}x" -timeout 30m ./e2e)

# metric BENCHMARK UNIT prints one figure of go test's output: name, rounds, then pairs of value and unit.
metric() {
  awk -v name="$1" -v unit="$2" '$1 ~ "^Benchmark" name "(-[0-9]+)?$" { for (i = 3; i < NF; i += 2) if ($(i + 1) == unit) print $i }' <<<"$out"
}

row() {
  printf '| %s | %s | %s µs | %s µs | %s µs |\n' "$1" "$(metric AuthenticatedRead "$2_req/s")" "$(metric AuthenticatedRead "$2_p50_µs")" \
    "$(metric AuthenticatedRead "$2_p99_µs")" "$(metric AuthenticatedRead "$2_cpu_µs/req")"
}

printf '%s, %s cores, load generator on the same machine, %s rounds, %s\n\n' \
  "$(awk -F': *' '/^model name/ { print $2; exit }' /proc/cpuinfo)" "$(nproc)" "$rounds" "$(go env GOVERSION)"
cat <<'TABLE'
| GET /v1/users/me, 64 connections | requests/s | p50 | p99 | processor a request |
| --- | --- | --- | --- | --- |
TABLE
row 'a bare HTTP handler' handler
row 'a bare HTTP → NATS → echo bridge' bridge
row 'weft: token, limits, validation, metrics, traces, logs, database' weft
printf '\nOf the bridge %s, of the handler %s.\n\n' "$(metric AuthenticatedRead of_bridge)" "$(metric AuthenticatedRead of_handler)"
cat <<'TABLE'
| | median | slowest |
| --- | --- | --- |
TABLE
printf '| cold start until ready, empty folder | %s ms | %s ms |\n' "$(metric ColdStart/first ready_ms)" "$(metric ColdStart/first slowest_ms)"
printf '| cold start until ready, used folder | %s ms | %s ms |\n' "$(metric ColdStart/again ready_ms)" "$(metric ColdStart/again slowest_ms)"
printf '| resident memory, idle for 10 s | %s MB | |\n' "$(metric IdleMemory rss_MB)"
