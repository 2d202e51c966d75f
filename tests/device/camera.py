"""`tests/device/run picamera2`: our source on the real Picamera2 and libcamera's virtual camera.

Picamera2 comes unmodified from its package, libcamera from Debian 13. The tests run in an extracted Debian
tree, in a user namespace: no kernel module, no device node, no root.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.device.aarch64 import fetch_portrait
from tests.device.common import ROOT, FailedError, SkippedError, last_lines, need, say
from tests.device.debian import Archive, find_mirror, host_architecture
from tests.device.inside import enter, need_namespaces, passed_on, prepare
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


def check(mirror: str | None) -> None:
    """Run the tests in the tree; prints what they say to stdout.

    Raises:
        SkippedError: a tool, the network or user namespaces are missing.
        FailedError: a test failed.
    """
    need_namespaces()
    need("uv", "it fetches the demo's photograph")
    portrait = fetch_portrait()
    root = Archive(mirror or find_mirror(), "trixie", host_architecture()).tree(PACKAGES)
    prepare(root, "checkout")
    shutil.copytree(portrait.parents[3], root / PORTRAIT.relative_to("/"), dirs_exist_ok=True)
    _install(root)
    say("running the tests")
    done = enter(
        root,
        *("python3", "-m", "pytest", "-v", "-s", "-p", "no:cacheprovider", str(TESTS)),
        env={
            "HOME": "/tmp",
            "EDGE_FER_VIRTUAL_CAMERA": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{SITE}:{CHECKOUT}:{PORTRAIT}",
            # libcamera 0.4.0 never fills in a frame's metadata; memory of zeros reads as success.
            "GLIBC_TUNABLES": "glibc.malloc.perturb=255:glibc.malloc.tcache_count=0",
            "LIBCAMERA_LOG_LEVELS": "*:FATAL",
        },
        binds={ROOT: CHECKOUT},
    )
    print(done.stdout)
    if done.returncode:
        raise FailedError(f"pytest ended with {done.returncode}: {last_lines(done.stderr, 5)}")
    if " passed" not in done.stdout:
        raise FailedError("no test ran")


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
    pip = ("python3", "-m", "pip", "install", "-q", "--break-system-packages", "--target", str(SITE))
    done = enter(root, *pip, *REQUIREMENTS, env=passed_on())
    if done.returncode:
        kind = SkippedError if any(sign in done.stderr for sign in NETWORK_SIGNS) else FailedError
        raise kind(f"pip cannot install Picamera2: {last_lines(done.stderr, 5)}")
    stamp.write_text(wanted)
