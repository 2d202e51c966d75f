"""Good input for every parser, made by code; small, so that a change hits something."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import sqlite3
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_runtime.boxmap import BoxMap
from edge_runtime.config import Config, to_toml
from edge_runtime.contract import CropSpec, InputSpec, ModelContract, SelfTest
from edge_runtime.datasets import FER2013_LABELS, LabeledImages
from edge_runtime.detectors.decoding import Decoding
from edge_runtime.modelfile import embed_keras, embed_onnx, embed_tflite
from edge_runtime.sinks.outbox import Outbox
from edge_runtime.sinks.sqlite import TABLES
from tests.fuzz.mutate import mutate_bytes, mutate_document

ROOT = Path(__file__).parents[2]

TFLITE_GRAPH = b"\x1c\0\0\0TFL3" + bytes(range(64))
"""Only the interpreter looks into a graph; to the wrapper it is bytes behind an identifier."""
ONNX_GRAPH = b"\x08\x0a\x12\x04test\x3a\x06graph!\x72\x0a\x0a\x03key\x12\x03val"
"""ir_version, producer_name, a graph of six bytes and one foreign property."""


def bad_json(rng: random.Random, good: bytes) -> bytes:
    """Valid JSON with wrong values, now and then broken as text as well."""
    text = json.dumps(mutate_document(rng, json.loads(good))).encode("utf-8", "surrogatepass")
    return mutate_bytes(rng, text) if rng.random() < 0.1 else text


def _contract(**changes: Any) -> ModelContract:
    fields: dict[str, Any] = {
        "name": "m",
        "task": "softmax",
        "labels": ("angry", "happy", "neutral"),
        "input": InputSpec(4, 6),
        "crop": CropSpec(margin=0.2, offset_y=-0.05),
        "temperature": 1.5,
        "uncertain_below": 0.4,
        "quantization": {"scheme": "int8", "calibration": {"seed": 3}},
        "validation": {"PublicTest": {"top1": 0.6}},
        "self_test": SelfTest(
            inputs=(bytes(24), bytes(range(24))),
            outputs=((1, 2, 3), (-1, 0, 5)),
            reference="ai-edge-litert 2.3.0",
            tolerance={"litert-xnnpack": 0.0, "default": 4.0},
        ),
    }
    return ModelContract(**{**fields, **changes})


def _all_contracts() -> list[ModelContract]:
    pixels = SelfTest((bytes(72),), ((0.5,),), "host", {"default": 1e-5})
    decoding = Decoding(("score_8", "box_8")).to_json()
    detected = SelfTest((bytes(24),), ((1.0, 2.0),), "host", {"default": 1})
    return [
        _contract(),
        _contract(task="sigmoid", labels=("sad", "happy"), input=InputSpec(4, 6, "rgb"), self_test=pixels),
        _contract(task="detect", labels=("face",), decoding=decoding, self_test=detected),
    ]


@cache
def contracts() -> list[bytes]:
    return [contract.to_json().encode() for contract in _all_contracts()]


@cache
def decodings() -> list[bytes]:
    two = Decoding(("score_8", "box_8", "score_16", "box_16"), 0.4, 0.3, 20, 7, BoxMap(0.1, 0.1, 1.1, 0.8))
    return [json.dumps(item.to_json()).encode() for item in (Decoding(("score_8", "box_8")), two)]


@cache
def tflite_files() -> list[bytes]:
    return [embed_tflite(TFLITE_GRAPH, contract) for contract in _all_contracts()]


@cache
def onnx_files() -> list[bytes]:
    return [embed_onnx(ONNX_GRAPH, contract) for contract in _all_contracts()]


@cache
def keras_files() -> list[bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("config.json", json.dumps({"class_name": "Functional", "config": {}}))
        embed_keras(path, _contract(self_test=None))
        return [path.read_bytes()]


@cache
def configurations() -> list[bytes]:
    full = to_toml(Config())
    small = (
        "[source]\nname = 'v4l2:0'\nregion = [0, 0, 320, 240]\ncontrols = {AfMode = 2}\n"
        "[model]\nthreads = 2\n"
        "[output]\nsinks = ['jsonl+:out.jsonl', 'mqtt:host']\n[mqtt]\ntopic = \"a/b\"\n"
    )
    # Section by section, so that a change does not drown in what is right.
    return [full.encode(), small.encode(), *(part.encode() for part in full.split("\n\n") if "=" in part)]


@cache
def pictures() -> list[bytes]:
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8), (24, 16))
    made = [cv2.imencode(suffix, image)[1] for suffix in (".jpg", ".png", ".bmp", ".webp", ".ppm", ".tiff")]
    made.append(cv2.imencode(".pgm", image[:, :, 0])[1])
    made.append(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1])
    made.append(cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 101])[1])
    gif = bytes.fromhex(
        "47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b"
    )
    return [*(item.tobytes() for item in made), gif]


@cache
def tables() -> list[bytes]:
    row = " ".join(str(value % 256) for value in range(48 * 48))
    return [
        f"emotion,pixels,Usage\n3,{row},Training\n".encode(),
        f"pixels\n{row}\n".encode(),
        b"emotion,pixels,Usage\n3,1 2 3,Training\n",
    ]


@cache
def compressed_tables() -> list[bytes]:
    """The first byte says which: the reader goes by the file's name."""
    good = tables()[0]
    return [b"g" + gzip.compress(good, mtime=0), b"x" + lzma.compress(good), b"b" + bz2.compress(good)]


@cache
def archives() -> list[bytes]:
    pixels = np.zeros((2, 4, 4), np.uint8)
    made = []
    for arrays in (
        {"pixels": pixels, "emotion": np.array([0, 3]), "usage": np.array(["Training", "test"])},
        {"x": pixels[..., None], "y": np.array([-1, 1]), "class_names": np.array(["a", "b"])},
    ):
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        made.append(buffer.getvalue())
    return made


@cache
def yolo_archives() -> list[bytes]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images/train/a.png", pictures()[1])
        archive.writestr("labels/train/a.txt", "0 0.5 0.5 0.2 0.4\n")
    return [buffer.getvalue()]


@cache
def yolo_labels() -> list[bytes]:
    return [b"0 0.5 0.5 0.2 0.4\n0 0.1 0.1 0.1 0.1\n", b"0 0.5 0.5 1 1\n", b""]


def _database(fill: Any) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "database"
        fill(path)
        return path.read_bytes()


@cache
def outboxes() -> list[bytes]:
    def fill(path: Path) -> None:
        outbox = Outbox(str(path), 10)
        for number in range(3):
            outbox.put("edge-fer/event", json.dumps({"track": number}))
        outbox.close()

    return [_database(fill)]


@cache
def databases() -> list[bytes]:
    def fill(path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.executescript(TABLES)
        connection.execute("INSERT INTO runs (started, model) VALUES (600, 'sha256:abc')")
        connection.execute("INSERT INTO counts VALUES (1, 600, 1, 'happy', 5, 0.2, 4.5)")
        connection.commit()
        connection.close()

    return [_database(fill)]


@cache
def benchmark_records() -> list[bytes]:
    from benchmarks.record import Samples, to_dict
    from tests.benchmarks import fabricate

    whole = fabricate.pipeline()
    few = {name: Samples(samples.values_ns[:3], (1,)) for name, samples in whole.stages.items()}
    short = replace(whole, stages=few, age_ns=whole.age_ns[:3], memory=whole.memory[:2])
    made = (fabricate.latency(calls=3), short, fabricate.accuracy())
    return [json.dumps([to_dict(record)]).encode() for record in made]


@cache
def recipes() -> list[bytes]:
    return [path.read_bytes() for path in sorted((ROOT / "train" / "recipes").glob("*.toml"))]


@cache
def labelled() -> LabeledImages:
    """Three pictures for the lists that speak of pictures."""
    pixels = np.arange(3 * 4, dtype=np.uint8).reshape(3, 2, 2)
    splits = np.array(["Training", "Training", "test"])
    return LabeledImages(pixels, np.array([0, 3, 6]), FER2013_LABELS, splits, "three pictures")


@cache
def clean_lists() -> list[bytes]:
    digests = [item.tobytes().hex() for item in labelled().hashes()]
    return [
        f"# edge-fer clean list\n{digests[0]}\tTraining\t1\tcopies\n{digests[2]}\ttest\t0\tx\n".encode()
    ]


@cache
def votes() -> list[bytes]:
    header = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
    rows = "".join(f"{usage},a.png,4,0,0,1,3,2,0,0,0,0\n" for usage in ("Training", "Training", "test"))
    return [(header + rows).encode()]
