#!/usr/bin/env bash
# Creates actors/auth/password/breached_passwords.txt.gz: the passwords of eight or more characters that are most frequent in breaches, in
# lower case, sorted, without duplicates. They come from the frequency list of the npm package @zxcvbn-ts/language-common (MIT, see
# NOTICE), which derives from published breaches. Needs npm.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

package=@zxcvbn-ts/language-common version=4.1.3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
(cd "$dir" && npm pack --silent "$package@$version" >/dev/null && tar xzf ./*.tgz)
{
  echo "# Derived from $package $version, MIT, (c) 2012-2016 Dan Wheeler and Dropbox, Inc., (c) 2021 @zxcvbn-ts: see NOTICE."
  node -e '
    const words = require(process.argv[1]).map(w => w.normalize("NFC").toLowerCase()).filter(w => [...w].length >= 8 && !/\s/.test(w));
    console.log([...new Set(words)].sort().join("\n"))' "$dir/package/src/passwords.json" | LC_ALL=C sort -u
} | gzip -9n >actors/auth/password/breached_passwords.txt.gz
echo "$(gzip -dc actors/auth/password/breached_passwords.txt.gz | tail -n +2 | wc -l) passwords"
