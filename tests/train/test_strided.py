"""Strided 1x1 convolutions take another form in training and compute the same."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from keras import Input, Model, layers

from train.strided import SubsampledConv2D, in_stock_layers, in_training_form

pytestmark = pytest.mark.host


@pytest.mark.parametrize("size", [12, 13])
def test_training_form_computes_the_same_and_is_undone(size: int) -> None:
    inputs = Input((size, size, 8))
    narrow = layers.Conv2D(16, 1, strides=2, padding="same", name="narrow")(inputs)
    wide = layers.Conv2D(4, 1, strides=2, padding="same", name="wide")(narrow)
    model = Model(inputs, layers.Conv2D(4, 3, strides=2, padding="same", name="square")(wide))
    training = in_training_form(model)
    assert [layer.name for layer in training.layers if isinstance(layer, SubsampledConv2D)] == ["narrow"]
    pixels = np.random.default_rng(0).normal(size=(2, size, size, 8)).astype(np.float32)
    wanted = np.asarray(model(pixels))
    assert np.asarray(training(pixels)) == pytest.approx(wanted, abs=1e-5)
    stock = in_stock_layers(training)
    assert {type(layer) for layer in stock.layers if layer.weights} == {layers.Conv2D}
    assert np.array_equal(np.asarray(stock(pixels)), wanted)


def test_a_model_without_them_stays_itself() -> None:
    inputs = Input((8, 8, 16))
    model = Model(inputs, layers.Conv2D(4, 1, strides=2)(inputs))
    assert in_training_form(model) is model
    assert in_stock_layers(model) is model
