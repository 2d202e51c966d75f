"""`tests/device/run armhf`: 32-bit Raspberry Pi OS 12, with tflite-runtime and apt's numpy and OpenCV.

There is no 32-bit wheel of ai-edge-litert, and none of numpy or OpenCV in the main registry, so this is
the path of docs/raspberry-pi.md for 32 bits: everything compiled comes from apt, except tflite-runtime.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from tests.device.aarch64 import fetch_portrait
from tests.device.common import CACHE, FailedError, SkippedError, call, last_lines, need, say
from tests.device.debian import find_mirror
from tests.device.emulator import check_emulator, fetch_emulator
from tests.device.frames import write_frames
from tests.device.systems import FRAMES, Run, System, run_all
from tests.device.wheels import NETWORK_SIGNS, build_wheel

LIBRARIES = "usr/lib/arm-linux-gnueabihf"
ARMHF = System(
    "armhf",
    "32-bit Raspberry Pi OS 12",
    "bookworm",
    "3.11",
    backends=("tflite-runtime",),
    processors=("cortex-a7",),
    architecture="armhf",
    machine="armv7l",
    packages=("python3-numpy", "python3-opencv", "opencv-data"),
    cascades="usr/share/opencv4/haarcascades",
    links=(
        (f"{LIBRARIES}/libblas.so.3", "blas/libblas.so.3"),
        (f"{LIBRARIES}/liblapack.so.3", "lapack/liblapack.so.3"),
    ),
)
TFLITE_RUNTIME = "tflite-runtime==2.14.0"
SCRIPT = "import sys\nfrom edge_runtime.__main__ import main\nsys.exit(main())\n"


def check(mirror: str | None, qemu: Path | None) -> None:
    """Run the check; prints a line per finding to stdout.

    Raises:
        SkippedError: a tool or the network is missing.
        FailedError: something is wrong.
    """
    need("uv", "it builds the wheel")
    emulator = check_emulator(qemu) if qemu else None
    mirror = mirror or find_mirror()
    emulator = emulator or fetch_emulator("qemu-arm", mirror)
    print(f"emulator: QEMU {emulator.version}")
    wheel = build_wheel()
    portrait = fetch_portrait()
    write_frames(FRAMES)
    root = ARMHF.tree(mirror)
    _install([wheel, _fetch_runtime()])
    runs = [Run(ARMHF, processor, root) for processor in ARMHF.processors]
    failures = run_all(runs, emulator, portrait, 1, {})
    if failures:
        raise FailedError(f"{len(failures)} findings:\n" + "\n".join(failures))


def _fetch_runtime() -> Path:
    """The 32-bit wheel; pip fetches it, because uv knows no 32-bit Arm platform."""
    folder = CACHE / "armhf-wheels"
    if not list(folder.glob("*.whl")):
        say(f"fetching {TFLITE_RUNTIME} for 32 bits")
        target = ("--platform", "manylinux_2_34_armv7l", "--python-version", ARMHF.python)
        pip = ("uv", "run", "--no-project", "--with", "pip", "python", "-m", "pip", "download", "-q")
        words = (*target, "--only-binary", ":all:", "--no-deps", TFLITE_RUNTIME, "-d", folder)
        done = call([*pip, *words])
        if done.returncode:
            kind = SkippedError if any(sign in done.stderr for sign in NETWORK_SIGNS) else FailedError
            raise kind(f"pip cannot fetch {TFLITE_RUNTIME}: {last_lines(done.stderr, 3)}")
    return next(folder.glob("*.whl"))


def _install(wheels: list[Path]) -> None:
    """Unpack wheels as `pip install --no-deps` does, and write the console script."""
    shutil.rmtree(ARMHF.site, ignore_errors=True)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(ARMHF.site)
    script = ARMHF.site / "bin" / "edge-fer"
    script.parent.mkdir(exist_ok=True)
    script.write_text(SCRIPT)
