"""`tests/device/run picamera2`: our source on the real Picamera2 and libcamera's virtual camera.

Picamera2 comes unmodified from its package, libcamera from Debian 13. The tests run in an extracted Debian
tree, in a user namespace: no kernel module, no device node, no root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.device.aarch64 import fetch_portrait
from tests.device.common import ROOT, FailedError, SkippedError, call, last_lines, need, say
from tests.device.debian import Archive, find_mirror, host_architecture
from tests.device.wheels import NETWORK_SIGNS

PACKAGES = (
    "base-files",
    "bash",
    "coreutils",
    "python3",
    "python3-libcamera",
    "libcamera-ipa",
    # Two requirements of Picamera2 are built from source.
    "python3-dev",
    "python3-pip",
    "gcc",
    "libc6-dev",
    "libcap-dev",
)
REQUIREMENTS = (
    "picamera2==0.3.38",
    "pytest",
    "numpy",
    "opencv-python-headless>=4.10,<5",
    "ai-edge-litert>=2.1",
)
CHECKOUT = Path("/checkout")
SITE = Path("/opt/site")
PORTRAIT = Path("/opt/portrait")
TESTS = CHECKOUT / "tests" / "device" / "test_picamera2.py"
PASSED_ON = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY")
FROM_HOST = ("/etc/resolv.conf", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")

ENTER = """
set -e
for place in /proc /dev /sys; do mount --rbind $place "$0$place"; done
mount --bind "$1" "$0$2"
root=$0
shift 2
exec chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin HOME=/tmp LC_ALL=C.UTF-8 "$@"
"""
"""Shell script: tree, checkout, its place in the tree, then variables and a command."""


def check(mirror: str | None) -> None:
    """Run the tests in the tree; prints what they say to stdout.

    Raises:
        SkippedError: a tool, the network or user namespaces are missing.
        FailedError: a test failed.
    """
    need("unshare", "it is part of util-linux")
    need("uv", "it fetches the demo's photograph")
    if call(["unshare", "--user", "--map-root-user", "--mount", "true"]).returncode:
        raise SkippedError("this machine does not allow user namespaces (unshare --user --mount failed)")
    portrait = fetch_portrait()
    root = Archive(mirror or find_mirror(), "trixie", host_architecture()).tree(PACKAGES)
    for place in ("proc", "dev", "sys", "tmp", "checkout"):
        (root / place).mkdir(exist_ok=True)
    shutil.copytree(portrait.parents[3], root / PORTRAIT.relative_to("/"), dirs_exist_ok=True)
    _install(root)
    say("running the tests")
    done = _enter(
        root,
        "EDGE_FER_VIRTUAL_CAMERA=1",
        "PYTHONDONTWRITEBYTECODE=1",
        f"PYTHONPATH={SITE}:{CHECKOUT}:{PORTRAIT}",
        # libcamera 0.4.0 never fills in a frame's metadata; memory of zeros reads as success.
        "GLIBC_TUNABLES=glibc.malloc.perturb=255:glibc.malloc.tcache_count=0",
        "LIBCAMERA_LOG_LEVELS=*:FATAL",
        *("python3", "-m", "pytest", "-v", "-s", "-p", "no:cacheprovider", str(TESTS)),
    )
    print(done.stdout)
    if done.returncode:
        raise FailedError(f"pytest ended with {done.returncode}: {last_lines(done.stderr, 5)}")
    if " passed" not in done.stdout:
        raise FailedError("no test ran")


def _enter(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `words`, variables first, as root of a user namespace inside the tree."""
    return call(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", ENTER, root, ROOT, CHECKOUT, *words]
    )


def _install(root: Path) -> None:
    """Install Picamera2 and what edge-fer requires into the tree, once.

    Raises:
        SkippedError: no network.
        FailedError: pip failed.
    """
    stamp = root / "opt" / "site" / ".requirements"
    wanted = "\n".join(REQUIREMENTS)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    say("installing Picamera2 in the tree")
    for name in FROM_HOST:
        if Path(name).exists():
            there = root / name.lstrip("/")
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(name, there)
    variables = [f"{name}={os.environ[name]}" for name in PASSED_ON if name in os.environ]
    pip = ("python3", "-m", "pip", "install", "-q", "--break-system-packages", "--target", str(SITE))
    done = _enter(root, *variables, *pip, *REQUIREMENTS)
    if done.returncode:
        kind = SkippedError if any(sign in done.stderr for sign in NETWORK_SIGNS) else FailedError
        raise kind(f"pip cannot install Picamera2: {last_lines(done.stderr, 5)}")
    stamp.write_text(wanted)
