"""The short form of `python -m tests.fuzz`, and what the long form has found so far."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import signal
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.contract import ModelContract
from edge_runtime.datasets import folders, load_dataset, yolo
from edge_runtime.detectors.decoding import Decoding
from edge_runtime.errors import ContractError, DataError, EdgeFerError, SinkError, SourceError
from edge_runtime.imageheader import MAX_SCANS, read_header
from edge_runtime.modelfile import MAX_MEMBER_BYTES, read_keras_contract
from edge_runtime.sinks import open_sink
from edge_runtime.sources.imagefile import decode_image
from tests.fuzz import seeds, worker
from tests.fuzz.targets import TARGETS, Target, make_case

ROOT = Path(__file__).parents[2]
CASES = 200
SEED = 20_260


@pytest.fixture(autouse=True)
def stopwatch() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, worker._hang)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", TARGETS)
def test_bad_input_is_an_error_in_words(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    good = target.seeds()
    for number in range(CASES):
        problem = worker.check(target, tmp_path, make_case(target, good, SEED, number))
        assert problem is None, (
            f"python -m tests.fuzz --target {name} --seed {SEED} --case {number}: {problem}"
        )


@pytest.mark.parametrize("name", TARGETS)
def test_good_input_is_good(name: str, tmp_path: Path) -> None:
    """A parser that refuses everything would pass the test above."""
    accepted = 0
    for data in TARGETS[name].seeds():
        try:
            TARGETS[name].run(tmp_path, data)
        except EdgeFerError:
            continue
        accepted += 1
    assert accepted


def test_cases_are_the_same_everywhere() -> None:
    target = TARGETS["contract"]
    cases = [make_case(target, target.seeds(), 1, number) for number in range(50)]
    assert cases == [make_case(target, target.seeds(), 1, number) for number in range(50)]
    assert len(set(cases)) > 40
    assert cases != [make_case(target, target.seeds(), 2, number) for number in range(50)]


def broken(run: Any) -> Target:
    return Target("broken", 1, lambda: [b"x"], run)


def test_what_breaks_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise KeyError("who")

    def hangs(*_: object) -> None:
        time.sleep(60)

    def refuses(*_: object) -> None:
        raise DataError("no such thing; give another")

    monkeypatch.setattr(worker, "CASE_TIMEOUT_S", 0.05)
    assert "KeyError" in str(worker.check(broken(fails), tmp_path, b""))
    assert "Hang" in str(worker.check(broken(hangs), tmp_path, b""))
    assert worker.check(broken(refuses), tmp_path, b"") is None


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    def run(cases: int) -> str:
        command = [sys.executable, "-m", "tests.fuzz", "--cases", str(cases), "--out", str(tmp_path)]
        command += ["--target", "clean-list"]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    assert "in all: 50 cases, 0 kinds of finding" in run(50)
    state = json.loads((tmp_path / "state.json").read_text())
    assert state["done"] == {"clean-list": 50}
    assert "in all: 80 cases" in run(80)


def test_any_json_is_a_contract_or_an_error_in_words() -> None:
    hypothesis = pytest.importorskip("hypothesis", reason="needs the extra `dev`")
    strategies = hypothesis.strategies
    values = strategies.recursive(
        strategies.none()
        | strategies.booleans()
        | strategies.integers()
        | strategies.floats()
        | strategies.text(),
        lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text(), inner),
        max_leaves=8,
    )
    good = [json.loads(contract) for contract in seeds.contracts()]
    keys = sorted({key for document in good for key in document} | {"height", "x"})

    @hypothesis.settings(max_examples=150, deadline=None, derandomize=True)
    @hypothesis.given(strategies.sampled_from(good), strategies.sampled_from(keys), values)
    def check(document: dict[str, Any], key: str, value: Any) -> None:
        try:
            contract = ModelContract.from_json(json.dumps({**document, key: value}))
        except ContractError:
            return
        assert ModelContract.from_json(contract.to_json()) == contract

    check()


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_json_does_not_know_are_no_contract(number: str) -> None:
    text = seeds.contracts()[0].decode().replace('"seed": 3', f'"seed": {number}')
    with pytest.raises(ContractError, match="not valid JSON"):
        ModelContract.from_json(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": [1, 2]},
        {"fill": 3.5},
        {"max_faces": True},
        {"nms_iou": "0.4"},
        {"outputs": [["score_8"]]},
    ],
)
def test_decodings_of_the_wrong_type(changes: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        Decoding.from_json({**json.loads(seeds.decodings()[0]), **changes})


def test_damaged_compressed_tables(tmp_path: Path) -> None:
    """Deflate's own error is no OSError, and a number may be beyond 64 bits."""
    path = tmp_path / "data.csv.gz"
    data = bytearray(gzip.compress(seeds.tables()[0], mtime=0))
    data[20:40] = bytes(20)
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="cannot be read as CSV"):
        load_dataset(path)
    plain = tmp_path / "data.csv"
    plain.write_text("pixels\n" + "9" * 30 + "\n")
    with pytest.raises(DataError, match="pixels must be integers"):
        load_dataset(plain)


def test_archives_with_members_of_other_kinds(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pixels", b"not an array")
    with pytest.raises(DataError, match="no array 'pixels'"):
        load_dataset(path)
    np.save(tmp_path / "bare.npy", np.zeros((2, 2), np.uint8))
    (tmp_path / "bare.npy").rename(path)
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        load_dataset(path)


def test_archives_of_boxes_with_damaged_members(tmp_path: Path) -> None:
    rng = random.Random(0)
    good = seeds.yolo_archives()[0]
    path = tmp_path / "data.zip"
    for _ in range(50):
        data = bytearray(good)
        data[rng.randrange(30, len(data))] ^= 0xFF
        path.write_bytes(bytes(data))
        with contextlib.suppress(DataError):
            yolo.read(path)


def test_an_archive_with_a_name_of_nothing(tmp_path: Path) -> None:
    """Python 3.11 asks for the last letter of a member's name."""
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("x"), b"")
    path.write_bytes(path.read_bytes().replace(b"x", b"\0"))
    with pytest.raises(DataError):
        yolo.read(path)


def test_a_damaged_database_is_one_line(tmp_path: Path) -> None:
    """SQLite's message may quote the damage, in bytes that are no UTF-8."""
    target = TARGETS["counts"]
    path = tmp_path / "counts.db"
    path.write_bytes(target.seeds()[0].replace(b"CREATE TABLE", b"CREATE T\xdfBLE"))
    with pytest.raises(SinkError, match="cannot keep the counts there"):
        open_sink(f"sqlite:{path}")


def test_a_kind_of_record_that_is_no_word(tmp_path: Path) -> None:
    from benchmarks.record import read_records
    from benchmarks.schema import RecordError

    (document,) = json.loads(seeds.benchmark_records()[2])
    path = tmp_path / "records.json"
    path.write_text(json.dumps([{**document, "kind": {}}]))
    with pytest.raises(RecordError, match="kind must be one of"):
        read_records(path)


def test_a_vote_beyond_64_bits(tmp_path: Path) -> None:
    from benchmarks.ferplus import majority_labels

    path = tmp_path / "votes.csv"
    path.write_bytes(seeds.votes()[0].replace(b",4,", b"," + b"9" * 30 + b",", 1))
    with pytest.raises(DataError, match=r"cannot be read as FER\+ votes"):
        majority_labels(path, seeds.labelled())


def test_a_contract_that_is_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("edge-fer.json", bytes(MAX_MEMBER_BYTES + 1))
    assert path.stat().st_size < 20_000
    with pytest.raises(ContractError, match="larger than"):
        read_keras_contract(path)


def test_a_member_that_wants_gigabytes_to_unpack_is_refused(tmp_path: Path) -> None:
    """An LZMA member names the size of its dictionary, and the decoder reserves it."""
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("edge-fer.json", seeds.contracts()[0])
    data = bytearray(path.read_bytes())
    properties = data.index(b"edge-fer.json") + len(b"edge-fer.json") + 4
    data[properties + 1 : properties + 5] = b"\xff\xff\xff\xef"
    path.write_bytes(bytes(data))
    code = (
        "import sys\n"
        "from edge_runtime.modelfile import read_keras_contract\n"
        "from tests.fuzz.worker import limit_memory\n"
        "limit_memory()\n"
        "read_keras_contract(sys.argv[1])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "ContractError" in ended.stderr, ended.stderr
    assert "not a readable .keras file" in ended.stderr


def giant(kind: str) -> bytes:
    """A few bytes that announce 60,000 x 60,000 pixels."""
    side = 60_000
    if kind == "png":
        body = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        rows = b"IDAT" + zlib.compress(bytes(100_000))
        chunks = (body, rows, b"IEND")
        packed = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
        return b"\x89PNG\r\n\x1a\n" + b"".join(packed)
    if kind == "bmp":
        return b"BM" + struct.pack(
            "<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, side, -side, 1, 24, 0, 0, 0, 0, 0, 0
        )
    if kind == "pnm":
        return f"P6\n# {side}\n{side} {side}\n255\n".encode() + bytes(10)
    if kind == "gif":
        return b"GIF89a" + struct.pack("<HHBBB", side, side, 0, 0, 0) + bytes(10)
    if kind == "tiff":
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, side) for tag in (256, 257))
        return b"II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)
    small = np.zeros((16, 16, 3), np.uint8)
    data = bytearray(cv2.imencode(f".{kind}", small)[1].tobytes())
    if kind == "jpg":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", side, side)
        return bytes(data)
    head = b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<II", 10, 0)
    return head + (side - 1).to_bytes(3, "little") * 2


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "webp", "pnm", "gif", "tiff"])
def test_giant_pictures_are_refused_by_their_header(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = giant(kind)
    header = read_header(data)
    assert header is not None
    assert (header.width, header.height) == (60_000, 60_000)

    def never(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(cv2, "imdecode", never)
    with pytest.raises(DataError, match=r"60000x60000 pixels is more than the 64 million allowed"):
        folders.decode(data, cv2.IMREAD_GRAYSCALE, "picture")
    with pytest.raises(SourceError, match=r"more than the 64 million allowed|convert it first"):
        decode_image(data)


def test_a_jpeg_of_endless_passes_is_refused() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert decode_image(data).shape == (16, 16, 3)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(SourceError, match="passes in one JPEG"):
        decode_image(data[:-2] + data[last:-2] * MAX_SCANS + data[-2:])
