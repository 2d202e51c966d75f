"""Checks of the environment: each finds something out and says what to do about it."""

from __future__ import annotations

import platform
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

from edge_runtime.backends import load_backend
from edge_runtime.classifier import MODELS_DIR, Classifier
from edge_runtime.errors import BackendUnavailableError, EdgeFerError
from edge_runtime.modelfile import read_tflite
from edge_runtime.selftest import check_vectors

OK, WARN, FAIL = "ok", "warn", "fail"

INTERPRETERS = ("litert", "tflite-runtime")
"""Backends that run the released models, which are `.tflite` files."""

MIN_FREE_MB = 200
EARLIEST_CLOCK_S = 1_735_689_600
"""1 January 2025: a board without a real-time clock wakes up before it."""

THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
BOARD = Path("/proc/device-tree/model")


@dataclass(frozen=True)
class Check:
    """What one check found."""

    name: str
    status: str
    """`ok`, `warn` (works, but look at it) or `fail` (does not work)."""
    found: str
    fix: str = ""
    """What to do; empty when there is nothing to do."""

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def examine() -> list[Check]:
    """Run every check; none of them raises."""
    checks: list[Check] = []
    for probe in (_system, _python, _numpy, _opencv, _models, _camera, _power, _disk, _clock):
        checks.extend(_guarded(probe))
    return checks


def _guarded(probe: Callable[[], list[Check]]) -> list[Check]:
    name = probe.__name__.strip("_")
    try:
        return probe()
    # A damaged package can raise anything when it is imported, and the other checks must still run.
    except Exception as error:
        return [Check(name, FAIL, f"{type(error).__name__}: {error}", "reinstall edge-fer")]


def _system() -> list[Check]:
    board = BOARD.read_text(errors="replace").strip("\0\n ") if BOARD.exists() else platform.machine()
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    name = release.get("PRETTY_NAME", platform.system())
    # A 32-bit Raspberry Pi OS may run a 64-bit kernel, which answers aarch64: Python's own width decides.
    bits = sys.maxsize.bit_length() + 1
    found = f"{board}, {name}, {platform.machine()}, {bits}-bit Python"
    if platform.machine() in ("x86_64", "aarch64") and bits == 64:
        return [Check("system", OK, found)]
    return [Check("system", WARN, found, "use a 64-bit system; 32-bit has tflite-runtime alone")]


def _python() -> list[Check]:
    version = platform.python_version()
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return [Check("python", OK, version)]
    return [Check("python", WARN, f"{version} is not tested", "use Python 3.11, 3.12 or 3.13")]


def _numpy() -> list[Check]:
    version = metadata.version("numpy")
    if int(version.split(".")[0]) >= 2 and find_spec("simplejpeg") and find_spec("picamera2"):
        # Raspberry Pi OS 12 builds simplejpeg against numpy 1; importing it with numpy 2 fails.
        try:
            import_module("simplejpeg")
        except (ImportError, ValueError) as error:
            fix = "pip install 'numpy<2'"
            return [Check("numpy", FAIL, f"{version} breaks the camera's simplejpeg ({error})", fix)]
    return [Check("numpy", OK, version)]


def _opencv() -> list[Check]:
    import cv2

    from edge_runtime.detectors import load_detector

    try:
        load_detector("haar")
    except EdgeFerError as error:
        found = f"{cv2.__version__}; detector haar is not available: {error}"
        return [Check("opencv", WARN, found, "pip install 'opencv-python-headless>=4.10,<5'")]
    return [Check("opencv", OK, f"{cv2.__version__}, face cascade found")]


def _models() -> list[Check]:
    """Every released model on every interpreter that is installed."""
    paths = sorted(MODELS_DIR.glob("*.tflite"))
    if not paths:
        return [Check("models", FAIL, "no released model is installed", "reinstall edge-fer")]
    checks = []
    works = False
    for backend in INTERPRETERS:
        try:
            checks += [_model(path, backend) for path in paths]
        except BackendUnavailableError as error:
            checks.append(Check(f"backend {backend}", OK, f"not used: {error}"))
        else:
            works = True
    if not works:
        fix = "pip install ai-edge-litert, or on Python 3.11 pip install 'edge-fer[tflite-runtime]'"
        checks.append(Check("backends", FAIL, "no interpreter works", fix))
    return checks


def _model(path: Path, interpreter: str) -> Check:
    """Load a classifier or detector as the pipeline does, and run its self-test."""
    from edge_runtime.detectors.edge import EdgeDetector

    name = f"model {path.stem} on {interpreter}"
    try:
        file = read_tflite(path)
        backend = load_backend(file.data, interpreter)
        if file.contract.task == "detect":
            EdgeDetector(file, backend)
        else:
            Classifier(file, backend)
        deviation = check_vectors(file, backend)
    except BackendUnavailableError:
        raise
    except EdgeFerError as error:
        return Check(name, FAIL, str(error), "reinstall edge-fer, or use another backend")
    found = f"self-test passed, deviation {deviation:g}, {backend.description}"
    backend.close()
    return Check(name, OK, found)


def _camera() -> list[Check]:
    devices = sorted(str(path) for path in Path("/dev").glob("video*"))
    usb = Check("video devices", OK, ", ".join(devices) or "none")
    if find_spec("picamera2") is None:
        fix = (
            "on a Raspberry Pi: apt install python3-picamera2 --no-install-recommends, "
            "then python3 -m venv --system-site-packages"
        )
        return [usb, Check("picamera2", WARN if _is_pi() else OK, "not visible in this environment", fix)]
    try:
        import_module("libcamera")
    except ImportError as error:
        fix = "make the environment with python3 -m venv --system-site-packages and the system's Python"
        return [usb, Check("picamera2", FAIL, f"found, but libcamera fails: {error}", fix)]
    return [usb, Check("picamera2", OK, f"visible, {metadata.version('picamera2')}")]


def _is_pi() -> bool:
    return BOARD.exists() and "Raspberry Pi" in BOARD.read_text(errors="replace")


THROTTLE_FLAGS = {
    0: "under-voltage now",
    1: "frequency capped now",
    2: "throttled now",
    3: "soft temperature limit now",
    16: "under-voltage since boot",
    17: "frequency capped since boot",
    18: "throttled since boot",
    19: "soft temperature limit since boot",
}
"""Bits of the firmware's get_throttled, as Raspberry Pi documents them for vcgencmd."""


def _power() -> list[Check]:
    if not THROTTLED.exists():
        return [Check("power", OK, "no throttle flags on this machine")]
    bits = int(THROTTLED.read_text().strip(), 16)
    flags = [text for bit, text in THROTTLE_FLAGS.items() if bits >> bit & 1]
    if not flags:
        return [Check("power", OK, "no under-voltage, no throttling")]
    fix = "use the board's own power supply and cool the board"
    return [Check("power", WARN, ", ".join(flags), fix)]


def _disk() -> list[Check]:
    free_mb = shutil.disk_usage(Path.cwd()).free >> 20
    if free_mb >= MIN_FREE_MB:
        return [Check("disk", OK, f"{free_mb} MB free here")]
    return [Check("disk", WARN, f"only {free_mb} MB free here", "remove files or write results elsewhere")]


def _clock() -> list[Check]:
    now = time.strftime("%Y-%m-%d %H:%M:%S %Z")
    if time.time() >= EARLIEST_CLOCK_S:
        return [Check("clock", OK, now)]
    return [Check("clock", WARN, f"{now} is in the past", "set the clock, or fit a real-time clock")]
