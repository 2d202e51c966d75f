"""Layers that take another form in training compute the same, and come back as Keras' own."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow
from keras import Input, Model, layers, losses, mixed_precision, optimizers

from train.fewpixels import ProductGradientConv2D
from train.fused import FusedBatchNormalization
from train.strided import SubsampledConv2D
from train.training_form import in_stock_layers, in_training_form

pytestmark = pytest.mark.host


@pytest.mark.parametrize("size", [12, 13])
def test_strided_pointwise_convolutions(size: int) -> None:
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


def normalized(momentum: float = 0.9) -> Model:
    inputs = Input((8, 8, 3))
    x = layers.Conv2D(6, 3, use_bias=False)(inputs)
    x = layers.BatchNormalization(momentum=momentum, name="inner")(x)
    x = layers.Flatten()(layers.ReLU()(x))
    x = layers.BatchNormalization(scale=False, name="flat")(x)
    return Model(inputs, layers.Dense(2)(x))


def test_fused_normalization_learns_as_keras_own_does() -> None:
    stock = normalized()
    fused = in_training_form(stock)
    assert {name: type(fused.get_layer(name)) for name in ("inner", "flat")} == {
        "inner": FusedBatchNormalization,
        "flat": layers.BatchNormalization,
    }
    rng = np.random.default_rng(0)
    pixels = rng.normal(3, 2, (5, 8, 8, 3)).astype(np.float32)
    labels = np.array([0, 1, 1, 0, 1])
    for model in (stock, fused):
        loss = losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizers.SGD(0.05), loss, jit_compile=False)
        for _ in range(4):
            model.train_on_batch(pixels, labels)
    for wanted, received in zip(stock.get_weights(), fused.get_weights(), strict=True):
        assert received == pytest.approx(wanted, abs=1e-4)
    undone = in_stock_layers(fused)
    assert type(undone.get_layer("inner")) is layers.BatchNormalization
    assert np.array_equal(undone.predict(pixels, verbose=0), fused.predict(pixels, verbose=0))


def test_fused_normalization_of_bfloat16_keeps_its_moments_in_float32() -> None:
    exact = in_training_form(normalized())
    mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        rounded = in_training_form(normalized())
    finally:
        mixed_precision.set_global_policy("float32")
    rounded.set_weights(exact.get_weights())
    inner = rounded.get_layer("inner")
    assert (type(inner), inner.compute_dtype) == (FusedBatchNormalization, "bfloat16")
    assert {weight.dtype for weight in inner.weights} == {"float32"}
    pixels = np.random.default_rng(0).normal(3, 2, (64, 8, 8, 3)).astype(np.float32)
    outputs = [np.asarray(model(pixels, training=True), np.float32) for model in (exact, rounded)]
    assert outputs[1] == pytest.approx(outputs[0], abs=0.1)
    assert not np.array_equal(*outputs)
    for wanted, received in zip(exact.get_layer("inner").get_weights(), inner.get_weights(), strict=True):
        assert received == pytest.approx(wanted, rel=0.02, abs=0.02)


def test_frozen_normalization_keeps_its_averages() -> None:
    model = in_training_form(normalized())
    model.get_layer("inner").trainable = False
    before = model.get_layer("inner").get_weights()
    model(np.ones((2, 8, 8, 3), np.float32), training=True)
    after = model.get_layer("inner").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("size", [5, 6, 7, 8, 11, 12])
@pytest.mark.parametrize("strides", [1, 2])
def test_a_kernel_learns_by_products_what_it_learns_by_convolution(size: int, strides: int) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(3, size, size, 5)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 5, 4)).astype(np.float32)
    layer = ProductGradientConv2D(4, 3, strides=strides, padding="same")
    layer.build(pixels.shape)
    layer.set_weights([kernel, np.zeros(4, np.float32)])
    inputs = tensorflow.constant(pixels)
    with tensorflow.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        wanted = tensorflow.nn.conv2d(inputs, layer.kernel, strides, "SAME")
        outputs = layer(inputs)
        pull = rng.normal(size=outputs.shape).astype(np.float32)
        losses = [tensorflow.reduce_sum(outputs * pull), tensorflow.reduce_sum(wanted * pull)]
    assert np.asarray(outputs) == pytest.approx(np.asarray(wanted), abs=1e-5)
    for variable in (inputs, layer.kernel.value):
        ours, theirs = (np.asarray(tape.gradient(loss, variable)) for loss in losses)
        assert ours == pytest.approx(theirs, abs=1e-4)


def test_products_stand_in_where_pictures_are_small_and_channels_many() -> None:
    mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        inputs = Input((16, 16, 8))
        x = layers.Conv2D(128, 3, padding="same", name="large")(inputs)
        x = layers.Conv2D(128, 3, strides=2, padding="same", name="small")(x)
        x = layers.Conv2D(64, 3, padding="same", name="narrow")(x)
        x = layers.Conv2D(128, 3, name="valid")(x)
        model = Model(inputs, layers.Conv2D(128, 1, padding="same", name="pointwise")(x))
        training = in_training_form(model)
    finally:
        mixed_precision.set_global_policy("float32")
    assert [layer.name for layer in training.layers if type(layer) is ProductGradientConv2D] == ["small"]
    stock = in_stock_layers(training)
    assert {type(layer) for layer in stock.layers if layer.weights} == {layers.Conv2D}
    exact = Model(inputs, layers.Conv2D(128, 3, strides=2, padding="same")(inputs))
    assert in_training_form(exact) is exact
