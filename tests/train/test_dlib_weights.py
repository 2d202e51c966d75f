"""The weights of dlib's face recognition as the start of a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("tensorflow")

import keras

from edge_runtime.errors import DataError
from tests.train.support import faces, write_npz
from train import dlib_weights
from train.__main__ import main
from train.inference import load_trained
from train.models import build_model

pytestmark = pytest.mark.host

TINY: dict[str, Any] = {"widths": [4, 8], "blocks": [1, 1]}
RECIPE = """
description = "A teacher"
[model]
architecture = "face_resnet"
parameters = { scale = 2, widths = [4, 8], blocks = [1, 1] }

[data]
validation = 0.2

[train]
epochs = 1
batch_size = 16
optimizer = "sgd"
learning_rate = 1e-6
"""


def network(channels: int, scale: int = 2) -> keras.Model:
    return build_model("face_resnet", (24, 24, channels), 3, scale=scale, **TINY)


def convolutions(model: keras.Model) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]


def integer(value: int) -> bytes:
    """As dlib writes it: how many bytes follow, and these."""
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes([size]) + value.to_bytes(size, "little")


def tensor(values: npt.NDArray[np.float32]) -> bytes:
    shape = b"".join(map(integer, (values.size, 1, 1, 1)))
    return integer(2) + shape + values.astype("<f4").tobytes()


def dlib_layers(seed: int = 5) -> list[tuple[npt.NDArray[np.float32], ...]]:
    """Filters (out, in, H, W), biases, factors and offsets of every convolution, on colour pictures."""
    rng = np.random.default_rng(seed)
    layers = []
    for layer in convolutions(network(3)):
        high, wide, channels, filters = layer.kernel.shape
        shape = (filters, channels, high, wide)
        filters_ = rng.normal(0, (2 / (channels * high * wide)) ** 0.5, shape)
        parts = (filters_, *(rng.uniform(0.1, 0.9, filters) for _ in range(3)))
        layers.append(tuple(part.astype(np.float32) for part in parts))
    return layers


def dlib_file(layers: list[tuple[npt.NDArray[np.float32], ...]]) -> bytes:
    """As much of dlib's form as matters: names, tensors, and other bytes between them."""
    written = [b"\x01\x01\x01\rloss_metric_2\x01\x15input_rgb_image_sized"]
    for filters, biases, factors, offsets in layers:
        written += [
            b"\x01\x05con_4",
            tensor(np.concatenate([filters.ravel(), biases])),
            b"\x01\x00\x01\x03",
        ]
        written += [b"\x01\x07affine_", tensor(np.concatenate([factors, offsets])), b"\x01\x05relu_110"]
    return b"".join([*written, b"\x01\x04fc_2", tensor(np.ones(8, np.float32))])


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "dlib.dat"
    path.write_bytes(dlib_file(dlib_layers()))
    return path


def features(model: keras.Model, pictures: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    ends = keras.Model(model.inputs, model.get_layer("pool").output)
    return np.asarray(ends([pictures], training=False))


@pytest.mark.parametrize(("channels", "scale"), [(1, 2), (3, 2), (1, 1)])
def test_pictures_get_the_features_that_dlib_gives_them(weights: Path, channels: int, scale: int) -> None:
    gray = np.random.default_rng(1).integers(0, 256, (32, 24, 24, 1)).astype(np.float32)
    reference = network(3, scale)
    for layer, parts in zip(convolutions(reference), dlib_layers(), strict=True):
        filters, biases, factors, offsets = parts
        layer.set_weights([filters.transpose(2, 3, 1, 0)])
        norm = reference.get_layer(layer.name.replace("_conv", "_bn"))
        # y = (x + bias) * factor + offset
        norm.set_weights([factors, offsets, -biases, np.full_like(biases, 1 - norm.epsilon)])
    # The graph divides by 256 itself; dlib subtracts first.
    wanted = features(reference, gray - np.array(dlib_weights.MEANS, np.float32))
    ours, given = network(channels, scale), np.repeat(gray, channels, axis=-1)
    dlib_weights.adopt(weights, ours, given)
    assert wanted.std() > 0.05
    np.testing.assert_allclose(features(ours, given), wanted, rtol=1e-4, atol=1e-4)


def test_normalization_knows_the_moments_of_the_pictures(weights: Path) -> None:
    gray = np.random.default_rng(1).integers(0, 256, (32, 24, 24, 1)).astype(np.float32)
    model = network(1)
    dlib_weights.adopt(weights, model, gray)
    still, learning = (np.asarray(model(gray, training=training)) for training in (False, True))
    np.testing.assert_allclose(learning, still, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[: len(data) // 2], "not the weights of dlib's face recognition"),
        (lambda data: b"", "0 layers with weights, not 10"),
        (lambda data: b"con_4" + b"\xff" * 40, "no size at byte"),
        (lambda data: dlib_file(dlib_layers()[:-1]), "8 layers with weights, not 10"),
        (lambda data: dlib_file(dlib_layers()[::-1]), "not those of (7, 7, 1, 4)"),
        (lambda data: dlib_file([tuple(p * np.nan for p in part) for part in dlib_layers()]), "no numbers"),
    ],
)
def test_damaged_files_are_refused(weights: Path, damage: Any, reason: str) -> None:
    weights.write_bytes(damage(weights.read_bytes()))
    with pytest.raises(DataError) as caught:
        dlib_weights.adopt(weights, network(1), np.zeros((4, 24, 24, 1), np.float32))
    assert reason in str(caught.value)
    assert str(weights) in str(caught.value)


def test_fit_starts_from_them(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "face.toml"
    recipe.write_text(RECIPE)
    data = write_npz(tmp_path / "faces.npz", faces(60, size=24, seed=2))
    out = tmp_path / "run"
    verb = ["fit", "--recipe", str(recipe), "--data", str(data), "--out", str(out)]
    assert main([*verb, "--start", str(weights)]) == 0
    trained = load_trained(out)
    lengths = {
        layer.name: np.sqrt((layer.kernel.numpy() ** 2).sum((0, 1, 2)))
        for layer in convolutions(trained.model)
    }
    # Filters begin with length 1, and so small a rate leaves them there.
    assert all(np.allclose(value, 1, atol=1e-3) for value in lengths.values())
    weights.write_bytes(b"nothing")
    assert main([*verb[:-1], str(tmp_path / "other"), "--start", str(weights)]) == 1
    assert "not the weights of dlib's face recognition" in capsys.readouterr().err


def test_other_architectures_refuse_them(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_npz(tmp_path / "faces.npz", faces(60, size=24, seed=2))
    verb = ["fit", "--recipe", "cnn-bn", "--data", str(data), "--out", str(tmp_path / "run")]
    assert main([*verb, "--start", str(weights)]) == 2
    assert "for recipes of the architecture face_resnet" in capsys.readouterr().err
