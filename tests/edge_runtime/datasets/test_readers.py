"""Readers of labelled data on files as users have them, whole and broken."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.contract import InputSpec
from edge_runtime.datasets import (
    FER2013_LABELS,
    UNLABELLED,
    LabeledImages,
    fit_pictures,
    load_dataset,
    load_for_model,
)
from edge_runtime.datasets.folders import suspicion
from edge_runtime.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 48, 48), dtype=np.uint8)


def csv_text(emotion: bool = True, usage: bool = True) -> str:
    header = ",".join(["emotion"] * emotion + ["pixels"] + ["Usage"] * usage)
    lines = [header]
    for index, image in enumerate(PIXELS):
        fields = [str(index)] * emotion + [" ".join(map(str, image.ravel()))]
        lines.append(",".join(fields + ["Training" if index < 3 else "PublicTest"] * usage))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("name", "opener"), [("a.csv", open), ("a.csv.gz", gzip.open), ("a.csv.xz", lzma.open)]
)
def test_csv_reads_the_same_compressed_or_not(tmp_path: Path, name: str, opener) -> None:
    with opener(tmp_path / name, "wt") as file:
        file.write(csv_text())
    data = load_dataset(tmp_path / name)
    assert np.array_equal(data.images, PIXELS)
    assert data.labels.tolist() == [0, 1, 2, 3]
    assert data.splits.tolist() == ["Training"] * 3 + ["PublicTest"]
    assert data.class_names == FER2013_LABELS


def test_csv_in_a_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_text(csv_text())
    assert len(load_dataset(tmp_path)) == 4


def test_csv_without_usage_and_emotion(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv_text(emotion=False, usage=False))
    data = load_dataset(path)
    assert data.labels.tolist() == [UNLABELLED] * 4
    assert set(data.splits.tolist()) == {""}
    assert len(data.labelled()) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("pixels", "picture", 1), "no column 'pixels'"),
        (lambda text: text + "0,1 2 3,Training\n", "line 6: 3 pixels instead of 2304"),
        (lambda text: text + "0,1 2 3\n", "line 6: 2 fields instead of 3"),
        (lambda text: text.replace("\n3,", "\n7,"), "emotion must be 0..6"),
        (lambda text: text.replace("\n3,", "\nhappy,"), "emotion must be 0..6"),
        (lambda text: text.replace(f"\n0,{PIXELS[0, 0, 0]} ", "\n0,256 "), "pixels must be 0..255"),
        (lambda text: text.replace(f"\n0,{PIXELS[0, 0, 0]} ", "\n0,x "), "pixels must be integers"),
        (lambda text: text.splitlines()[0], "has no rows"),
    ],
)
def test_broken_csv_is_refused_with_its_line(tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(change(csv_text()))
    with pytest.raises(DataError, match=message):
        load_dataset(path)


def test_truncated_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(csv_text().encode())[:-200])
    with pytest.raises(DataError, match="cannot be read as CSV"):
        load_dataset(path)


def write_picture(path: Path, image: np.ndarray, form: str = ".png") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(form, image)[1].tobytes())


def test_class_folders_with_splits_and_aliases(tmp_path: Path) -> None:
    write_picture(tmp_path / "train" / "Fearful" / "a.png", PIXELS[0])
    write_picture(tmp_path / "train" / "happiness" / "b.png", PIXELS[1])
    write_picture(tmp_path / "test" / "angry" / "c.png", cv2.resize(PIXELS[2], (96, 60)))
    (tmp_path / "train" / "happiness" / "Thumbs.db").write_bytes(b"x")
    data = load_dataset(tmp_path)
    found = {
        (str(split), data.class_names[label]) for split, label in zip(data.splits, data.labels, strict=True)
    }
    assert found == {("Training", "fear"), ("Training", "happy"), ("test", "angry")}
    assert data.images.shape == (3, 48, 48)
    assert any(np.array_equal(image, PIXELS[0]) for image in data.images)


def test_class_folders_in_color_and_size(tmp_path: Path) -> None:
    red = np.zeros((10, 20, 3), np.uint8)
    red[..., 2] = 255
    write_picture(tmp_path / "happy" / "a.png", red)
    data = load_dataset(tmp_path, size_hw=(32, 32), color="rgb")
    assert data.images.shape == (1, 32, 32, 3)
    assert data.images[0, 5, 5].tolist() == [255, 0, 0]


def test_unknown_class_folder(tmp_path: Path) -> None:
    write_picture(tmp_path / "bored" / "a.png", PIXELS[0])
    write_picture(tmp_path / "happy" / "a.png", PIXELS[0])
    with pytest.raises(DataError, match=r"unknown class folder 'bored'. Expected: angry"):
        load_dataset(tmp_path)
    assert len(load_dataset(tmp_path, class_names=("sad", "happy"))) == 1
    by_alias = load_dataset(tmp_path, class_names=("bored", "Happiness"))
    assert by_alias.labels.tolist() == [0, 1]


def test_class_folders_are_read_as_a_model_takes_them(tmp_path: Path) -> None:
    for name in ("calm", "cross"):
        write_picture(tmp_path / "test" / name / "a.png", np.full((70, 60, 3), (0, 0, 200), np.uint8))
    write_picture(tmp_path / "test" / "angry" / "a.png", PIXELS[0])
    data = load_for_model(tmp_path, InputSpec(32, 40, "rgb"), ("cross", "calm"))
    assert data.images.shape == (2, 32, 40, 3)
    assert data.images[0, 0, 0].tolist() == [200, 0, 0]
    assert sorted(data.class_names[label] for label in data.labels) == ["calm", "cross"]


def test_unreadable_pictures_stop_or_are_listed(tmp_path: Path) -> None:
    write_picture(tmp_path / "happy" / "a.png", PIXELS[0])
    write_picture(tmp_path / "happy" / "lying.jpg", PIXELS[1])
    (tmp_path / "happy" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    (tmp_path / "happy" / "notes.txt").write_text("x")
    (tmp_path / "happy" / "empty.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"broken\.png: not a readable picture"):
        load_dataset(tmp_path)
    unreadable: list = []
    data = load_dataset(tmp_path, unreadable=unreadable)
    assert np.array_equal(data.images, PIXELS[:1])
    assert {item.path.name: item.reason for item in unreadable} == {
        "lying.jpg": "named .jpg, but is .png",
        "broken.png": "does not decode",
        "notes.txt": "extension '.txt' is not a picture's",
        "empty.jpg": "does not begin like a picture",
    }
    assert len(list((tmp_path / "happy").iterdir())) == 5


def test_suspicion_knows_every_form_that_is_read(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"):
        write_picture(tmp_path / f"a{suffix}", PIXELS[0], suffix)
        assert suspicion(tmp_path / f"a{suffix}") is None


def test_npz_names_and_checks(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, X=PIXELS[..., None], y=np.array([0, 1, 1, 0]), class_names=np.array(["no", "yes"]))
    data = load_dataset(path)
    assert data.images.shape == (4, 48, 48)
    assert data.class_names == ("no", "yes")
    np.savez(path, pixels=PIXELS.astype(np.float32))
    with pytest.raises(DataError, match="must be uint8"):
        load_dataset(path)
    np.savez(path, pixels=PIXELS, emotion=np.array([0, 1]))
    with pytest.raises(DataError, match="4 images but labels of shape"):
        load_dataset(path)
    np.savez(path, pixels=PIXELS, emotion=np.array([0, 1, 2, 7]))
    with pytest.raises(DataError, match=r"labels must be integers 0\.\.6"):
        load_dataset(path)
    path.write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(DataError, match="cannot be read as"):
        load_dataset(path)


def test_npz_is_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, pixels=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="cannot be read as"):
        load_dataset(path)


def test_pair_of_files(tmp_path: Path) -> None:
    with lzma.open(tmp_path / "fer2013_pixels.npy.xz", "wb") as file:
        np.save(file, PIXELS)
    labels = tmp_path / "fer2013_labels.csv"
    labels.write_text("emotion,Usage\n0,Training\n1,Training\n2,Training\n3,PublicTest\n")
    assert load_dataset(tmp_path).split("public_test").labels.tolist() == [3]
    labels.write_text("emotion,Usage\n0,Training\n")
    with pytest.raises(DataError, match="4 images but labels of shape"):
        load_dataset(tmp_path)
    labels.write_text("emotion\n0\n1\n2\n3\n")
    with pytest.raises(DataError, match="no column 'Usage'"):
        load_dataset(tmp_path)


def test_missing_and_unknown_forms(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        load_dataset(tmp_path / "nothing")
    (tmp_path / "a.parquet").write_bytes(b"x")
    with pytest.raises(DataError, match="unknown form of data"):
        load_dataset(tmp_path / "a.parquet")


def labelled(labels: list[int]) -> LabeledImages:
    count = len(labels)
    return LabeledImages(
        PIXELS[:count], np.array(labels), FER2013_LABELS, np.array(["Training"] * count), "memory"
    )


def test_unknown_split_lists_those_there_are() -> None:
    with pytest.raises(DataError, match="splits there are: Training"):
        labelled([0, 1]).split("PublicTest")


def test_labels_for_another_order() -> None:
    data = labelled([3, 4, 3])
    assert data.labels_for(("sad", "happy")).tolist() == [1, 0, 1]
    with pytest.raises(DataError, match="class 'sad' is not among the model's labels"):
        data.labels_for(("happy", "fear"))


def test_of_classes_selects_and_renumbers() -> None:
    data = labelled([3, 0, 4, UNLABELLED]).of_classes(("happy", "sad"))
    assert data.labels.tolist() == [0, 1]
    assert data.class_names == ("happy", "sad")
    assert np.array_equal(data.images, PIXELS[[0, 2]])
    with pytest.raises(DataError, match="no class 'bored'"):
        labelled([0]).of_classes(("bored",))


def test_digest_changes_with_labels_and_pixels() -> None:
    digests = {labelled([0, 1]).digest(), labelled([0, 2]).digest(), labelled([0]).digest()}
    assert len(digests) == 3
    assert labelled([0, 1]).digest() == labelled([0, 1]).digest()


def test_fit_pictures_changes_color_and_size() -> None:
    assert fit_pictures(PIXELS, InputSpec(48, 48)).shape == (4, 48, 48, 1)
    wide = fit_pictures(PIXELS, InputSpec(64, 32, "rgb"))
    assert wide.shape == (4, 64, 32, 3)
    assert np.array_equal(wide[..., 0], wide[..., 2])
    back = fit_pictures(np.repeat(PIXELS[..., None], 3, axis=3), InputSpec(48, 48))
    assert np.abs(back[..., 0].astype(int) - PIXELS).max() <= 1
