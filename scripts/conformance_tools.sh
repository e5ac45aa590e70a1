#!/usr/bin/env bash
# Installs what make conformance judges weft with, where it is missing: Postfix, OpenDKIM, curl and Prometheus with promtool, Debian's. No
# server is configured or started; the tests start their own.
set -euo pipefail

missing=()
for program in postfix opendkim curl prometheus; do
  command -v "$program" >/dev/null || missing+=("$program")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0
if [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
  echo "conformance_tools.sh: ${missing[*]} must be installed, by root" >&2
  exit 1
fi
apt-get update -qq
echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
# policy-rc.d with 101 forbids packages to start services (invoke-rc.d(8)).
if [[ ! -e /usr/sbin/policy-rc.d ]]; then
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod +x /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
