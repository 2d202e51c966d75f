#!/usr/bin/env bash
# Install, upgrade or roll back edge-fer as a service. Needs root, Debian or Raspberry Pi OS, 64 bit.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: install.sh [--wheelhouse DIR] [--extras LIST] [--package NAME|FILE] [--constraints FILE] [--root DIR]
                  [--no-service]
       install.sh --rollback [--root DIR] [--no-service]

  --wheelhouse DIR   install from the wheels in DIR, without a network
  --extras LIST      optional parts to install as well, e.g. web,mqtt
  --package NAME     what pip installs (default: the clone that this file is in; with --wheelhouse: edge-fer)
  --constraints FILE pip constraints (default on Raspberry Pi OS 12: constraints-bookworm.txt)
  --rollback         go back to the release before
  --root DIR         install below DIR instead of / (for images and tests)
  --no-service       make no user and leave systemd alone; root alone can read the settings then
TEXT
}

fail() { printf 'install.sh: error: %s\n' "$1" >&2; exit "${2:-1}"; }

here=$(cd "$(dirname "$0")" && pwd)
root="" package="" extras="" wheelhouse="" constraints="" service=1 rollback=0
while [ $# -gt 0 ]; do
    case "$1" in
        --wheelhouse | --extras | --package | --constraints | --root)
            [ $# -ge 2 ] || fail "$1 needs a value" 2
            case "$1" in
                --wheelhouse) wheelhouse=$2 ;;
                --extras) extras=$2 ;;
                --package) package=$2 ;;
                --constraints) constraints=$2 ;;
                --root) root=$(realpath -m -- "$2"); root=${root%/} ;;
            esac
            shift 2 ;;
        --rollback) rollback=1; shift ;;
        --no-service) service=0; shift ;;
        --help | -h) usage; exit 0 ;;
        *) usage >&2; fail "unknown argument $1" 2 ;;
    esac
done

[ "$(id -u)" = 0 ] || fail "must run as root; use sudo"
[ -z "$wheelhouse" ] || [ -d "$wheelhouse" ] || fail "no folder $wheelhouse"

prefix=$root/opt/edge-fer
current=$prefix/current

switch_to() {
    # A rename is atomic: the service finds the old release or the new one, never none.
    ln -sfn "$1" "$prefix/.next"
    mv -T "$prefix/.next" "$current"
}

restart() {
    [ "$service" = 1 ] || return 0
    systemctl daemon-reload
    systemctl enable --quiet edge-fer.service
    systemctl restart edge-fer.service
}

if [ "$rollback" = 1 ]; then
    before=$(cat "$prefix/previous" 2>/dev/null) || fail "no release before this one in $prefix"
    [ -d "$prefix/$before" ] || fail "the release before, $prefix/$before, is gone"
    now=$(readlink "$current")
    switch_to "$before"
    printf '%s\n' "$now" > "$prefix/previous"
    restart
    printf 'install.sh: went back to %s\n' "$before"
    exit 0
fi

command -v python3 >/dev/null || fail "no python3; apt install python3 python3-venv"
python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
    fail "$(python3 --version) is not supported; use Python 3.11, 3.12 or 3.13"
python3 -c 'import ensurepip, venv' 2>/dev/null || fail "no venv; apt install python3-venv"

if [ -z "$constraints" ] && grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release &&
    python3 -c 'import picamera2' 2>/dev/null; then
    constraints=$here/constraints-bookworm.txt
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -z "$package" ] && [ -n "$wheelhouse" ]; then
    package=edge-fer
elif [ -z "$package" ]; then
    [ -f "$here/../setup.cfg" ] || fail "no clone around $here; give --wheelhouse or --package" 2
    # Built from a copy, so that nothing is left in the clone that a later build would take up.
    for part in edge_runtime pyproject.toml setup.cfg README.md LICENSE; do
        cp -r "$here/../$part" "$work/"
    done
    package=$work
fi
[ -z "$extras" ] || package="$package[$extras]"

mkdir -p "$prefix"
release=release-$(date +%Y%m%d-%H%M%S)
[ ! -e "$prefix/$release" ] || fail "$prefix/$release exists; try again in a second"
trap 'rm -rf "$work" "${prefix:?}/$release"' EXIT

# The system's packages are visible because picamera2 and libcamera come from apt.
python3 -m venv --system-site-packages "$prefix/$release"
options=(--quiet --disable-pip-version-check)
[ -z "$wheelhouse" ] || options+=(--no-index --find-links "$wheelhouse")
[ -z "$constraints" ] || options+=(--constraint "$constraints")
"$prefix/$release/bin/pip" install "${options[@]}" "$package" || fail "pip could not install $package"
"$prefix/$release/bin/edge-fer" doctor || fail "doctor found a failure; the release before stays in use"

if [ "$service" = 1 ]; then
    getent passwd edge-fer >/dev/null ||
        useradd --system --user-group --home-dir /var/lib/edge-fer --shell /usr/sbin/nologin edge-fer
fi

settings=$root/etc/edge-fer/edge-fer.toml
mkdir -p "$root/etc/edge-fer"
if [ ! -e "$settings" ]; then
    "$prefix/$release/bin/edge-fer" config --print --source picamera2 > "$work/edge-fer.toml"
    install -m 600 "$work/edge-fer.toml" "$settings"
fi
# A camera's address holds its password. A file that was given to somebody else than root stays as it is.
if [ "$service" = 1 ] && [ ! -L "$settings" ] && [ "$(stat -c %u:%g "$settings")" = 0:0 ]; then
    chgrp edge-fer "$settings"
    chmod 640 "$settings"
fi
# Names without a folder mean the service's own.
state=$root/var/lib/edge-fer
[ -d "$state" ] || state=/
(cd "$state" && "$prefix/$release/bin/edge-fer" config --config "$settings") ||
    fail "the configuration does not fit the new release; the release before stays in use"

if [ "$service" = 1 ]; then
    install -m 644 "$here/edge-fer.service" "$root/etc/systemd/system/edge-fer.service"
fi

trap 'rm -rf "$work"' EXIT
if [ -L "$current" ]; then
    readlink "$current" > "$prefix/previous"
fi
switch_to "$release"

# Keep this release and the one before.
for old in "$prefix"/release-*; do
    name=$(basename "$old")
    if [ "$name" != "$release" ] && [ "$name" != "$(cat "$prefix/previous" 2>/dev/null)" ]; then
        rm -rf "$old"
    fi
done

restart
printf 'install.sh: %s is in use; settings: /etc/edge-fer/edge-fer.toml\n' "$release"
