#!/usr/bin/env bash
# Makes a private tree of Debian packages and everything they depend on: rootless, nothing installed in the system.
#
#   debtree.sh --suite SUITE --into DIR [--wrap usr/sbin/prog]... [--have package]... package...
#
# apt resolves and downloads with a state of its own and checks the archive's signature; dpkg-deb unpacks. A program
# of the tree runs through the tree's own loader: DIR/bin/prog. DIR appears complete or not at all.
# --have: a dependency that only matters when the package is configured (adduser, debconf …), left out.
# The mirror: ZVONAR_DEBIAN_MIRROR, else the machine's own apt sources, else debootstrap's default.
set -euo pipefail

readonly DISK_NEEDED_MB=900
say() { printf '  %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$1" >&2; shift; for hint in "$@"; do printf '  %s\n' "$hint" >&2; done; exit 1; }

suite='' into='' wraps=() haves=() packages=()
while [ $# -gt 0 ]; do
  case $1 in
    --suite) suite=$2; shift 2 ;;
    --into) into=$2; shift 2 ;;
    --wrap) wraps+=("$2"); shift 2 ;;
    --have) haves+=("$2"); shift 2 ;;
    --*) die "unknown option $1" ;;
    *) packages+=("$1"); shift ;;
  esac
done
if [ -z "$suite" ] || [ -z "$into" ] || [ ${#packages[@]} -eq 0 ]; then
  die "usage: debtree.sh --suite SUITE --into DIR package..."
fi

for tool in apt-get apt-cache apt-config dpkg dpkg-deb; do
  command -v "$tool" >/dev/null || die "$tool is missing: this machine is not of the Debian family" \
    "install Asterisk 18 or newer in your own way and set ASTERISK=/path/to/asterisk"
done
arch=$(dpkg --print-architecture)

mkdir -p "$(dirname "$into")"
free_mb=$(df -Pm "$(dirname "$into")" | awk 'NR==2 {print $4}')
[ "$free_mb" -ge "$DISK_NEEDED_MB" ] || die "only $free_mb MB free in $(dirname "$into"), $DISK_NEEDED_MB MB are needed" \
  "free some space, or set XDG_CACHE_HOME to a roomier place"
work=$(mktemp -d "$into.XXXXXX")
download=''
trap '[ -z "$download" ] || kill "$download" 2>/dev/null || true; rm -rf "$work"' EXIT
state=$work/apt
mkdir -p "$state"/{lists/partial,cache/archives/partial,etc/apt.conf.d,etc/preferences.d,etc/sources.list.d} "$work/tree"

# apt's own list of sources understands both formats (.list and deb822).
# --no-release-info: also where `apt-get update` never ran (a fresh image).
mirrors() {
  if [ -n "${ZVONAR_DEBIAN_MIRROR:-}" ]; then printf '%s\n' "${ZVONAR_DEBIAN_MIRROR%/}"; return; fi
  {
    # shellcheck disable=SC2016
    apt-get indextargets --no-release-info --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -E '/debian/?$' || true
    sed -n 's/^ *default_mirror  *//p' /usr/share/debootstrap/scripts/sid 2>/dev/null || true
  } | sed 's:/*$::' | awk '!seen[$0]++'
}

# The archive's key: the machine's own keyring, else the one that the machine's own (signed) apt source offers.
keyring() {
  local ring=/usr/share/keyrings/debian-archive-keyring
  for ring in "$ring.pgp" "$ring.gpg"; do [ -s "$ring" ] && { printf '%s' "$ring"; return; }; done
  say "the Debian archive keyring is not installed: fetching it from this machine's own package source"
  (cd "$work" && apt-get download debian-archive-keyring >/dev/null 2>&1 \
    && dpkg-deb -x debian-archive-keyring_*.deb "$work/keys") || return 1
  for ring in "$work"/keys/usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
    [ -s "$ring" ] && { printf '%s' "$ring"; return; }
  done
  return 1
}
ring=$(keyring) || die "no Debian archive keyring, so packages could not be verified" "install debian-archive-keyring"

system_apt=$(apt-config dump | grep -E '^Acquire::[A-Za-z]+::?(Proxy|[A-Za-z]+::Proxy|ProxyAutoDetect|Proxy-Auto-Detect|CaInfo|SslCert|SslKey|Verify-Peer)' || true)
for have in ${haves[@]+"${haves[@]}"}; do
  printf 'Package: %s\nStatus: install ok installed\nVersion: 9999\nArchitecture: %s\nMulti-Arch: foreign\nMaintainer: none\nDescription: left out\n\n' \
    "$have" "$arch"
done >"$state/status"
# Check-Valid-Until: a local or frozen mirror may be days old; signature and minimum version are what we rely on.
cat >"$state/apt.conf" <<EOF
$system_apt
Dir::State "$state";
Dir::State::Lists "$state/lists";
Dir::State::status "$state/status";
Dir::Cache "$state/cache";
Dir::Etc "$state/etc";
Dir::Etc::Parts "$state/etc/apt.conf.d";
Dir::Etc::netrc "/etc/apt/auth.conf";
Dir::Etc::netrcparts "/etc/apt/auth.conf.d";
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
Acquire::Retries "3";
Acquire::http::Timeout "20";
Debug::NoLocking "true";
EOF
private_apt() { APT_CONFIG="$state/apt.conf" "$@"; }

found=''
tried=()
while read -r mirror; do
  [ -n "$mirror" ] || continue
  tried+=("$mirror")
  say "reading the package list of $suite from $mirror"
  printf 'deb [signed-by=%s] %s %s main\n' "$ring" "$mirror" "$suite" >"$state/etc/sources.list"
  if private_apt apt-get -qq update >"$work/update.log" 2>&1 && ! grep -qE '^[EW]:' "$work/update.log"; then
    found=$mirror
    break
  fi
  sed 's/^/    /' "$work/update.log" >&2
done < <(mirrors)
[ -n "$found" ] || die "no Debian mirror could be reached (tried: ${tried[*]:-none})" \
  "is this machine on the network? Name a mirror with ZVONAR_DEBIAN_MIRROR=<its address, ending in /debian>"

private_apt apt-get -y --print-uris install "${packages[@]}" >"$work/uris" 2>"$work/resolve.log" \
  || { sed 's/^/    /' "$work/resolve.log" >&2; die "apt cannot resolve: ${packages[*]}"; }
read -r count total_mb < <(awk -v q="'" 'index($0, q) == 1 {n++; s += $3} END {printf "%d %d\n", n, s / 1e6}' "$work/uris")
say "downloading $count packages, $total_mb MB"
private_apt apt-get -y -qq --download-only install "${packages[@]}" >"$work/download.log" 2>&1 &
download=$!
for ((second = 1; ; second++)); do
  kill -0 "$download" 2>/dev/null || break
  sleep 1
  if [ $((second % 5)) -eq 0 ]; then say "… $(du -sm "$state/cache" | cut -f 1) of $total_mb MB"; fi
done
wait "$download" \
  || { tail -n 5 "$work/download.log" | sed 's/^/    /' >&2; die "the download failed" "run it again; full disk? broken network?"; }

say "unpacking"
for deb in "$state"/cache/archives/*.deb; do
  dpkg-deb -x "$deb" "$work/tree" || die "cannot unpack ${deb##*/}" "is the disk full?"
done

# shellcheck disable=SC2016
loader=$(cd "$work/tree" && find . -path '*ld-linux*.so*' \( -type f -o -type l \) | grep -E '^\./(usr/)?lib(64)?/[^/]*$|^\./(usr/)?lib/[^/]*/ld-' | sort | head -n 1 || true)
[ -n "$loader" ] || [ ${#wraps[@]} -eq 0 ] || die "the tree has no program loader for $arch"
libraries=$(cd "$work/tree" && for dir in usr/lib/*-linux-gnu* lib/*-linux-gnu* usr/lib; do if [ -d "$dir" ]; then printf '%s\n' "$dir"; fi; done)
mkdir -p "$work/tree/bin"
for program in ${wraps[@]+"${wraps[@]}"}; do
  [ -e "$work/tree/$program" ] || die "the packages do not hold $program"
  wrapper=$work/tree/bin/${program##*/}
  {
    printf '#!/bin/sh\n'
    # shellcheck disable=SC2016
    printf 'tree=$(dirname "$(dirname "$(readlink -f "$0")")")\n'
    printf 'exec "$tree/%s" --library-path "' "${loader#./}"
    printf '%s' "$libraries" | awk '{printf "%s$tree/%s", (NR > 1 ? ":" : ""), $0}'
    printf '" "$tree/%s" "$@"\n' "$program"
  } >"$wrapper"
  chmod 755 "$wrapper"
done
private_apt apt-cache policy "${packages[@]}" | awk '/^[^ ]/ {sub(":", ""); name = $1} /Candidate:/ {print name, $2}' >"$work/tree/packages.txt"

rm -rf "$into"
mv "$work/tree" "$into"
