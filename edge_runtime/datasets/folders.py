"""Class folders: `train/angry/*.png`, `test/happy/*.jpg`, or the class folders alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.datasets.base import (
    FER2013_LABELS,
    LabeledImages,
    canonical_label,
    canonical_split,
)
from edge_runtime.errors import DataError
from edge_runtime.imageheader import read_header

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")

_SIGNATURES: tuple[tuple[bytes, tuple[str, ...]], ...] = (
    (b"\x89PNG\r\n\x1a\n", (".png",)),
    (b"\xff\xd8\xff", (".jpg", ".jpeg")),
    (b"BM", (".bmp",)),
    (b"RIFF", (".webp",)),
    (b"II*\x00", (".tif", ".tiff")),
    (b"MM\x00*", (".tif", ".tiff")),
)


@dataclass(frozen=True)
class Unreadable:
    """A file of a class folder that is left out."""

    path: Path
    reason: str
    """What is wrong with it, for a list."""


def read(
    path: Path,
    *,
    size_hw: tuple[int, int] = (48, 48),
    color: str = "luma",
    class_names: tuple[str, ...] | None = None,
    unreadable: list[Unreadable] | None = None,
) -> LabeledImages:
    """Read every picture of the class folders, resized to one size.

    Args:
        path: folder of class folders, or of split folders (`train`, `val`, `test` and their usual
            spellings) of class folders.
        size_hw: height and width of the result, pixels.
        color: `luma` or `rgb`.
        class_names: the classes wanted; other folders are passed over. By default FER2013's seven
            (aliases such as `fearful` understood), and a folder of another name is an error.
        unreadable: takes the files that have a picture's name and are none, that have another form
            than their name says, or that are no pictures by name; they are left out. With None, a
            picture that does not decode is an error and the others are read or passed over.

    Raises:
        DataError: an unknown class folder, no pictures, or a picture that does not decode.
    """
    names = class_names or FER2013_LABELS
    images, labels, splits = [], [], []
    for split, label, file in _files(path, names, pass_over=class_names is not None):
        if unreadable is not None:
            reason = suspicion(file)
            if reason:
                unreadable.append(Unreadable(file, reason))
                continue
        elif file.suffix.lower() not in SUFFIXES:
            continue
        try:
            images.append(read_picture(file, size_hw, color))
        except DataError:
            if unreadable is None:
                raise
            unreadable.append(Unreadable(file, "does not decode"))
            continue
        labels.append(label)
        splits.append(split)
    if not images:
        raise DataError(f"{path}: no pictures ({', '.join(SUFFIXES)}) in its class folders")
    return LabeledImages(np.stack(images), np.array(labels, np.int64), names, np.array(splits), str(path))


def class_folders(path: Path) -> list[tuple[str, Path]]:
    """(split, class folder) below a data folder, sorted; split is '' without split folders."""
    folders = _subfolders(path)
    split_folders = [(canonical_split(folder.name), folder) for folder in folders]
    if any(split is not None for split, _ in split_folders):
        return [
            (split, folder) for split, parent in split_folders if split for folder in _subfolders(parent)
        ]
    return [("", folder) for folder in folders]


def suspicion(file: Path) -> str | None:
    """Say why a file's name and first bytes are not those of one and the same picture form, or None."""
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        return f"extension {file.suffix or 'missing'!r} is not a picture's"
    with file.open("rb") as stream:
        head = stream.read(16)
    for signature, suffixes in _SIGNATURES:
        if head.startswith(signature):
            return None if suffix in suffixes else f"named {suffix}, but is {suffixes[0]}"
    return "does not begin like a picture"


def read_picture(file: Path, size_hw: tuple[int, int] | None, color: str) -> npt.NDArray[np.uint8]:
    """Read one picture as uint8 (H, W) luma or (H, W, 3) RGB, resized unless `size_hw` is None.

    Raises:
        DataError: missing, or not a picture that OpenCV decodes.
    """
    flag = cv2.IMREAD_GRAYSCALE if color == "luma" else cv2.IMREAD_COLOR
    try:
        content = np.fromfile(file, np.uint8)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from None
    image: npt.NDArray[Any] = decode(content.tobytes(), flag, str(file))
    if size_hw is not None and image.shape[:2] != size_hw:
        shrinks = image.shape[0] * image.shape[1] > size_hw[0] * size_hw[1]
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = cv2.resize(image, (size_hw[1], size_hw[0]), interpolation=interpolation)
    if color == "rgb":
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return np.asarray(image, np.uint8)


def decode(content: bytes, flag: int, where: str) -> npt.NDArray[np.uint8]:
    """Decode a picture's bytes after a look at its header.

    Args:
        flag: one of OpenCV's `IMREAD_…`.

    Raises:
        DataError: no picture, a damaged one, or one too large; `where` begins the message.
    """
    header = read_header(content)
    sound = header is not None and header.width > 0 and header.height > 0
    complaint = header.complaint() if header and sound else None
    if complaint:
        raise DataError(f"{where}: {complaint}")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flag) if sound else None
    except cv2.error:
        image = None
    if image is None or not image.size:
        raise DataError(f"{where}: not a readable picture; repair it or move it away")
    return np.asarray(image, np.uint8)


def _files(path: Path, names: tuple[str, ...], pass_over: bool) -> Iterator[tuple[str, int, Path]]:
    numbers = {canonical_label(name): number for number, name in enumerate(names)}
    for split, folder in class_folders(path):
        number = numbers.get(canonical_label(folder.name))
        if number is None:
            if pass_over:
                continue
            raise DataError(f"{folder}: unknown class folder {folder.name!r}. Expected: {', '.join(names)}")
        for file in sorted(folder.iterdir()):
            if file.is_file():
                yield split, number, file


def _subfolders(path: Path) -> list[Path]:
    return sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
