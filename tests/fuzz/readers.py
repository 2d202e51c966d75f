"""Every parser as a function of a folder and of the input's bytes.

Where parsing is done, what comes out is used as the program uses it, so that a value that was let through
and breaks later is found as well.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import cv2

from edge_runtime.commands.settings import pipeline_settings, source_options
from edge_runtime.config import load_config, to_toml
from edge_runtime.contract import ModelContract
from edge_runtime.datasets import folders, load_dataset, yolo
from edge_runtime.detectors.decoding import Decoding
from edge_runtime.events import EventSettings
from edge_runtime.modelfile import (
    CONTRACT_NAME,
    LABELS_NAME,
    append_members,
    append_properties,
    read_keras_contract,
    read_onnx,
    read_tflite,
)
from edge_runtime.sinks.outbox import Outbox
from edge_runtime.sinks.sqlite import SqliteSink
from edge_runtime.sources.imagefile import decode_image
from tests.edge_runtime.test_events import record
from tests.fuzz import seeds


def _file(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def contract(_: Path, data: bytes) -> None:
    read = ModelContract.from_json(data)
    if read.task == "detect":
        Decoding.from_json(read.decoding)
    assert ModelContract.from_json(read.to_json()) == read


def decoding(_: Path, data: bytes) -> None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    # The contract's own check lets only an object through.
    if isinstance(document, dict):
        Decoding.from_json(document)


def tflite(folder: Path, data: bytes) -> None:
    read_tflite(_file(folder, "model.tflite", data))


def onnx(folder: Path, data: bytes) -> None:
    read_onnx(_file(folder, "model.onnx", data))


def _sealed(graph: bytes, data: bytes) -> dict[str, bytes]:
    """A contract that was tampered with, and then given its graph's digest and its labels again."""
    labels = b"angry\nhappy\nneutral\n"
    try:
        document = json.loads(data)
        document["graph_sha256"] = hashlib.sha256(graph).hexdigest()
        if isinstance(document.get("labels"), list):
            labels = "".join(f"{label}\n" for label in document["labels"]).encode("utf-8", "replace")
        data = json.dumps(document).encode()
    except (ValueError, RecursionError, TypeError, AttributeError):
        pass
    return {LABELS_NAME: labels, CONTRACT_NAME: data}


def tflite_sealed(folder: Path, data: bytes) -> None:
    sealed = append_members(seeds.TFLITE_GRAPH, _sealed(seeds.TFLITE_GRAPH, data))
    read_tflite(_file(folder, "sealed.tflite", sealed))


def onnx_sealed(folder: Path, data: bytes) -> None:
    read_onnx(
        _file(folder, "sealed.onnx", append_properties(seeds.ONNX_GRAPH, _sealed(seeds.ONNX_GRAPH, data)))
    )


def keras(folder: Path, data: bytes) -> None:
    read_keras_contract(_file(folder, "model.keras", data))


def configuration(folder: Path, data: bytes) -> None:
    path = _file(folder, "edge-fer.toml", data)
    config = load_config(path)
    source_options(config.source, color=False)
    pipeline_settings(config)
    EventSettings(**asdict(config.events))
    if len(data) % 8:
        return
    # What was read can be written, and read again as the same; in one case of eight, for it takes long.
    text = to_toml(config)
    path.write_text(text, encoding="utf-8")
    assert load_config(path) == config or "nan" in text


def picture(_: Path, data: bytes) -> None:
    image = decode_image(data)
    assert image.ndim == 3
    assert image.shape[2] == 3


def labelled_picture(_: Path, data: bytes) -> None:
    folders.decode(data, cv2.IMREAD_GRAYSCALE, "picture")


def table(folder: Path, data: bytes) -> None:
    load_dataset(_file(folder, "data.csv", data))


def compressed_table(folder: Path, data: bytes) -> None:
    kind = {b"g": "gz", b"x": "xz"}.get(data[:1], "bz2")
    load_dataset(_file(folder, f"data.csv.{kind}", data[1:]))


def archive(folder: Path, data: bytes) -> None:
    load_dataset(_file(folder, "data.npz", data))


def yolo_archive(folder: Path, data: bytes) -> None:
    yolo.read(_file(folder, "data.zip", data))


def yolo_labels(folder: Path, data: bytes) -> None:
    for kind in ("images", "labels"):
        (folder / "yolo" / kind).mkdir(parents=True, exist_ok=True)
    _file(folder / "yolo" / "images", "a.png", seeds.pictures()[1])
    _file(folder / "yolo" / "labels", "a.txt", data)
    yolo.read(folder / "yolo")


def _without_leftovers(path: Path) -> None:
    for suffix in ("-journal", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def outbox(folder: Path, data: bytes) -> None:
    path = _file(folder, "outbox.db", data)
    _without_leftovers(path)
    messages = Outbox(str(path), 3)
    messages.put("edge-fer/event", "{}")
    for identity, topic, payload in messages.waiting(5):
        assert isinstance(topic, str)
        assert isinstance(payload, str)
        messages.remove(identity)
    messages.close()


def counts(folder: Path, data: bytes) -> None:
    path = _file(folder, "counts.db", data)
    _without_leftovers(path)
    sink = SqliteSink(str(path))
    sink.write(record(0.0, [(1, "happy")]))
    sink.close()


def benchmark_record(folder: Path, data: bytes) -> None:
    from benchmarks.record import read_records

    for item in read_records(_file(folder, "records.json", data)):
        item.derived(intervals=False)


def recipe(folder: Path, data: bytes) -> None:
    from train.detection.recipe import detection_recipe
    from train.recipe import read_recipe, recipe_from_dict

    path, document = read_recipe(str(_file(folder, "recipe.toml", data)))
    if document.get("task") == "detect":
        detection_recipe(document, str(path)).identity()
    else:
        found = recipe_from_dict(document, str(path))
        found.identity()
        found.schedules()


def clean_list(folder: Path, data: bytes) -> None:
    from train.cleanlist import read_clean_list

    read_clean_list(_file(folder, "clean.txt", data), seeds.labelled())


def votes(folder: Path, data: bytes) -> None:
    from benchmarks.ferplus import majority_labels
    from train.votes import read_votes

    path = _file(folder, "votes.csv", data)
    try:
        read_votes(path, seeds.labelled())
    finally:
        majority_labels(path, seeds.labelled())
