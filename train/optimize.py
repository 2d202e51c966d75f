"""Optimizer, learning-rate schedule, loss and metric of a phase."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import Any

import keras

from edge_runtime.errors import UsageError
from train.recipe import Recipe
from train.sections import ScheduleSection

SPARED_FROM_DECAY = ["bias", "gamma", "beta"]


def choose_layers(model: keras.Model, patterns: tuple[str, ...]) -> None:
    """Let the layers learn whose name matches a pattern; none given, all.

    Raises:
        UsageError: a pattern that matches no layer.
    """
    for pattern in patterns:
        if not any(fnmatch(layer.name, pattern) for layer in model.layers):
            names = ", ".join(layer.name for layer in model.layers if layer.weights)
            raise UsageError(f"train_layers: no layer matches {pattern!r}; layers are: {names[:400]}")
    # Layer by layer: a model's own switch reaches no layer that was set by itself.
    for layer in model.layers:
        layer.trainable = not patterns or any(fnmatch(layer.name, pattern) for pattern in patterns)


def compile_model(model: keras.Model, recipe: Recipe, schedule: ScheduleSection, steps: int) -> None:
    """Compile for one phase.

    Args:
        steps: batches per epoch, which a cosine schedule counts in.
    """
    loss, accuracy = _loss(recipe)
    model.compile(
        optimizer=_optimizer(schedule, steps),
        loss=loss,
        metrics=[accuracy],
        # XLA on a CPU takes twice the time of TensorFlow's own kernels here.
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )


def after_loading(model: keras.Model) -> None:
    """Say again what a saved optimizer forgets: which variables are spared from weight decay."""
    # Mixed precision wraps the optimizer in one that scales the loss.
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if optimizer.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=SPARED_FROM_DECAY)


def _loss(recipe: Recipe) -> tuple[keras.losses.Loss, keras.metrics.Metric]:
    smoothing = recipe.train.label_smoothing
    if recipe.model.task == "sigmoid":
        return (
            keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing),
            keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0),
        )
    return (
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing),
        keras.metrics.CategoricalAccuracy(name="accuracy"),
    )


def _optimizer(section: ScheduleSection, steps: int) -> keras.optimizers.Optimizer:
    rate: Any = section.learning_rate
    if section.schedule == "cosine":
        warmup = round(section.warmup_epochs * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else section.learning_rate,
            decay_steps=max(section.epochs * steps - warmup, 1),
            warmup_target=section.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    decay = section.weight_decay or None
    if section.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=section.momentum, nesterov=True, weight_decay=decay)
    else:
        kind = keras.optimizers.Adam if section.optimizer == "adam" else keras.optimizers.AdamW
        # Keras' AdamW has a decay of its own, which a recipe without weight_decay does not mean.
        optimizer = kind(rate, weight_decay=decay)
    if decay:
        optimizer.exclude_from_weight_decay(var_names=SPARED_FROM_DECAY)
    return optimizer
