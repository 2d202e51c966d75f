"""Faces without labels, found in recordings or in folders of pictures, for `distill --unlabelled`.

What a teacher answers to them is all that is learned from them (Xie et al. 2020, arXiv 1911.04252).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge_runtime.contract import CropSpec, InputSpec
from edge_runtime.datasets.base import UNLABELLED
from edge_runtime.detectors import Detector
from edge_runtime.errors import DataError
from edge_runtime.preprocess import crop_face, crop_region
from edge_runtime.sources import SourceOptions, is_live, open_source
from train.data import TrainingData

SMALLEST_FACE = 0.8
"""Least height of a face, fraction of the model's input: smaller ones have lost their expression."""


def find_faces(
    sources: Sequence[str], detector: Detector, crop: CropSpec, spec: InputSpec
) -> npt.NDArray[np.uint8]:
    """Faces of every frame, framed as the runtime frames them.

    Args:
        sources: pictures, folders of pictures and recordings, as `edge-fer run --source` takes them.

    Returns:
        uint8 (N, height, width) luma or (N, height, width, 3) RGB.

    Raises:
        SourceError: a source is not there or cannot be read.
        DataError: a source that never ends, or no face large enough in any.
    """
    color = spec.color == "rgb"
    least = math.ceil(SMALLEST_FACE * spec.height)
    found = []
    for name in sources:
        if is_live(name):
            raise DataError(f"{name}: never ends; give a recording or a folder of pictures")
        source = open_source(name, SourceOptions(color=color))
        frames = tqdm(source.frames(), desc=f"faces of {name}", unit="frame", file=sys.stderr, leave=False)
        try:
            for frame in frames:
                picture = frame.luma if frame.bgr is None else np.ascontiguousarray(frame.bgr[..., ::-1])
                for detection in detector.detect(frame.luma):
                    if detection.box.h >= least:
                        found.append(crop_face(picture, crop_region(detection.box, crop), spec))
        finally:
            source.close()
    if not found:
        raise DataError(f"{', '.join(sources)}: no face of {least} pixels or more was found")
    return np.stack(found)


def with_unlabelled(data: TrainingData, faces: npt.NDArray[np.uint8]) -> TrainingData:
    """Training data with faces (N, H, W[, 3]) behind it; their targets are zeros."""
    train, count = data.train, len(faces)
    if train.images.shape[1:] != faces.shape[1:]:
        raise DataError(
            f"{train.source}: --unlabelled needs data of the model's input size and colour, "
            f"{faces.shape[1:]}. Received: {train.images.shape[1:]}"
        )
    longer = replace(
        train,
        images=np.concatenate([train.images, faces]),
        labels=np.concatenate([train.labels, np.full(count, UNLABELLED)]),
        splits=np.concatenate([train.splits, np.full(count, "")]),
    )
    none = np.zeros((count, data.targets.shape[1]), np.float32)
    return replace(data, train=longer, targets=np.concatenate([data.targets, none]))
