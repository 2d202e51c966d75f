"""Cleaning, held-out parts, balance and targets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.datasets import LabeledImages
from edge_runtime.errors import DataError
from tests.train.support import CLASSES, faces
from train.data import (
    class_weights,
    grouped_folds,
    grouped_holdout,
    groups,
    in_conflict,
    is_blank,
    prepare,
)
from train.sections import DataSection
from train.votes import read_votes


def with_copies(data: LabeledImages, pairs: list[tuple[int, int]]) -> LabeledImages:
    images = data.images.copy()
    for source, target in pairs:
        images[target] = images[source]
    return replace(data, images=images)


def test_blank_and_conflicting_pictures_are_left_out() -> None:
    data = with_copies(faces(), [(0, 1), (3, 6)])
    data.images[9] = 7
    assert np.flatnonzero(is_blank(data)).tolist() == [9]
    assert np.flatnonzero(in_conflict(data)).tolist() == [0, 1]
    prepared = prepare(data, DataSection(validation=0), seed=0)
    assert (prepared.dropped_blank, prepared.dropped_conflicting) == (1, 2)
    assert len(prepared.train) == 50 - 3
    kept = prepare(data, DataSection(validation=0, drop_blank=False, drop_conflicting=False), seed=0)
    assert len(kept.train) == 50


def test_nothing_to_train_on_is_said() -> None:
    data = replace(faces(), labels=np.full(60, -1))
    with pytest.raises(DataError, match="no labelled images to train on"):
        prepare(data, DataSection(), seed=0)


def test_data_without_splits_is_taken_whole() -> None:
    data = replace(faces(), splits=np.array([""] * 60))
    assert len(prepare(data, DataSection(validation=0), seed=0).train) == 60
    with pytest.raises(DataError, match="splits there are: PublicTest, Training"):
        prepare(faces(), DataSection(split="PrivateTest"), seed=0)


def test_holdout_is_stratified_and_keeps_identical_pictures_together() -> None:
    rng = np.random.default_rng(1)
    base = faces(300)
    data = with_copies(base, [(int(a), int(a) + 3) for a in rng.choice(280, 90, replace=False)])
    data = replace(data, labels=np.where(np.arange(300) % 17 == 0, 0, data.labels))
    held_out = grouped_holdout(data, 0.2, seed=3)
    group = groups(data)
    assert not set(group[held_out]) & set(group[~held_out])
    for label in range(3):
        assert held_out[data.labels == label].mean() == pytest.approx(0.2, abs=0.08)
    assert np.array_equal(held_out, grouped_holdout(data, 0.2, seed=3))
    assert not np.array_equal(held_out, grouped_holdout(data, 0.2, seed=4))


def test_too_few_images_to_hold_any_out() -> None:
    prepared = prepare(faces(18), DataSection(validation=0.05), seed=0)
    assert prepared.validation is None
    assert len(prepared.train) == 15


def test_folds_cover_everything_once() -> None:
    data = with_copies(faces(90), [(0, 3), (6, 9)])
    folds = grouped_folds(data, 3, seed=0)
    group = groups(data)
    assert sorted(set(folds.tolist())) == [0, 1, 2]
    assert all(len(set(folds[group == g].tolist())) == 1 for g in set(group.tolist()))
    with pytest.raises(DataError, match="for 40 folds"):
        grouped_folds(data, 40, seed=0)


def test_test_part_is_held_out_of_training_and_validation() -> None:
    prepared = prepare(faces(), DataSection(test=0.2, validation=0.25), seed=0)
    assert prepared.test is not None
    assert prepared.validation is not None
    parts = [set(part.hashes().tolist()) for part in (prepared.train, prepared.validation, prepared.test)]
    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & parts[2]
    assert sum(map(len, parts)) == 50


def test_classes_are_chosen_and_upsampled() -> None:
    data = faces()
    data = data.select(np.flatnonzero((data.labels != 2) | (np.arange(60) % 2 == 0)))
    section = DataSection(classes=("sad", "happy"), validation=0, balance="upsample", color="rgb", size=32)
    prepared = prepare(data, section, seed=0)
    assert prepared.train.class_names == ("sad", "happy")
    counts = np.bincount(prepared.train.labels)
    assert counts[0] == counts[1]
    assert len(set(prepared.train.hashes().tolist())) < len(prepared.train)
    assert prepared.input.shape == (1, 32, 32, 3)


def test_votes_are_blended_into_the_targets() -> None:
    data = faces()
    votes = np.full((60, 3), np.nan, np.float32)
    votes[0] = (0.5, 0.5, 0.0)
    prepared = prepare(data, DataSection(validation=0, votes=0.5), seed=0, votes=votes)
    assert prepared.targets[0].tolist() == [0.75, 0.25, 0.0]
    assert prepared.targets[1].tolist() == [0, 1, 0]
    with pytest.raises(DataError, match="give --votes"):
        prepare(data, DataSection(votes=0.5), seed=0)


def test_votes_follow_the_classes_of_the_recipe() -> None:
    votes = np.zeros((60, 3), np.float32)
    votes[:] = (0.2, 0.2, 0.6)
    votes[0] = (1, 0, 0)
    section = DataSection(classes=("sad", "happy"), validation=0, votes=0.5)
    prepared = prepare(faces(), section, seed=0, votes=votes)
    happy, sad = (prepared.targets[prepared.train.labels == index][0] for index in (1, 0))
    np.testing.assert_allclose(happy, [0.375, 0.625])
    np.testing.assert_allclose(sad, [0.875, 0.125])
    np.testing.assert_allclose(prepared.targets.sum(axis=1), 1)


def test_votes_for_other_rows_are_refused(tmp_path: Path) -> None:
    data, path = faces(), tmp_path / "votes.csv"
    lines = [f"{split},1,2,3" for split in data.splits]
    path.write_text("\n".join(["Usage,anger,happiness,sadness", *lines]))
    np.testing.assert_allclose(read_votes(path, data)[0], [1 / 6, 2 / 6, 3 / 6])
    path.write_text("\n".join(["Usage,anger,happiness,sadness", *reversed(lines)]))
    with pytest.raises(DataError, match="its rows are not those of memory in order"):
        read_votes(path, data)


def test_class_weights_average_to_one() -> None:
    labels = np.array([0, 0, 0, 1])
    weights = class_weights(labels, len(CLASSES))
    assert weights[labels].mean() == pytest.approx(1)
    assert weights[1] == 3 * weights[0]
