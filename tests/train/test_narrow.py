"""Starting a narrower network from a wider one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")

import keras

from train.grow import layers_before
from train.models import build_model
from train.narrow import _Reader, narrow

pytestmark = pytest.mark.host

WIDE: dict[str, Any] = {"stem": 6, "widths": [8, 12], "blocks": [1, 2]}
NARROW: dict[str, Any] = {"stem": 4, "widths": [5, 7], "blocks": [1, 2]}
SHAPE = (24, 24, 1)


def network(**parameters: Any) -> Any:
    return build_model("edge_resnet", SHAPE, 7, **parameters)


@pytest.fixture
def wide() -> Any:
    """A network whose every weight, also those that start at 0 and 1, is something else."""
    model = network(**WIDE)
    rng = np.random.default_rng(1)
    model.set_weights(
        [value + rng.uniform(0.1, 0.4, value.shape).astype(np.float32) for value in model.get_weights()]
    )
    return model


def pictures(count: int, seed: int = 2) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), np.uint8)


def logits(model: Any) -> Any:
    return model.predict_on_batch(pictures(5).astype(np.float32))


def alike(small: Any, wide: Any) -> None:
    np.testing.assert_allclose(
        logits(small), logits(wide), rtol=1e-3, atol=1e-3 * np.abs(logits(wide)).max()
    )


def unread(model: Any, lost: dict[int, list[int]]) -> None:
    """Let nothing read the channels `lost` of the layers of a width."""
    for layer in model.layers:
        if not isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            continue
        kernel, *bias = layer.get_weights()
        kernel[..., lost.get(layers_before(layer)[0].output.shape[-1], []), :] = 0
        layer.set_weights([kernel, *bias])


@pytest.mark.parametrize("dilated", [False, True])
def test_channels_that_nothing_reads_are_left_out(wide: Any, dilated: bool) -> None:
    unread(wide, {6: [0, 3], 8: [1, 2, 6], 12: [0, 4, 5, 9, 11]})
    expected = wide
    if dilated:
        expected = network(**WIDE, dilated=True)
        expected.set_weights(wide.get_weights())
    small = network(**NARROW, dilated=dilated)
    narrow(wide, small, pictures(40))
    alike(small, expected)


def test_a_channel_that_repeats_another_goes_and_its_weights_go_to_the_other(wide: Any) -> None:
    for name, twins in (("stem", (1, 4)), ("stage1_block1_1", (0, 7)), ("stage2_block2_1", (3, 5))):
        for layer in (wide.get_layer(f"{name}_conv"), wide.get_layer(f"{name}_bn")):
            values = [value.copy() for value in layer.get_weights()]
            for value in values:
                value[..., twins[1]] = value[..., twins[0]]
            layer.set_weights(values)
    small = network(**{**WIDE, "stem": 5, "inner": [7, 11]})
    narrow(wide, small, pictures(40))
    alike(small, wide)


def test_the_scale_of_a_channel_counts(wide: Any) -> None:
    norm = wide.get_layer("stem_bn")
    for value in (norm.gamma, norm.beta):
        value.assign(np.where(np.arange(6) == 2, 0.0, value))
    small = network(**{**WIDE, "stem": 5})
    narrow(wide, small, pictures(40))
    kept = [0, 1, 3, 4, 5]
    for name in ("stem_conv", "stem_bn"):
        for new, old in zip(
            small.get_layer(name).get_weights(), wide.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(new, old[..., kept])
    np.testing.assert_allclose(
        small.get_layer("stage1_down_conv").get_weights()[0],
        wide.get_layer("stage1_down_conv").get_weights()[0][:, :, kept],
        atol=1e-3,
    )


def test_what_is_left_of_a_layer_is_the_best_that_can_be_done_without() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(size=(500, 6, 6, 5)) @ rng.normal(size=(5, 5))
    layer = keras.layers.Conv2D(4, 3, use_bias=False)
    layer.build(values.shape)
    inputs = np.stack([values[:, y : y + 3, x : x + 3].reshape(500, -1) for y in (0, 3) for x in (0, 3)])
    inputs = inputs.reshape(-1, 45)
    reader = _Reader(layer, inputs.T @ inputs)
    wanted = inputs @ np.asarray(layer.kernel, np.float64).reshape(45, 4)

    def best(channels: list[int]) -> tuple[Any, float]:
        left = inputs.reshape(-1, 9, 5)[..., channels].reshape(len(inputs), -1)
        weights, *_ = np.linalg.lstsq(left, wanted)
        return weights.reshape(3, 3, -1, 4), float(np.sum((left @ weights - wanted) ** 2))

    whole = float(np.sum(wanted**2))
    costs = reader.costs([0, 1, 2, 3, 4])
    for channel in range(5):
        _, lost = best([other for other in range(5) if other != channel])
        assert costs[channel] == pytest.approx(lost / whole, rel=1e-3)
    reader.leave_out(1)
    np.testing.assert_allclose(reader.kernel([0, 2, 3, 4]), best([0, 2, 3, 4])[0], atol=1e-3)
    assert reader.costs([3])[0] == pytest.approx(
        (best([0, 2, 4])[1] - best([0, 2, 3, 4])[1]) / whole, rel=1e-3
    )
    reader.leave_out(3)
    np.testing.assert_allclose(reader.kernel([0, 2, 4]), best([0, 2, 4])[0], atol=1e-3)


def test_a_layer_that_is_always_fed_zeros_has_nothing_to_lose() -> None:
    layer = keras.layers.Conv2D(4, 3)
    layer.build((1, 8, 8, 5))
    reader = _Reader(layer, np.zeros((45, 45)))
    assert np.isfinite(reader.costs([0, 1, 2, 3, 4])).all()
    reader.leave_out(2)
    kept = [0, 1, 3, 4]
    np.testing.assert_allclose(reader.kernel(kept), np.asarray(layer.kernel)[:, :, kept], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"widths": [8, 13]}, "'stage2_down_conv' is wider"),
        ({"stem": 7}, "'stem_conv' is wider"),
        ({"blocks": [1, 1]}, "other layers"),
        ({"blocks": [1, 3]}, "other layers"),
    ],
)
def test_other_forms_are_refused(wide: Any, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        narrow(wide, network(**{**NARROW, **changes}), pictures(2))


@pytest.mark.parametrize(("shape", "classes"), [(SHAPE, 5), (SHAPE, 8), ((24, 24, 3), 7)])
def test_and_so_are_other_classes_and_colours(wide: Any, shape: tuple[int, int, int], classes: int) -> None:
    with pytest.raises(ValueError, match="other colours or classes"):
        narrow(wide, build_model("edge_resnet", shape, classes, **NARROW), pictures(2))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (keras.layers.DepthwiseConv2D(3, name="odd"), "'odd' is of a kind that cannot be narrowed"),
        (keras.layers.Conv2D(4, 3, groups=2, name="odd"), "'odd' is of a kind that cannot be narrowed"),
        (keras.layers.Flatten(), "'dense' reads places, not channels"),
    ],
)
def test_what_it_cannot_follow_is_refused(layer: Any, reason: str) -> None:
    def chain(channels: int) -> Any:
        inputs = keras.Input((8, 8, 1), name="pixels")
        x = keras.layers.Conv2D(channels, 3, name="conv")(inputs)
        x = type(layer).from_config(layer.get_config())(x)
        if len(x.shape) == 4:
            x = keras.layers.GlobalAveragePooling2D()(x)
        return keras.Model(inputs, keras.layers.Dense(7, name="dense")(x))

    with pytest.raises(ValueError, match=reason):
        narrow(chain(8), chain(4), np.zeros((2, 8, 8, 1)))
