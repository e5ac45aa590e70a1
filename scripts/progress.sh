#!/usr/bin/env bash
# Counts the packages that `go build -v` names on standard input, in one line of a terminal, and passes every other line on.
set -euo pipefail
count=0
while IFS= read -r line; do
  if [[ $line =~ ^[A-Za-z0-9._~/+-]+$ ]]; then
    count=$((count + 1))
    if [[ -t 1 ]]; then printf '\rcompiled %d packages' "$count"; fi
  else
    printf '%s\n' "$line"
  fi
done
if ((count > 0)); then
  if [[ -t 1 ]]; then printf '\r'; fi
  printf 'compiled %d packages\n' "$count"
fi
