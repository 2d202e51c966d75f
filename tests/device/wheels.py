"""The wheel of this checkout and its requirements, resolved by uv for another machine."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.device.common import CACHE, ROOT, FailedError, SkippedError, call, last_lines, need

BUILD_INPUTS = ("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
NETWORK_SIGNS = (
    # of uv
    "Failed to fetch",
    "error sending request",
    "dns error",
    "Could not connect",
    "timed out",
    # of pip
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Connection reset",
    "ConnectTimeoutError",
    "status server error",
)


@dataclass(frozen=True)
class Installed:
    """One distribution in a site folder."""

    name: str
    version: str
    bytes: int
    """Sum of its files' sizes."""


def build_wheel() -> Path:
    """Build the wheel from a copy of what it is made of, so that no stale `build/` gets in.

    Raises:
        SkippedError: no uv, or no network for the build's requirements.
        FailedError: the build failed.
    """
    need("uv", "it resolves wheels for other machines: https://docs.astral.sh/uv/")
    source, out = CACHE / "wheel" / "source", CACHE / "wheel"
    shutil.rmtree(out, ignore_errors=True)
    source.mkdir(parents=True)
    for name in BUILD_INPUTS:
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "edge_runtime", source / "edge_runtime", ignore=ignored)
    _uv("build", "--wheel", "--out-dir", out, source)
    (wheel,) = out.glob("*.whl")
    return wheel


def install_for(platform: str, python: str, site: Path, *words: str | Path) -> None:
    """Install requirements into `site` as pip would on that platform; wheels alone.

    Args:
        platform: uv's name, e.g. `aarch64-manylinux_2_36`.
        python: e.g. `3.11`.
        words: requirements and further options of `uv pip install`.

    Raises:
        SkippedError: no network.
        FailedError: the requirements cannot be met there.
    """
    shutil.rmtree(site, ignore_errors=True)
    target = ("--python-platform", platform, "--python-version", python, "--target", site)
    _uv("pip", "install", *target, "--only-binary", ":all:", *words)


def _uv(*words: str | Path) -> None:
    done = call(["uv", "--no-progress", *words])
    if done.returncode:
        why = last_lines(done.stderr)
        if any(sign in done.stderr for sign in NETWORK_SIGNS):
            raise SkippedError(f"uv cannot reach the package registry: {last_lines(done.stderr, 2)}")
        raise FailedError(f"uv {words[0]} {words[1]} failed: {why}")


def installed(site: Path) -> list[Installed]:
    """What a site folder holds, largest first, from the RECORD of each distribution."""
    found = []
    for info in site.glob("*.dist-info"):
        name, _, version = info.name.removesuffix(".dist-info").partition("-")
        with (info / "RECORD").open(newline="") as record:
            files = [site / row[0] for row in csv.reader(record)]
        size = sum(path.stat().st_size for path in files if path.is_file())
        found.append(Installed(name.replace("_", "-"), version, size))
    return sorted(found, key=lambda item: -item.bytes)
