"""Starting a larger network from a smaller one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")

import keras

from train.grow import grow
from train.models import build_model

pytestmark = pytest.mark.host

PLAIN: dict[str, Any] = {"stem": 4, "widths": [4, 6], "blocks": [1, 1]}
SHAPE = (24, 24, 1)


def network(**changes: Any) -> Any:
    return build_model("edge_resnet", SHAPE, 7, **{**PLAIN, **changes})


def trained(**changes: Any) -> Any:
    """A network whose every weight, also those that start at 0 and 1, is something else."""
    model = network(**changes)
    rng = np.random.default_rng(1)
    model.set_weights(
        [value + rng.uniform(0.1, 0.4, value.shape).astype(np.float32) for value in model.get_weights()]
    )
    return model


def logits(model: Any) -> Any:
    pictures = np.random.default_rng(2).integers(0, 256, (5, *SHAPE)).astype(np.float32)
    return model.predict_on_batch(pictures)


@pytest.mark.parametrize(
    "changes",
    [
        {"widths": [7, 6]},
        {"stem": 5, "widths": [12, 20]},
        {"blocks": [2, 3]},
        {"branches": True},
        {"stem": 8, "widths": [8, 15], "blocks": [1, 2], "branches": True, "dropout": 0.3},
    ],
)
def test_a_grown_network_computes_the_same(changes: dict[str, Any]) -> None:
    small, large = trained(), network(**changes)
    before = logits(large)
    grow(small, large, seed=0)
    expected = logits(small)
    assert np.abs(before - expected).max() > 0.1
    np.testing.assert_allclose(logits(large), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_copies_of_a_channel_are_read_differently() -> None:
    small, large = trained(), network(widths=[8, 6])
    grow(small, large, seed=0)
    kernel = np.asarray(large.get_layer("stage2_down_conv").get_weights()[0])
    whole = np.asarray(small.get_layer("stage2_down_conv").get_weights()[0])
    np.testing.assert_allclose(kernel[:, :, :4] + kernel[:, :, 4:], whole, rtol=1e-5)
    assert np.abs(kernel[:, :, :4] / whole - 0.5).mean() > 0.1


def test_it_learns_again_and_the_copies_part() -> None:
    small, large = trained(), network(widths=[8, 12], blocks=[2, 1])
    grow(small, large, seed=0)
    large.compile(
        optimizer=keras.optimizers.SGD(1e-3, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    rng = np.random.default_rng(3)
    pictures = rng.integers(0, 256, (64, *SHAPE)).astype(np.float32)
    labels = rng.integers(0, 7, 64)
    losses = [large.train_on_batch(pictures, labels) for _ in range(20)]
    assert float(losses[-1]) < float(losses[0])
    kernel = np.asarray(large.get_layer("stage1_down_conv").get_weights()[0])
    assert np.abs(kernel[..., :4] - kernel[..., 4:]).max() > 1e-5
    assert np.any(np.asarray(large.get_layer("stage1_block2_2_bn").gamma) != 0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"widths": [3, 6]}, "stage1_down_conv"),
        ({"stem": 2}, "stem_conv"),
        ({"widths": [4], "blocks": [1]}, "stage2"),
        ({"blocks": [1, 0]}, "stage2_block1"),
    ],
)
def test_no_network_grows_into_a_smaller_one(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        grow(trained(), network(**changes), seed=0)


def test_nor_into_one_of_another_architecture() -> None:
    other = build_model("mini_xception", (48, 48, 1), 7)
    with pytest.raises(ValueError, match="it has no layer"):
        grow(trained(), other, seed=0)


def test_a_channel_more_in_the_pictures_is_refused() -> None:
    other = build_model("edge_resnet", (24, 24, 3), 7, **PLAIN)
    with pytest.raises(ValueError, match="stem_conv"):
        grow(trained(), other, seed=0)
