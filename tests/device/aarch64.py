"""`tests/device/run aarch64`: the installed wheel on emulated Raspberry Pi processors."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path

from tests.device import sizes
from tests.device.common import CACHE, ROOT, FailedError, call, last_lines, need, say
from tests.device.debian import find_mirror
from tests.device.elf import misaligned
from tests.device.emulator import check_emulator, fetch_emulator
from tests.device.frames import write_frames
from tests.device.systems import FRAMES, GUEST, Run, System, guest_job, result_file, run_all
from tests.device.wheels import build_wheel, install_for

QUICK = ("cortex-a72",)
CONSTRAINTS = ROOT / "deploy" / "constraints-bookworm.txt"
MAX_INSTALL_MB = 260

BOOKWORM = System("bookworm", "Raspberry Pi OS 12", "bookworm", "3.11")
TRIXIE = System("trixie", "Raspberry Pi OS 13", "trixie", "3.13")
BOOKWORM_TFLITE = System(
    "bookworm-tflite-runtime",
    "Raspberry Pi OS 12 with tflite-runtime",
    "bookworm",
    "3.11",
    backends=("litert", "tflite-runtime"),
    processors=QUICK,
)
SYSTEMS = (BOOKWORM, TRIXIE, BOOKWORM_TFLITE)
EXTRAS = {BOOKWORM_TFLITE.key: "[tflite-runtime]"}
PLATFORMS = {"bookworm": "aarch64-manylinux_2_36", "trixie": "aarch64-manylinux_2_40"}
"""uv's name of architecture and glibc, by Debian release; it knows none later than 2.40."""


def check(mirror: str | None, qemu: Path | None, jobs: int, quick: bool, write_docs: bool) -> None:
    """Run the whole check; prints a line per finding to stdout.

    Args:
        jobs: emulated runs at a time.
        quick: Raspberry Pi OS 13 on one processor, nothing else.

    Raises:
        SkippedError: a tool or the network is missing.
        FailedError: something is wrong.
    """
    need("uv", "it resolves wheels for other machines")
    emulator = check_emulator(qemu) if qemu else None
    mirror = mirror or find_mirror()
    emulator = emulator or fetch_emulator("qemu-aarch64", mirror)
    print(f"emulator: QEMU {emulator.version}")
    wheel = build_wheel()
    portrait = fetch_portrait()
    write_frames(FRAMES)
    failures: list[str] = []
    runs: list[Run] = []
    systems = (TRIXIE,) if quick else SYSTEMS
    measured = [system for system in systems if system.key not in EXTRAS]
    for system in systems:
        root = system.tree(mirror)
        install(system, wheel)
        failures += _alignment_failures(system)
        runs += [Run(system, name, root) for name in (QUICK if quick else system.processors)]
    sizes.report({system.name: system.site for system in measured}, write_docs)
    failures += _size_failures(measured)
    failures += run_all(runs, emulator, portrait, jobs, _reference(wheel))
    if failures:
        raise FailedError(f"{len(failures)} findings:\n" + "\n".join(failures))


def fetch_portrait() -> Path:
    """The demo's photograph: a wheel that the extra `demo` names, without what that one requires.

    Raises:
        SkippedError: no network.
    """
    site = CACHE / "sites" / "portrait"
    found = site / "matplotlib" / "mpl-data" / "sample_data" / "grace_hopper.jpg"
    if not found.exists():
        install_for(PLATFORMS["bookworm"], "3.11", site, "--no-deps", "matplotlib")
    return found


def install(system: System, wheel: Path) -> None:
    """The wheel with all that it requires, for a system.

    Raises:
        SkippedError: no network.
        FailedError: the requirements cannot be met there.
    """
    extra = EXTRAS.get(system.key, "")
    words: list[str | Path] = [f"edge-fer{extra} @ {wheel.as_uri()}"]
    if system.suite == "bookworm":
        words += ["--constraints", CONSTRAINTS]
    say(f"resolving and installing edge-fer{extra} for {system.name}")
    install_for(PLATFORMS[system.suite], system.python, system.site, *words)


def _alignment_failures(system: System) -> list[str]:
    count, wrong = misaligned(system.site)
    if not count:
        return [f"{system.name}: no shared object was installed"]
    names = ", ".join(path.name for path in wrong)
    verdict = f"not aligned for 16 kB pages: {names}" if wrong else "all aligned for 16 kB pages"
    print(f"{system.name}: {count} shared objects, {verdict}")
    return [f"{system.name}: {verdict}"] if wrong else []


def _size_failures(systems: Sequence[System]) -> list[str]:
    totals_mb = {system.name: sizes.total_mb(system.site) for system in systems}
    return [
        f"{name}: {total_mb:.0f} MB installed, {MAX_INSTALL_MB} are allowed"
        for name, total_mb in totals_mb.items()
        if total_mb > MAX_INSTALL_MB
    ]


def _reference(wheel: Path) -> dict[str, str]:
    """Digests of the raw outputs as this machine computes them, where it is the reference architecture.

    Raises:
        FailedError: the models fail on this machine already.
    """
    if platform.machine() != "x86_64":
        print(f"reference: none, this machine is {platform.machine()}; the self-test's vectors decide")
        return {}
    say("computing the reference outputs with the same wheel on this machine")
    out = result_file("reference")
    words = ("--no-project", "--isolated", "--python", ">=3.11,<3.14", "--with", wheel)
    job = guest_job(out, ("litert",))
    done = call(["uv", "run", "--no-progress", *words, "python", "-P", GUEST, job])
    if done.returncode:
        raise FailedError(f"the reference run failed: {last_lines(done.stderr)}")
    result = json.loads(out.read_text())
    wrong = [f"reference: {name}: {said}" for name, passed, said in result["checks"] if not passed]
    if wrong:
        raise FailedError("\n".join(wrong))
    print(f"reference: x86_64, ai-edge-litert {result['facts']['package ai-edge-litert']}")
    digests: dict[str, str] = result["digests"]
    return digests
