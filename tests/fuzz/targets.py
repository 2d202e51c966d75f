"""The parsers, each with good input to start from and a way to make bad input of it.

A target's `run` may raise `EdgeFerError` and nothing else.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import readers, seeds, visitor
from tests.fuzz.mutate import mutate_bytes


@dataclass(frozen=True)
class Target:
    """One parser."""

    name: str
    share: int
    """Cases of a thousand: cheap parsers get more."""
    seeds: Callable[[], list[bytes]]
    """Good input."""
    run: Callable[[Path, bytes], None]
    """Parse input; the folder is for parsers that want a file."""
    make: Callable[[random.Random, bytes], bytes] = mutate_bytes
    """Bad input from good."""


TARGETS = {
    target.name: target
    for target in (
        Target("contract", 120, seeds.contracts, readers.contract, seeds.bad_json),
        Target("contract-bytes", 80, seeds.contracts, readers.contract),
        Target("decoding", 80, seeds.decodings, readers.decoding, seeds.bad_json),
        Target("tflite", 60, seeds.tflite_files, readers.tflite),
        Target("tflite-sealed", 60, seeds.contracts, readers.tflite_sealed, seeds.bad_json),
        Target("onnx", 60, seeds.onnx_files, readers.onnx),
        Target("onnx-sealed", 40, seeds.contracts, readers.onnx_sealed, seeds.bad_json),
        Target("keras", 30, seeds.keras_files, readers.keras),
        Target("config", 80, seeds.configurations, readers.configuration),
        Target("picture", 80, seeds.pictures, readers.picture),
        Target("labelled-picture", 30, seeds.pictures, readers.labelled_picture),
        Target("csv", 40, seeds.tables, readers.table),
        Target("csv-compressed", 20, seeds.compressed_tables, readers.compressed_table),
        Target("npz", 20, seeds.archives, readers.archive),
        Target("yolo", 20, seeds.yolo_archives, readers.yolo_archive),
        Target("yolo-labels", 30, seeds.yolo_labels, readers.yolo_labels),
        Target("outbox", 10, seeds.outboxes, readers.outbox),
        Target("counts", 5, seeds.databases, readers.counts),
        Target("record", 20, seeds.benchmark_records, readers.benchmark_record, seeds.bad_json),
        Target("recipe", 40, seeds.recipes, readers.recipe),
        Target("clean-list", 15, seeds.clean_lists, readers.clean_list),
        Target("votes", 10, seeds.votes, readers.votes),
        Target("http", 50, visitor.requests, visitor.http),
    )
}

assert sum(target.share for target in TARGETS.values()) == 1000


def make_case(target: Target, good: list[bytes], seed: int, number: int) -> bytes:
    """The input of a case: a function of the target, the seed and the number alone."""
    rng = random.Random(f"{seed}:{target.name}:{number}")
    data = target.make(rng, rng.choice(good))
    if rng.random() < 0.02:
        # Two inputs in one file, or a text where bytes were expected.
        data += rng.choice(good) if rng.random() < 0.5 else base64.b64encode(data[:100])
    return data
