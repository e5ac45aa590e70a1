#!/usr/bin/env bash
# Fetches the descriptions that providers publish of their APIs, and cuts them to what the manifests use:
#
#   scripts/specs.sh INTO     →   INTO/slack.json, INTO/linear.graphql, …
#
# npm packages come from npm's registry, repositories from GitHub, or from WEFT_SPECS_GIT/OWNER+NAME/repo if that
# is a git directory. A source that cannot be fetched is reported and left out; one that was fetched before is not fetched again.
set -euo pipefail

into=${1:?the folder to write to}
raw=$into/raw
mkdir -p "$raw"

npm_files() { # PACKAGE FOLDER FILE…
  local package=$1 folder=$2
  shift 2
  local archive
  archive=$(cd "$raw" && npm pack --silent "$package" | tail -n 1)
  mkdir -p "$folder"
  tar -xzf "$raw/$archive" -C "$folder" --strip-components=1 "${@/#/package/}"
  rm -f "${raw:?}/$archive"
}

git_files() { # REPOSITORY FOLDER FILE…
  local repository=$1 folder=$2 file
  shift 2
  local from=${WEFT_SPECS_GIT:-}/${repository/\//+}/repo
  if [[ ! -d $from ]]; then
    from=$raw/git/$repository
    [[ -d $from ]] || git clone --quiet --bare --depth 1 --filter=blob:none "https://github.com/$repository" "$from"
  fi
  for file in "$@"; do
    mkdir -p "$(dirname "$folder/$file")"
    git -C "$from" show "HEAD:$file" >"$folder/$file"
  done
}

sources=$(go run ./actors/integration/providers/slices sources)
while read -r kind name; do
  folder=$raw/$(sed 's/^@//; s|/|+|g' <<<"$name")
  mapfile -t files < <(awk -v kind="$kind" -v name="$name" '$1 == kind && $2 == name { sub(/^[^ ]+ [^ ]+ /, ""); print }' <<<"$sources")
  absent=()
  for file in "${files[@]}"; do
    [[ -s $folder/$file ]] || absent+=("$file")
  done
  [[ ${#absent[@]} -gt 0 ]] || continue
  "${kind}_files" "$name" "$folder" "${absent[@]}" || { echo "specs.sh: cannot fetch $kind $name" >&2; rm -rf "$folder"; }
done < <(awk '{ print $1, $2 }' <<<"$sources" | sort -u)

rm -f "$into"/*.json "$into"/*.graphql
go run ./actors/integration/providers/slices cut "$raw" "$into"
