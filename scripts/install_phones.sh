#!/usr/bin/env bash
# Gives baresip (robot desk phones) and SIPp (a scripted carrier for tests), in the same private way as Asterisk.
# Prints the folder that holds both programs as the last line of standard output; a second run only looks.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/zvonar
tree=$cache/phones

if [ ! -x "$tree/bin/baresip" ] || [ ! -x "$tree/bin/sipp" ]; then
  mkdir -p "$cache"
  exec 9>"$cache/install.lock"
  flock -n 9 || { printf 'another installation is running, waiting for it\n' >&2; flock 9; }
  if [ ! -x "$tree/bin/baresip" ] || [ ! -x "$tree/bin/sipp" ]; then
    printf 'Installing baresip and SIPp under %s (about 20 s, no root needed, nothing changed in the system)\n' "$tree" >&2
    "$here/debtree.sh" --suite sid --into "$tree" --wrap usr/bin/baresip --wrap usr/bin/sipp \
      --have adduser --have debconf --have tzdata baresip-core sip-tester
  fi
fi
printf '%s\n' "$tree/bin"
