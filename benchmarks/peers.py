"""Other programs on the same pictures, each in its own environment, in one run.

Face crops of a labelled split give accuracy and CPU time per face; with --frames, whole frames of a
video or picture give CPU time per frame for finding and reading faces. A peer's environment is made
once, below --environments, from the packages that pip or uv can fetch. CPU time is that of the whole
process, all threads; it stays meaningful on a machine that is not idle.

Peers: `fer` 25.10.0 (Haar mode), OpenCV's Haar cascade (frames only), and every --model through this
project's own runtime.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.accuracy_record import DataInfo, PeerRecord
from benchmarks.files import to_json
from benchmarks.host import describe_host
from benchmarks.latency import check_counts
from benchmarks.record import to_dict, write_records
from benchmarks.sampler import MeasurementError, run_watched
from benchmarks.tables import peers_table
from edge_runtime.classifier import DEFAULT_MODEL, resolve_model
from edge_runtime.datasets import UNLABELLED, LabeledImages, load_dataset
from edge_runtime.errors import EdgeFerError, UsageError
from edge_runtime.metrics import wilson
from edge_runtime.numbers import whole_number
from edge_runtime.sources import SourceOptions, open_source

CROPS, FRAMES, DETECTION = "read a face crop", "find and read faces in a frame", "find faces in a frame"
_TIMEOUT_S = 3600


@dataclass(frozen=True)
class Peer:
    """A program from a package index, run by a script of its own."""

    name: str
    package: str
    """Installed without its dependencies, which for these peers name far more than is loaded."""
    needs: tuple[str, ...]
    script: str
    """Module of this package that runs inside the peer's environment; imports nothing from here."""


PEERS = {
    "fer": Peer(
        name="fer 25.10.0",
        package="fer==25.10.0",
        needs=("tensorflow", "opencv-contrib-python<5", "requests", "Pillow", "setuptools<81"),
        script="peer_fer.py",
    )
}
FRAME_DETECTORS = ("haar", "edge")
"""With which this project's own runtime reads whole frames."""
OWN = ("edge", "haar")
"""Peers that run on this project's own environment."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="PATH", help="labelled face crops")
    parser.add_argument("--split", metavar="NAME", help="rows to use, e.g. PublicTest; default: all rows")
    parser.add_argument(
        "--images", type=int, metavar="N", help="a random subset of this size; default: all"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the subset; default 0")
    parser.add_argument("--frames", metavar="SOURCE", help="video or picture for whole frames")
    parser.add_argument("--size", metavar="WxH", help="resize whole frames to this, e.g. 640x480")
    parser.add_argument("--max-frames", type=int, default=100, metavar="N", help="default 100")
    parser.add_argument("--model", action="append", metavar="FILE|NAME", help=f"default {DEFAULT_MODEL}")
    parser.add_argument(
        "--peer", action="append", choices=(*PEERS, *OWN), help="repeat for several; default: all"
    )
    parser.add_argument(
        "--environments",
        type=Path,
        default=Path(".cache/peers"),
        metavar="DIR",
        help="default .cache/peers",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the records here")


def run(arguments: argparse.Namespace) -> int:
    check_counts(max_frames=arguments.max_frames)
    wanted = arguments.peer or [*OWN, *PEERS]
    models = (
        [resolve_model(model) for model in arguments.model or [DEFAULT_MODEL]] if "edge" in wanted else []
    )
    data = choose(load_dataset(arguments.data), arguments.split, arguments.images, arguments.seed)
    split = arguments.split or "all"
    records: list[PeerRecord] = []
    with tempfile.TemporaryDirectory(prefix="edge-fer-bench-") as folder:
        sets = {CROPS: Path(folder) / "crops.npy"}
        np.save(sets[CROPS], data.images)
        counts = {CROPS: len(data)}
        if arguments.frames:
            frames = read_frames(arguments.frames, arguments.max_frames, arguments.size)
            sets[FRAMES] = Path(folder) / "frames.npy"
            np.save(sets[FRAMES], frames)
            counts[FRAMES] = len(frames)
        for task, pictures in sets.items():
            if task == FRAMES:
                info = DataInfo(
                    digest=_frames_digest(pictures), split=Path(arguments.frames).name, unlabelled=0
                )
            else:
                info = DataInfo(digest=data.digest(), split=split, unlabelled=0)
            for name, label, result in _all_results(wanted, models, task, pictures, arguments.environments):
                judged = data if task == CROPS else None
                records.append(make_record(name, label, info, counts[task], result, judged))
    if arguments.out:
        write_records(arguments.out, records)
    documents = [to_dict(record) for record in records]
    print(to_json(documents) if arguments.format == "json" else peers_table(records), end="")
    return 0 if records else 1


def choose(data: LabeledImages, split: str | None, images: int | None, seed: int) -> LabeledImages:
    """Labelled rows of the split, or a seeded subset of them.

    Raises:
        DataError: no such split.
        UsageError: fewer than one image.
    """
    rows = data.split(split) if split else data
    rows = rows.select(rows.labels != UNLABELLED)
    if images is None or images >= len(rows):
        return rows
    if images < 1:
        raise UsageError(f"--images must be at least 1. Received: {images}")
    return rows.select(np.sort(np.random.default_rng(seed).permutation(len(rows))[:images]))


def read_frames(source_name: str, limit: int, size: str | None = None) -> np.ndarray:
    """Frames (N, H, W, 3) BGR of a video or picture.

    Args:
        size: WxH to which they are resized.

    Raises:
        UsageError: another size than WxH.
        SourceError: it cannot be opened or delivers nothing.
    """
    width, _, height = (size or "1x1").partition("x")
    size_wh = (whole_number(width) or 0, whole_number(height) or 0)
    if not all(size_wh):
        raise UsageError(f"--size must be WxH, e.g. 640x480. Received: {size!r}")
    source = open_source(source_name, SourceOptions(color=True))
    frames = []
    try:
        for frame in source.frames():
            picture = frame.bgr.copy() if frame.bgr is not None else np.stack([frame.luma] * 3, axis=2)
            frames.append(cv2.resize(picture, size_wh) if size else picture)
            if frames[-1].shape != frames[0].shape:
                raise UsageError(f"{source_name}: pictures of different sizes; give --size, e.g. 640x480")
            if len(frames) >= limit:
                break
    finally:
        source.close()
    return np.stack(frames)


def make_record(
    name: str, task: str, info: DataInfo, n: int, result: Mapping[str, Any], data: LabeledImages | None
) -> PeerRecord:
    """A record from what a peer's process wrote; labels are compared by name."""
    labels = result["labels"]
    top1, interval = None, None
    if data is not None:
        truth = [data.class_names[index] for index in data.labels]
        hits = sum(found == wanted for found, wanted in zip(labels, truth, strict=True))
        top1, interval = hits / n, tuple(wilson(hits, n))
    return PeerRecord(
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        peer=name,
        task=task,
        data=info,
        n=n,
        top1=top1,
        top1_interval=interval,
        answered=sum(label is not None for label in labels),
        cpu_ms_per_image=result["cpu_s"] / n * 1000,
        import_cpu_s=result["import_cpu_s"],
        rss_peak_bytes=result["rss_peak_bytes"],
        installed_bytes=result.get("installed_bytes"),
        host=describe_host(),
    )


def _frames_digest(pictures: Path) -> str:
    import hashlib

    return hashlib.sha256(pictures.read_bytes()).hexdigest()


def _all_results(
    wanted: Sequence[str], models: Sequence[Path], task: str, pictures: Path, environments: Path
) -> list[tuple[str, str, dict[str, Any]]]:
    """(name, task, result) of every peer that does the task; failures are reported and left out."""
    found = []
    for model in models:
        for detector in FRAME_DETECTORS if task == FRAMES else (None,):
            job = {"pictures": str(pictures), "model": str(model), "detector": detector}
            result, _ = run_watched("benchmarks.peer_edge", job)
            found.append((f"edge-fer, {result['name']}", task, result))
    if "haar" in wanted and task == FRAMES:
        result, _ = run_watched(
            "benchmarks.peer_edge", {"pictures": str(pictures), "model": None, "detector": None}
        )
        found.append((f"OpenCV {result['name']} Haar", DETECTION, result))
    for key in (name for name in wanted if name in PEERS):
        peer = PEERS[key]
        try:
            result = run_peer(peer, environments / key, pictures, task == FRAMES)
        except EdgeFerError as error:
            print(f"benchmarks peers: {peer.name} is left out: {error}", file=sys.stderr)
            continue
        found.append((peer.name, task, result))
    return found


def run_peer(peer: Peer, environment: Path, pictures: Path, frames: bool) -> dict[str, Any]:
    """Run a peer on pictures in its own environment, which is made if it is not there.

    Raises:
        MeasurementError: it cannot be installed, or its script failed.
    """
    python = environment / "bin" / "python"
    if not (environment / ".complete").exists():
        _install(peer, environment, python)
    with tempfile.TemporaryDirectory(prefix="edge-fer-bench-") as folder:
        script, result_path = Path(folder) / peer.script, Path(folder) / "result.json"
        script.write_text(resources.files("benchmarks").joinpath(peer.script).read_text())
        words = [
            str(python.absolute()),
            str(script),
            str(pictures),
            str(result_path),
            "frames" if frames else "crops",
        ]
        _command(words, f"{peer.name} failed")
        result: dict[str, Any] = json.loads(result_path.read_text())
    result["installed_bytes"] = sum(
        file.stat().st_size for file in environment.rglob("*") if file.is_file()
    )
    return result


def _install(peer: Peer, environment: Path, python: Path) -> None:
    print(f"benchmarks peers: installing {peer.name} into {environment}", file=sys.stderr, flush=True)
    failed = f"{peer.name} cannot be installed"
    uv = shutil.which("uv")
    if uv:
        _command([uv, "venv", "--clear", "--quiet", "--python", sys.executable, str(environment)], failed)
        install = [uv, "pip", "install", "--quiet", "--python", str(python)]
    else:
        _command([sys.executable, "-m", "venv", "--clear", str(environment)], failed)
        install = [str(python), "-m", "pip", "install", "--quiet"]
    _command([*install, *peer.needs], failed)
    _command([*install, "--no-deps", peer.package], failed)
    (environment / ".complete").touch()


def _command(words: Sequence[str], failed: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MeasurementError(f"{failed}: {error}") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise MeasurementError(f"{failed}: {last}")
