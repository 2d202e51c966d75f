"""Devices that Keras trains on: determinism, GPU memory, mixed precision, several devices."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from edge_runtime.errors import EdgeFerError, UsageError

CPUINFO = Path("/proc/cpuinfo")


class DeviceError(EdgeFerError):
    """The devices asked for are not there."""


def use_deterministic_kernels(wanted: bool) -> None:
    """Have TensorFlow choose deterministic kernels; JAX's are so on a CPU without asking."""
    if wanted and keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()


def grow_gpu_memory() -> None:
    """Have TensorFlow take GPU memory as it needs it instead of all at once."""
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow

    for gpu in tensorflow.config.list_physical_devices("GPU"):
        try:
            tensorflow.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:
            # The GPU is in use already; what it was set to stays.
            return


def use_mixed_precision() -> None:
    """Compute in float16 on a GPU, in bfloat16 on a CPU that multiplies it; others would be slower."""
    if has_gpu():
        keras.mixed_precision.set_global_policy("mixed_float16")
    elif keras.backend.backend() == "tensorflow" and multiplies_bfloat16():
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    else:
        print(
            "no GPU, and no CPU that multiplies bfloat16 (AMX, AVX-512): --mixed-precision is left out",
            file=sys.stderr,
        )


def multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16 that TensorFlow's convolutions use: AMX, AVX-512."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = {flag for line in lines if line.startswith("flags") for flag in line.split()}
    return not flags.isdisjoint(("amx_bf16", "avx512_bf16"))


def has_gpu() -> bool:
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        return bool(tensorflow.config.list_physical_devices("GPU"))
    return any(str(device).startswith("gpu") for device in keras.distribution.list_devices())


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Make layers that compute in float32 in the block, whatever is trained in outside of it."""
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_global_policy("float32")
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(policy)


def in_full_precision(model: Any) -> Any:
    """The same model computing in float32, whatever it was trained in."""
    if all(layer.dtype_policy.name == "float32" for layer in model.layers):
        return model

    def clone(layer: Any) -> Any:
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    with full_precision():
        full = keras.models.clone_model(model, clone_function=clone)
    full.set_weights(model.get_weights())
    return full


def use_all_devices(batch_size: int) -> None:
    """Divide every batch among the devices by Keras' distribution API; weights are on each.

    The devices are those of one host.

    Raises:
        UsageError: another backend than JAX, or a batch that does not divide.
        DeviceError: fewer than two devices.
    """
    if keras.backend.backend() != "jax":
        raise UsageError(
            "--data-parallel needs Keras on JAX: set KERAS_BACKEND=jax and install it: pip install jax"
        )
    devices = keras.distribution.list_devices()
    if len(devices) < 2:
        raise DeviceError(
            "--data-parallel found one device; on a CPU make several with "
            "XLA_FLAGS=--xla_force_host_platform_device_count=2"
        )
    if batch_size % len(devices):
        raise UsageError(
            f"batch_size {batch_size} does not divide among {len(devices)} devices; change the recipe"
        )
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
    )
    print(f"each batch of {batch_size} is divided among {len(devices)} devices", file=sys.stderr)
