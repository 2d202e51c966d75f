"""`python -m tests.soak.viewers`: what visitors of the page take from the pipeline, on one core.

A film at full speed, phases without visitors and phases with some at the live view and as many at the
events, by turns. Pinned to one core, a process that always has something to do makes frames at the rate of
its CPU time per frame, all threads together; that is compared, since other programs do not change it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from pathlib import Path

import cv2

from edge_runtime.classifier import Classifier
from edge_runtime.detectors import load_detector
from edge_runtime.pipeline import Pipeline
from edge_runtime.records import FrameRecord
from edge_runtime.sinks.web import WebSettings, WebSink
from edge_runtime.sources import Frame
from tests.soak.stage import Loop, make_film, viewer

SETTLE_S = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.viewers")
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each phase")
    parser.add_argument("--phases", type=int, default=3, help="of each kind")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.avi"
        make_film(film, 480)
        sink = WebSink("127.0.0.1:0", WebSettings(detector="edge"))
        try:
            measure(args, film, sink, cores)
        finally:
            sink.close()


def measure(args: argparse.Namespace, film: Path, sink: WebSink, cores: set[int]) -> None:
    classifier = Classifier.load("edge-fer-small")
    cost_ms: dict[bool, list[float]] = {False: [], True: []}
    for phase in range(2 * args.phases):
        watched = phase % 2 == 1
        with contextlib.ExitStack() as stack:
            if watched:
                # Visitors are other machines: they may run anywhere.
                pinned = os.sched_getaffinity(0)
                os.sched_setaffinity(0, cores)
                for address in ("/view.mjpeg", "/api/events"):
                    for _ in range(args.viewers):
                        stack.enter_context(viewer(sink.port, address))
                os.sched_setaffinity(0, pinned)
            cost_ms[watched].append(play(film, sink, classifier, args.seconds))
        print(
            f"{args.viewers if watched else 0} viewers: {cost_ms[watched][-1]:.2f} ms of CPU per frame",
            flush=True,
        )
    alone, shared = (statistics.median(cost_ms[key]) for key in (False, True))
    print(f"rate on one core with {args.viewers} viewers: {alone / shared:.0%} of that without")


def play(film: Path, sink: WebSink, classifier: Classifier, seconds: float) -> float:
    """CPU time of this process per frame, milliseconds, once visitors have come."""
    source = Loop(film, color=True)
    begun_s = time.monotonic()
    counted = [0]
    cpu_s: list[float] = []

    def watch(frame: Frame, record: FrameRecord) -> None:
        if sink.is_looking:
            sink.look(frame, record)
        lasted_s = time.monotonic() - begun_s
        if lasted_s < SETTLE_S:
            return
        if not cpu_s:
            cpu_s.append(time.process_time())
            return
        counted[0] += 1
        if lasted_s > SETTLE_S + seconds:
            cpu_s.append(time.process_time())
            source.close()

    Pipeline(source, load_detector("edge"), classifier, [sink]).run(watch=watch)
    return (cpu_s[-1] - cpu_s[0]) / max(1, counted[0]) * 1000


if __name__ == "__main__":
    main()
