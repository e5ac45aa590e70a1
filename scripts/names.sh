#!/usr/bin/env bash
# Fails if a subject, stream or bucket is named by a literal outside subjects and kv. Tests and examples may, because they act as
# external clients. mesh/permissions*.go may spell the server's own API subjects: it derives each user's permissions from
# the declarations of both packages, and neither can import the other.
set -euo pipefail

# shellcheck disable=SC2016 # $KV and the like are literal
found=$(git grep --untracked -nE '["`](weft\.(v1|job|event)\.|\$(KV|JS|SRV|O)\.|KV_|OBJ_)' -- \
  '*.go' ':!*_test.go' ':!subjects/' ':!kv/' ':!examples/' ':!mesh/permissions*.go' || [[ $? -eq 1 ]])
if [[ -n $found ]]; then
  printf '%s\n' "$found" >&2
  echo "names.sh: use the declaration of the subject, stream or bucket in subjects or kv" >&2
  exit 1
fi
