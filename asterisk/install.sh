#!/usr/bin/env bash
# Gives a private, rootless Asterisk and prints the path of its executable as the last line of standard output.
#
#   asterisk/install.sh                 Asterisk 22 (at least 22.10.1) from Debian unstable
#   asterisk/install.sh --version 16    Asterisk 16 from Debian 11: an ARI without requests over its WebSocket
#   asterisk/install.sh --upgrade       look for a newer package even when one is already here
#   ASTERISK=/usr/sbin/asterisk …       use that one (18 or newer), install nothing
#
# Kept in $XDG_CACHE_HOME/zvonar (default ~/.cache/zvonar) by version: a second run only looks. To remove: delete it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly MINIMUM_22=22.10.1 MINIMUM_OWN=18
cache=${XDG_CACHE_HOME:-$HOME/.cache}/zvonar
say() { printf '%s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$1" >&2; shift; for hint in "$@"; do printf '  %s\n' "$hint" >&2; done; exit 1; }
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }
version_of() { "$1" -V 2>/dev/null | sed -nE 's/^Asterisk (certified[\/-])?([0-9]+(\.[0-9]+)*).*/\2/p' || true; }

major=22 upgrade=no
while [ $# -gt 0 ]; do
  case $1 in
    --version) major=${2:?--version needs 22 or 16}; shift 2 ;;
    --upgrade) upgrade=yes; shift ;;
    --print) shift ;; # the path is always printed
    -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) die "unknown option $1" "see asterisk/install.sh --help" ;;
  esac
done

if [ -n "${ASTERISK:-}" ] && [ "$major" = 22 ]; then
  [ -x "$ASTERISK" ] || die "ASTERISK=$ASTERISK is not an executable file" "unset ASTERISK to have a private one installed"
  version=$(version_of "$ASTERISK")
  [ -n "$version" ] || die "$ASTERISK does not say that it is Asterisk (asked with -V)"
  at_least "$version" "$MINIMUM_OWN" || die "$ASTERISK is Asterisk $version, $MINIMUM_OWN or newer is needed"
  say "Asterisk $version: $ASTERISK (from ASTERISK=)"
  printf '%s\n' "$ASTERISK"
  exit 0
fi

# --have: what only configuring the packages as root would need, and a monitoring agent that we never load.
common=(--wrap usr/sbin/asterisk --have adduser --have debconf --have tzdata --have gnupg --have passwd)
case $major in
  22) minimum=$MINIMUM_22
      recipe=(--suite sid "${common[@]}" --have libsnmp45 asterisk asterisk-core-sounds-en-wav asterisk-core-sounds-ru-wav) ;;
  16) minimum=16.28
      recipe=(--suite bullseye "${common[@]}" --have libsnmp40 --have perl asterisk asterisk-core-sounds-en-wav asterisk-core-sounds-ru-wav) ;;
  *) die "there is no recipe for Asterisk $major" "known: 22, 16; or set ASTERISK=/path/to/asterisk" ;;
esac

newest() {
  for dir in "$cache/asterisk-$major".*; do
    if [ -x "$dir/bin/asterisk" ]; then printf '%s\n' "$dir"; fi
  done | sort -V | tail -n 1
}
installed=$(newest)
if [ -n "$installed" ] && [ "$upgrade" = no ]; then
  say "Asterisk ${installed##*/asterisk-}: ready in $installed"
  printf '%s\n' "$installed/bin/asterisk"
  exit 0
fi

mkdir -p "$cache" || die "cannot create $cache" "set XDG_CACHE_HOME to a folder you may write to"
exec 9>"$cache/install.lock"
flock -n 9 || { say "another installation is running, waiting for it"; flock 9; }
installed=$(newest)
if [ -z "$installed" ] || [ "$upgrade" = yes ]; then
  say "Installing a private Asterisk $major under $cache (about 1 minute, no root needed, nothing changed in the system)"
  fresh=$cache/.asterisk-$major.new
  rm -rf "$fresh" "$fresh".* # what an interrupted run left behind; the lock says that nobody works on it
  "$here/../scripts/debtree.sh" --into "$fresh" "${recipe[@]}"
  # The packages would link the languages to their voices when configured.
  for voice in "$fresh"/usr/share/asterisk/sounds/??_*; do
    [ -d "$voice" ] || continue
    name=${voice##*/}
    [ -e "${voice%/*}/${name%%_*}" ] || ln -s "$name" "${voice%/*}/${name%%_*}"
  done
  version=$(version_of "$fresh/bin/asterisk")
  [ -n "$version" ] || die "the unpacked Asterisk does not start" "run $fresh/bin/asterisk -V to see why"
  at_least "$version" "$minimum" || die "the mirror has Asterisk $version, at least $minimum is needed (known security holes below)" \
    "name a newer mirror with ZVONAR_DEBIAN_MIRROR="
  installed=$cache/asterisk-$version
  rm -rf "$installed"
  mv "$fresh" "$installed"
  say "Asterisk $version: installed in $installed"
fi
printf '%s\n' "$installed/bin/asterisk"
