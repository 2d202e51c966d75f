"""Which layers learn in a phase."""

from __future__ import annotations

import pytest

pytest.importorskip("keras")

import keras

from edge_runtime.errors import UsageError
from train.optimize import choose_layers

pytestmark = pytest.mark.host


def test_a_later_phase_frees_what_an_earlier_one_froze() -> None:
    model = keras.Sequential(
        [keras.Input((4,)), *(keras.layers.Dense(2, name=name) for name in ("body", "head_1", "head_2"))]
    )
    choose_layers(model, ("head_*",))
    assert [layer.trainable for layer in model.layers] == [False, True, True]
    assert len(model.trainable_variables) == 4
    choose_layers(model, ())
    assert len(model.trainable_variables) == 6


def test_a_pattern_without_a_layer_is_refused() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="body")])
    with pytest.raises(UsageError, match=r"no layer matches 'head_\*'; layers are: body"):
        choose_layers(model, ("head_*",))
