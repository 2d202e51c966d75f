"""What edge-fer takes in and lets out: pinned models, no unpickling, no network by itself."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.errors import ContractError
from edge_runtime.modelfile import read_model
from tests import pin_models

ROOT = Path(__file__).parents[1]
PACKAGES = ("edge_runtime", "train", "convert", "benchmarks")
UNPICKLING = {"pickle", "cPickle", "_pickle", "dill", "joblib", "cloudpickle", "shelve", "marshal", "torch"}
CODE = {"eval", "exec", "compile", "__import__"}


def test_released_models_are_pinned() -> None:
    written = (pin_models.MODELS / "digests.py").read_text()
    assert written == pin_models.text(), (
        f"a released model has changed: run {pin_models.COMMAND} and commit"
    )


def test_a_released_model_that_is_another_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sound in itself, digest and all, and still not the file that was published."""
    released = next(iter(sorted(pin_models.MODELS.glob("edge-fer-*.tflite"))))
    other = tmp_path / released.name
    shutil.copy(ROOT / "tests" / "data" / "tiny.tflite", other)
    assert read_model(other).contract.name == "tiny"
    monkeypatch.setattr("edge_runtime.modelfile.RELEASED_DIR", tmp_path.resolve())
    with pytest.raises(ContractError, match=r"not the model that this edge-fer was published with"):
        read_model(other)
    shutil.copy(released, other)
    assert read_model(other).contract.name == released.stem


def calls_of(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_that_was_read_is_run(package: str) -> None:
    """No unpickling, no evaluated text, no shell, no archive unpacked by the names in it."""
    paths = sorted((ROOT / package).rglob("*.py"))
    assert paths
    for path in paths:
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            taken = {name.partition(".")[0] for name in names} & UNPICKLING
            # PyTorch is named as a device that Keras may run on; nothing is loaded with it.
            assert not taken - {"torch"}, f"{path}: imports {taken}"
        for name, call in calls_of(tree):
            keywords = {item.arg: ast.unparse(item.value) for item in call.keywords}
            assert name not in CODE, f"{path}: {name}()"
            assert name not in ("torch.load", "yaml.load", "os.system", "os.popen"), f"{path}: {name}()"
            assert not name.endswith("extractall"), f"{path}: {name}()"
            assert keywords.get("shell", "False") == "False", f"{path}: shell=True"
            assert keywords.get("allow_pickle", "False") == "False", f"{path}: allow_pickle"
            assert keywords.get("safe_mode", "True") == "True", f"{path}: safe_mode"


@pytest.mark.host
@pytest.mark.parametrize("form", ["keras", "h5", "json"])
def test_a_layer_that_carries_code_is_refused(tmp_path: Path, form: str) -> None:
    """A Lambda layer is a Python function inside the file."""
    keras = pytest.importorskip("keras")
    from convert.source import load_source
    from convert.statement import Statement

    proof = tmp_path / "was-run"

    image = keras.Input((8, 8, 1))
    # A lambda goes into the file as bytecode, a named function as a reference alone.
    run = lambda values, marker=str(proof): (open(marker, "w").close(), values)[1]  # noqa: E731, PTH123
    values = keras.layers.Lambda(run, output_shape=(8, 8, 1))(image)
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(values)))
    path = tmp_path / f"model.{form}"
    weights = None
    if form == "json":
        path.write_text(model.to_json())
        weights = tmp_path / "model.weights.h5"
        model.save_weights(weights)
    else:
        model.save(path)
    proof.unlink(missing_ok=True)
    statement = Statement(labels=("a", "b"), input_range=(0, 1), weights=weights)
    with pytest.raises(ContractError, match="Keras cannot load the model") as caught:
        load_source(path, "m", statement)
    assert "\n" not in str(caught.value)
    assert not proof.exists(), "the file's code was run"


def demo(tmp_path: Path) -> list[str]:
    pytest.importorskip("skimage", reason="needs the extra `demo`")
    return [
        *(sys.executable, "-m", "edge_runtime", "run", "--source", "demo:5"),
        *("--sink", f"jsonl:{tmp_path}/out.jsonl", "--sink", f"sqlite:{tmp_path}/counts.db"),
        *("--sink", f"events:{tmp_path}/events.jsonl", "--sink", "text"),
    ]


def test_works_without_any_network(tmp_path: Path) -> None:
    """In a network namespace of its own, where not even the loopback device is up."""
    unshare = shutil.which("unshare")
    probe = [str(unshare), "-rn", "true"]
    if unshare is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no network namespaces here")
    ended = subprocess.run(
        [unshare, "-rn", *demo(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 5


def test_asks_for_no_connection(tmp_path: Path) -> None:
    """Every system call of a run that has to do with a network, seen by strace."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace on this machine")
    trace = tmp_path / "trace"
    command = [strace, "-f", "-qq", "-e", "trace=network", "-o", str(trace), *demo(tmp_path)]
    environment = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"}
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    if "ptrace" in ended.stderr:
        pytest.skip("not allowed to trace here")
    assert ended.returncode == 0, ended.stderr
    calls = trace.read_text().splitlines()
    sockets = [call for call in calls if re.search(r"\bsocket\(|\bconnect\(|\bsendto\(|\bbind\(", call)]
    assert not [call for call in sockets if "AF_INET" in call or "AF_PACKET" in call], sockets


def test_strace_would_see_a_connection(tmp_path: Path) -> None:
    """The test above can fail."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace on this machine")
    code = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
    trace = tmp_path / "trace"
    command = [strace, "-f", "-qq", "-e", "trace=network", "-o", str(trace), sys.executable, "-c", code]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("not allowed to trace here")
    assert "AF_INET" in trace.read_text()
