#!/usr/bin/env bash
# Prints the go test arguments that run exactly the tests behind a build tag:
#
#   scripts/tagged.sh flags TAG      →   -tags TAG -run ^(TestA|TestB)$
#   scripts/tagged.sh packages TAG   →   ./package ./other/package
#
# With the tag alone, go test would run every ordinary test of those packages a second time. A tag that no test carries
# is an error, so that a suite cannot disappear unnoticed.
set -euo pipefail

what=${1:?flags or packages} tag=${2:?a build tag}
mapfile -t files < <(git ls-files --cached --others --exclude-standard '*_test.go' | xargs -r grep -lE "^//go:build $tag( |\$)" || true)
if [[ ${#files[@]} -eq 0 ]]; then
  echo "tagged.sh: no test file carries //go:build $tag" >&2
  exit 1
fi
case $what in
  flags)
    names=$(grep -hoE '^func (Test|Example|Fuzz)[A-Za-z0-9_]*' "${files[@]}" | sed 's/^func //' | grep -vx TestMain | sort -u | paste -sd '|')
    [[ -n $names ]] || { echo "tagged.sh: no test has the tag $tag" >&2; exit 1; }
    echo "-tags $tag -run ^($names)\$" ;;
  packages)
    # shellcheck disable=SC2046 # one word per folder
    echo $(printf './%s\n' "${files[@]}" | xargs -n 1 dirname | sort -u) ;;
  *)
    echo "tagged.sh: flags or packages, not $what" >&2
    exit 2 ;;
esac
