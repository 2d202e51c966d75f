"""Programs inside an extracted Debian tree of this machine's architecture: namespaces, no root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.device.common import SkippedError, call, last_lines, need

PLACES = ("proc", "dev", "sys", "tmp", "run")
PASSED_ON = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY")
FROM_HOST = ("/etc/resolv.conf", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")

ENTER = """
set -e
root=$0
for place in proc dev sys; do mount --rbind /$place "$root/$place"; done
while [ "$1" != -- ]; do
    mount --bind "$1" "$root$2"
    shift 2
done
shift
exec chroot "$root" /usr/bin/env -i "$@"
"""
"""Shell script: tree, pairs of a folder and its place in the tree, `--`, variables, a command."""

TRY = "for place in proc dev sys; do mount --rbind /$place /$place || exit; done; chroot / true"
"""Shell script: what `ENTER` needs the kernel to allow, without a tree."""

BASE = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}


def need_namespaces(*more: str) -> None:
    """Ask for what `enter` does; `more` are further options of unshare, e.g. `--net`.

    Raises:
        SkippedError: a tool is missing, or the kernel does not allow it.
    """
    need("unshare", "it is part of util-linux")
    need("chroot", "it is part of coreutils")
    words = ("--user", "--map-root-user", "--mount", *more)
    done = call(["unshare", *words, "sh", "-c", TRY])
    if done.returncode:
        why = last_lines(done.stderr, 1)
        raise SkippedError(f"this machine does not allow namespaces: unshare {' '.join(words)}: {why}")


def prepare(root: Path, *places: str) -> None:
    """Make the places of a tree on which `enter` mounts, and give it this machine's network settings."""
    for place in (*PLACES, *places):
        (root / place).mkdir(parents=True, exist_ok=True)
    for name in FROM_HOST:
        if Path(name).exists():
            there = root / name.lstrip("/")
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(name, there)


def passed_on() -> dict[str, str]:
    """This machine's settings of proxies and package registries."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def enter(
    root: Path,
    *words: str,
    env: Mapping[str, str] | None = None,
    binds: Mapping[Path, Path] | None = None,
    offline: bool = False,
    timeout_s: float = 600,
) -> subprocess.CompletedProcess[str]:
    """Run `words` as root of a user namespace inside the tree.

    Args:
        env: variables beside those of `BASE`; nothing else is passed on.
        binds: folders of this machine, and their places in the tree, which must be there.
        offline: in a network namespace of its own, without any network.

    Raises:
        FailedError: it ran longer than `timeout_s`.
    """
    spaces = ("--user", "--map-root-user", "--mount", *(("--net",) if offline else ()))
    pairs = [part for pair in (binds or {}).items() for part in pair]
    variables = [f"{name}={value}" for name, value in {**BASE, **(env or {})}.items()]
    command = ("unshare", *spaces, "sh", "-c", ENTER, root, *pairs, "--", *variables, *words)
    return call(command, timeout_s=timeout_s)
