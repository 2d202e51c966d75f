"""The half of the check that runs where edge-fer is installed: emulated, or on this machine as reference.

Run as a file with one argument, a JSON object of `Job`; the standard library and the installed edge-fer are
all it imports. Writes `{"facts": …, "digests": …, "checks": [[name, passed, found], …]}` to `job["out"]`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import platform
import random
import runpy
import sys
import traceback
from collections.abc import Callable
from functools import partial
from importlib import metadata, resources
from pathlib import Path
from typing import Any

RANDOM_PICTURES = 24
"""Seeded pictures beside the self-test's vectors, whose outputs must be the same on every processor."""

Job = dict[str, Any]
Found = tuple[str, bool, str]


def main() -> None:
    job: Job = json.loads(sys.argv[1])
    checks: list[Found] = []
    digests: dict[str, str] = {}

    def check(name: str, work: Callable[[], str]) -> None:
        try:
            checks.append((name, True, work()))
        except AssertionError as error:
            checks.append((name, False, str(error)))
        # Whatever else a broken wheel raises is a finding too.
        except Exception as error:
            trace = "".join(traceback.format_tb(error.__traceback__)[-2:])
            checks.append((name, False, f"{type(error).__name__}: {error}\n{trace}"))

    if job["cascades"]:
        look_for_cascades(job["cascades"])
    models = [Path(name) for name in job["models"]] + released_models()
    for path in models:
        for backend in job["backends"]:
            check(f"model {path.stem} on {backend}", partial(run_model, path, backend, digests))
    if job["verbs"]:
        for name, work in verbs(job).items():
            check(name, work)
    document = {"facts": facts(), "digests": digests, "checks": checks}
    Path(job["out"]).write_text(json.dumps(document))


def look_for_cascades(folder: str) -> None:
    """Name the tree's folder of cascades in full: `qemu-arm -L` does not redirect Python's statx."""
    from edge_runtime.detectors import haar

    haar.SYSTEM_FOLDERS = (folder, haar.SYSTEM_FOLDERS[1])


def released_models() -> list[Path]:
    """The models that the installed wheel brought."""
    folder = Path(str(resources.files("edge_runtime") / "models"))
    return sorted(folder.glob("*.tflite"))


def facts() -> dict[str, str]:
    names = sorted({dist.metadata["Name"] for dist in metadata.distributions()})
    return {
        "machine": platform.machine(),
        "bits": str(sys.maxsize.bit_length() + 1),
        "python": platform.python_version(),
        **{f"package {name}": metadata.version(name) for name in names},
    }


def run_model(path: Path, backend_name: str, digests: dict[str, str]) -> str:
    """Self-test vectors, then seeded random pictures whose raw outputs are digested."""
    import numpy as np

    from edge_runtime.backends import load_backend
    from edge_runtime.modelfile import read_tflite
    from edge_runtime.preprocess import to_tensor
    from edge_runtime.selftest import check_vectors

    file = read_tflite(path)
    backend = load_backend(file.data, backend_name)
    deviation = check_vectors(file, backend)
    quantized = backend.input.dtype == np.int8
    if backend_name == "litert" and quantized:
        assert backend.tolerance_key == "litert-xnnpack", f"XNNPACK is off: {backend.description}"
        assert deviation == 0, f"self-test deviates by {deviation:g}; int8 must match bit for bit"
    noise = random.Random(48)
    digest = hashlib.sha256()
    size = int(np.prod(backend.input.shape))
    for _ in range(RANDOM_PICTURES):
        pixels = np.frombuffer(noise.randbytes(size), np.uint8)
        for raw in backend.invoke(to_tensor(pixels, backend.input)):
            digest.update(np.ascontiguousarray(raw).tobytes())
    digests[f"{path.stem} {backend_name}"] = digest.hexdigest()
    backend.close()
    return f"deviation {deviation:g}, {backend.description}"


def verbs(job: Job) -> dict[str, Callable[[], str]]:
    frames = Path(job["frames"])
    pictures = sorted(map(str, frames.iterdir()))
    lines = Path(job["out"]).with_suffix(".jsonl")
    every_model = [*job["models"], *map(str, released_models())]
    options = ["--backend", job["backends"][-1]]
    if not released_models():
        options += ["--model", every_model[0]]

    def version() -> str:
        said = edge_fer("--version").strip()
        assert metadata.version("edge-fer") in said, f"said {said!r}"
        return said

    def doctor() -> str:
        status, out, err = run_script("doctor", "--format", "json")
        found = json.loads(out) if status in (0, 1) else []
        failed = [f"{item['name']}: {item['found']}" for item in found if item["status"] == "fail"]
        assert status == 0, f"exit {status}: {'; '.join(failed) or err}"
        warned = [f"{item['name']}: {item['found']}" for item in found if item["status"] == "warn"]
        return "; ".join([f"{len(found)} checks, none failed", *warned])

    def info() -> str:
        for path in every_model:
            said = json.loads(edge_fer("info", path, "--format", "json"))
            assert said["labels"], f"{path} has no labels"
            assert said["self_test"]["vectors"] > 0, f"{path} has no self-test"
        return f"labels and self-test of {len(every_model)} models"

    def predict() -> str:
        words = ("predict", *pictures, "--detector", "none", "--format", "json", *options)
        records = json.loads(edge_fer(*words))
        assert [len(record["faces"]) for record in records] == [1] * len(pictures), "not one face each"
        return first_faces(records)

    def predict_portrait() -> str:
        records = json.loads(edge_fer("predict", job["portrait"], "--format", "json", *options))
        assert records[0]["faces"], "no face in the demo's photograph"
        return first_faces(records)

    def run_folder() -> str:
        lines.unlink(missing_ok=True)
        edge_fer("run", "--source", str(frames), "--detector", "none", "--sink", f"jsonl:{lines}", *options)
        records = [json.loads(line) for line in lines.read_text().splitlines()]
        assert len(records) == len(pictures), f"{len(records)} of {len(pictures)} frames"
        return first_faces(records)

    def run_demo() -> str:
        said = edge_fer("run", "--source", "demo:4", "--sink", "jsonl", *options)
        records = [json.loads(line) for line in said.splitlines()]
        assert len(records) == 4, f"{len(records)} of 4 frames"
        assert any(record["faces"] for record in records), "no face in any frame"
        return first_faces(records)

    def run_edge_detector() -> str:
        words = ("run", "--source", "demo:4", "--detector", "edge", "--sink", "jsonl")
        records = [json.loads(line) for line in edge_fer(*words, *options).splitlines()]
        assert any(record["faces"] for record in records), "no face in any frame"
        return first_faces(records)

    every = {
        "edge-fer --version": version,
        "edge-fer doctor": doctor,
        "edge-fer info": info,
        "edge-fer predict, generated frames": predict,
        "edge-fer predict, demo photograph": predict_portrait,
        "edge-fer run, generated frames": run_folder,
        "edge-fer run, demo": run_demo,
    }
    if any(path.stem == "edge-face" for path in released_models()):
        every["edge-fer run, demo, detector edge"] = run_edge_detector
    return every


def first_faces(records: list[dict[str, Any]]) -> str:
    """Check the shape of every record; the first face of each in words."""
    said = []
    for record in records:
        assert record["schema"] == 1, f"schema {record['schema']}"
        for face in record["faces"]:
            total = sum(face["probabilities"].values())
            assert abs(total - 1) < 0.01, f"probabilities sum to {total}"
        said += [f"{face['label']} {face['confidence']:.2f}" for face in record["faces"][:1]]
    return ", ".join(said)


def edge_fer(*words: str) -> str:
    """Stdout of `edge-fer WORDS`.

    Raises:
        AssertionError: exit status other than 0; the message holds what was printed to stderr.
    """
    status, out, err = run_script(*words)
    assert status == 0, f"exit {status}: {err[-600:]}"
    return out


def run_script(*words: str) -> tuple[int, str, str]:
    """Run the installed `edge-fer` script; (exit status, stdout, stderr).

    In this process, because an emulated interpreter cannot start a child without binfmt.
    """
    script = Path(os.environ["EDGE_FER_SCRIPT"])
    sys.argv = [str(script), *words]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as done:
            status = done.code if isinstance(done.code, int) else int(done.code is not None)
    return status, out.getvalue(), err.getvalue()


if __name__ == "__main__":
    main()
