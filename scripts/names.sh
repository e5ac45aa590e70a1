#!/usr/bin/env bash
# Fails when a subject, stream or bucket is named by a literal outside subjects and kv (tests may: they stand on the
# wire as a stranger would). mesh/permissions*.go may spell the server's own API subjects: it derives from the
# declarations of both rooms what each user may use, and neither room can import the other.
set -euo pipefail

# shellcheck disable=SC2016 # $KV and its like are meant as they stand
found=$(git grep --untracked -nE '["`](weft\.(v1|job|event)\.|\$(KV|JS|SRV|O)\.|KV_|OBJ_)' -- \
  '*.go' ':!*_test.go' ':!subjects/' ':!kv/' ':!mesh/permissions*.go' || [[ $? -eq 1 ]])
if [[ -n $found ]]; then
  printf '%s\n' "$found" >&2
  echo "names.sh: a subject, stream or bucket is named once, in subjects or kv: use that" >&2
  exit 1
fi
