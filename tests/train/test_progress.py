"""Plateau, early stopping and phases, as plain numbers."""

from __future__ import annotations

from train.progress import Progress
from train.sections import ScheduleSection


def run(values: list[float], schedule: ScheduleSection) -> tuple[Progress, list[int], list[int]]:
    progress, best, reduced = Progress(), [], []
    for epoch, value in enumerate(values, start=1):
        if progress.phase:
            break
        progress, improved, reduce = progress.after_epoch({schedule.monitor: value}, schedule)
        best += [epoch] * improved
        reduced += [epoch] * reduce
    return progress, best, reduced


def test_plateau_reduces_after_patience_and_counts_again() -> None:
    schedule = ScheduleSection(epochs=20, schedule="plateau", plateau_patience=2)
    _, best, reduced = run([1.0, 0.9, 0.95, 0.92, 0.93, 0.94, 0.8], schedule)
    assert best == [1, 2, 7]
    assert reduced == [4, 6]


def test_early_stopping_ends_the_phase() -> None:
    schedule = ScheduleSection(epochs=20, patience=3, monitor="val_accuracy")
    progress, best, _ = run([0.5, 0.6, 0.6, 0.59, 0.58, 0.9], schedule)
    assert best == [1, 2]
    assert (progress.phase, progress.phase_epoch, progress.epoch) == (1, 0, 5)
    assert (progress.best, progress.best_epoch) == (0.6, 2)


def test_last_epoch_ends_the_phase() -> None:
    progress, _, reduced = run([3.0, 2.0], ScheduleSection(epochs=2, schedule="constant"))
    assert (progress.phase, progress.phase_epoch, progress.epoch) == (1, 0, 2)
    assert reduced == []


def test_training_figure_stands_in_without_validation() -> None:
    progress, improved, _ = Progress().after_epoch({"loss": 0.4}, ScheduleSection(epochs=3))
    assert improved
    assert progress.best == 0.4
