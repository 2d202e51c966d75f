"""`python -m tests.soak --minutes 60 --out FOLDER`: everything at once for a long time, measured.

Writes `soak.json` and `soak.png`; exit status 1 where something grew that should not. The film is the
demo's moving portrait as a video file, played at full speed again and again; the sinks are all that can be
had here (MQTT needs mosquitto and paho-mqtt, the web page h11), with a viewer at the live view.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2

from edge_runtime.classifier import Classifier, self_test
from edge_runtime.detectors import load_detector
from edge_runtime.pipeline import Pipeline
from edge_runtime.records import FrameRecord
from edge_runtime.sinks.base import Onlooker
from edge_runtime.sources import Frame
from tests.soak.measure import Sampler
from tests.soak.stage import Loop, all_sinks, film_width, make_film, viewer


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (default: %(default)g)")
    parser.add_argument("--frames", type=int, help="end after so many frames")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--model", default="edge-fer-small")
    parser.add_argument("--detector", default="edge")
    parser.add_argument(
        "--height", type=int, default=480, help="of the film, pixels (default: %(default)s)"
    )
    parser.add_argument("--interval", type=float, default=2.0, help="seconds between two samples")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="edge-fer-soak-") as folder:
        document = soak(args, Path(folder))
    (args.out / "soak.json").write_text(json.dumps(document, indent=1) + "\n")
    draw(document, args.out / "soak.png")
    shown = {key: document[key] for key in ("frames", "seconds", "sinks", "growth", "problems")}
    print(json.dumps(shown, indent=1))
    return 1 if document["problems"] else 0


def soak(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    film = folder / "film.avi"
    make_film(film, args.height)
    cv2.setNumThreads(1)
    classifier = Classifier.load(args.model)
    self_test(classifier)
    sampler = Sampler(args.interval)
    bar = Bar(args.minutes * 60)
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(broker(folder))
        sinks = stack.enter_context(all_sinks(folder, port))
        onlookers = [sink for sink in sinks.values() if isinstance(sink, Onlooker)]
        if "web" in sinks:
            stack.enter_context(viewer(sinks["web"].port, "/view.mjpeg"))  # type: ignore[attr-defined]
        source = Loop(film, color=True)

        def watch(frame: Frame, record: FrameRecord) -> None:
            for sink in onlookers:
                if sink.is_looking:
                    sink.look(frame, record)
            sampler.frame(record.age_ms)
            if bar.show(record.frame + 1) or record.frame + 1 == args.frames:
                source.close()

        pipeline = Pipeline(source, load_detector(args.detector), classifier, list(sinks.values()))
        with contextlib.suppress(KeyboardInterrupt):
            pipeline.run(watch=watch)
        # While everything is still open.
        measured = sampler.to_dict()
    print(file=sys.stderr)
    classifier.close()
    return {
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "backend": classifier.backend.description,
        "model": args.model,
        "detector": args.detector,
        "film_hw": [args.height, film_width(args.height)],
        "sinks": sorted(sinks),
        **measured,
    }


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[int | None]:
    """The port of a Mosquitto of our own; None without one."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    settings = folder / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen([program, "-c", str(settings)], stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


class Bar:
    """How far it is, once a second and for people alone."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._started_s = time.monotonic()
        self._shown_s = 0.0

    def show(self, frames: int) -> bool:
        """Whether the time is over."""
        now_s = time.monotonic()
        lasted_s = now_s - self._started_s
        if sys.stderr.isatty() and now_s - self._shown_s > 1:
            self._shown_s = now_s
            filled = int(30 * min(1.0, lasted_s / self._seconds))
            rate = frames / lasted_s
            print(
                f"\r{'#' * filled}{'-' * (30 - filled)} {frames:,} frames, {rate:.0f}/s, "
                f"{max(0.0, self._seconds - lasted_s):.0f} s left ",
                end="",
                file=sys.stderr,
            )
        return lasted_s >= self._seconds


def draw(document: dict[str, Any], path: Path) -> None:
    """Memory, files, threads and age over time; needs matplotlib, and does without a picture otherwise."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("soak: no picture without matplotlib (extra `host`)", file=sys.stderr)
        return
    samples = document["samples"]
    minutes = [sample["t_s"] / 60 for sample in samples]
    figure = Figure(figsize=(8, 6.5), layout="constrained")
    memory, held, age = figure.subplots(3, 1, sharex=True)
    rss_mb = [sample["rss_bytes"] / 1e6 for sample in samples]
    memory.plot(minutes, rss_mb, color="tab:blue")
    memory.set_ylabel("resident memory, MB")
    memory.set_ylim(0, 1.2 * max(rss_mb))
    held.plot(minutes, [sample["descriptors"] for sample in samples], label="open files", color="tab:green")
    held.plot(minutes, [sample["threads"] for sample in samples], label="threads", color="tab:orange")
    held.set_ylim(0, 1.2 * max(sample["descriptors"] for sample in samples))
    held.legend(loc="center right")
    age.plot(minutes, [sample["age_ms"] for sample in samples], color="tab:red")
    age.set_ylabel("median frame age, ms")
    age.set_xlabel("minutes")
    age.set_ylim(bottom=0)
    for axes in (memory, held, age):
        axes.grid(alpha=0.3)
    figure.suptitle(
        f"{document['frames']:,} frames in {document['seconds'] / 60:.0f} minutes; sinks: "
        f"{', '.join(document['sinks'])}",
        fontsize=10,
    )
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
