"""A Raspberry Pi OS release as an emulated system: tree, processors, one run of the guest's half."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.device.common import CACHE, ROOT, call, last_lines, say
from tests.device.debian import Archive
from tests.device.emulator import Emulator

BOARDS = {
    "cortex-a7": "Raspberry Pi 2",
    "cortex-a53": "Raspberry Pi 3",
    "cortex-a72": "Raspberry Pi 4",
    "cortex-a76": "Raspberry Pi 5",
}
FIXTURES = (ROOT / "tests" / "data" / "tiny.tflite",)
GUEST = Path(__file__).with_name("guest.py")
FRAMES = CACHE / "frames"
RUN_LIMIT_S = 1800


@dataclass(frozen=True)
class System:
    """What is installed where, and which processors run it."""

    key: str
    name: str
    suite: str
    """Debian release that it is made of."""
    python: str
    backends: tuple[str, ...] = ("litert",)
    """Interpreters that must run every model; the verbs use the last."""
    processors: tuple[str, ...] = ("cortex-a53", "cortex-a72", "cortex-a76")
    architecture: str = "arm64"
    machine: str = "aarch64"
    packages: tuple[str, ...] = ()
    """From apt, beside Python."""
    cascades: str = ""
    """Folder of OpenCV's cascades in the tree, where apt brings them."""
    links: tuple[tuple[str, str], ...] = ()
    """(path in the tree, target): links that maintainer scripts would have made."""

    @property
    def site(self) -> Path:
        """Where wheels are installed."""
        return CACHE / "sites" / self.key

    def tree(self, mirror: str) -> Path:
        """The extracted system.

        Raises:
            SkippedError: it cannot be downloaded.
        """
        packages = ("base-files", f"python{self.python}", "libstdc++6", "libgcc-s1", *self.packages)
        root = Archive(mirror, self.suite, self.architecture).tree(packages)
        for path, target in self.links:
            if not (root / path).exists():
                (root / path).symlink_to(target)
        return root


@dataclass(frozen=True)
class Run:
    """One system on one processor."""

    system: System
    processor: str
    root: Path
    """The system's tree."""

    @property
    def title(self) -> str:
        return f"{self.system.name}, {self.processor} ({BOARDS[self.processor]})"


Result = dict[str, Any]


def guest_job(
    out: Path, backends: Sequence[str], portrait: Path | None = None, cascades: Path | None = None
) -> str:
    """The argument of `guest.py`; without a portrait the models alone are checked."""
    return json.dumps(
        {
            "models": [str(path) for path in FIXTURES],
            "backends": list(backends),
            "verbs": portrait is not None,
            "frames": str(FRAMES),
            "portrait": str(portrait),
            "cascades": str(cascades or ""),
            "out": str(out),
        }
    )


def result_file(name: str) -> Path:
    """A fresh place for a guest's findings."""
    out = CACHE / "results" / f"{name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)
    return out


def run_all(
    runs: Sequence[Run], emulator: Emulator, portrait: Path, jobs: int, reference: Mapping[str, str]
) -> list[str]:
    """Emulate every run, print its findings as it ends, and return those that are failures.

    Args:
        portrait: the demo's photograph, inside a folder that holds its package.
        jobs: runs at a time.
        reference: digest by model and backend that the outputs must have.
    """
    say(f"{len(runs)} emulated runs, {jobs} at a time")
    failures = []
    with ThreadPoolExecutor(jobs) as pool:
        results = pool.map(lambda run: _emulate(run, emulator, portrait), runs)
        for run, result in zip(runs, results, strict=True):
            for name, passed, said in _findings(run, result, reference):
                line = f"{run.title}: {'ok' if passed else 'FAILED'} {name}: {said}"
                print(line, flush=True)
                if not passed:
                    failures.append(line.strip().splitlines()[0])
    return failures


def _emulate(run: Run, emulator: Emulator, portrait: Path) -> Result | str:
    """The guest's findings, or what it said before it died."""
    system, root = run.system, run.root
    out = result_file(f"{system.key}-{run.processor}")
    path = (system.site, portrait.parents[3], root / "usr" / "lib" / "python3" / "dist-packages")
    environment = {
        "QEMU_CPU": run.processor,
        "PYTHONHOME": str(root / "usr"),
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PYTHONSAFEPATH": "1",
        "PYTHONNOUSERSITE": "1",
        "EDGE_FER_SCRIPT": str(system.site / "bin" / "edge-fer"),
    }
    python = root / "usr" / "bin" / f"python{system.python}"
    cascades = root / system.cascades if system.cascades else None
    job = guest_job(out, system.backends, portrait, cascades)
    done = call(emulator.command(root, python, GUEST, job), env=environment, timeout_s=RUN_LIMIT_S)
    if done.returncode or not out.exists():
        return f"exit status {done.returncode}: {last_lines(done.stderr)}"
    result: Result = json.loads(out.read_text())
    return result


def _findings(
    run: Run, result: Result | str, reference: Mapping[str, str]
) -> Iterator[tuple[str, bool, str]]:
    if isinstance(result, str):
        yield "guest", False, result
        return
    system, facts = run.system, result["facts"]
    right = facts["machine"] == system.machine and facts["python"].startswith(f"{system.python}.")
    yield "system", right, f"{facts['machine']}, {facts['bits']} bits, Python {facts['python']}"
    released = [name for name in result["digests"] if name.startswith("edge-fer-small")]
    if not released:
        yield "released model", False, "the wheel ships no edge-fer-small.tflite that runs"
    for name, passed, said in result["checks"]:
        yield name, passed, said
    for name in sorted(result["digests"].keys() & reference.keys()):
        same = result["digests"][name] == reference[name]
        verdict = "equal to x86-64, bit for bit" if same else "differ from x86-64"
        yield f"random pictures, {name}", same, verdict
