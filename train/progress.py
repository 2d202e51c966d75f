"""What must survive an interruption besides the weights: where training stands and what it waits for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from train.sections import ScheduleSection


@dataclass(frozen=True)
class Progress:
    """State of plateau schedule, early stopping and best-epoch keeping; the next thing to do."""

    epoch: int = 0
    """Whole epochs done, over all phases."""
    phase: int = 0
    """Phase to go on with."""
    phase_epoch: int = 0
    """Whole epochs done of that phase."""
    best: float | None = None
    """Best value of the monitored figure; 'better' is greater for an accuracy, less for a loss."""
    best_epoch: int = 0
    waited: int = 0
    """Epochs without improvement, for early stopping."""
    plateau: int = 0
    """Epochs without improvement since the learning rate was last reduced."""

    def after_epoch(
        self, row: Mapping[str, float], schedule: ScheduleSection
    ) -> tuple[Progress, bool, bool]:
        """Take one epoch's figures in.

        Args:
            row: figures of the epoch, among them the monitored one.

        Returns:
            (progress, whether this epoch is the best so far, whether to reduce the learning rate).
        """
        value = row[monitored(schedule, row)]
        improved = self.best is None or (
            value > self.best if schedule.monitor.endswith("accuracy") else value < self.best
        )
        plateau = 0 if improved else self.plateau + 1
        reduce = schedule.schedule == "plateau" and plateau >= schedule.plateau_patience
        following = replace(
            self,
            epoch=self.epoch + 1,
            phase_epoch=self.phase_epoch + 1,
            best=value if improved else self.best,
            best_epoch=self.epoch + 1 if improved else self.best_epoch,
            waited=0 if improved else self.waited + 1,
            plateau=0 if reduce else plateau,
        )
        stop = bool(schedule.patience) and following.waited >= schedule.patience
        if stop or following.phase_epoch >= schedule.epochs:
            following = replace(following, phase=self.phase + 1, phase_epoch=0, waited=0, plateau=0)
        return following, improved, reduce


def monitored(schedule: ScheduleSection, row: Mapping[str, float]) -> str:
    """The monitored figure, or that of training where nothing is held out."""
    return schedule.monitor if schedule.monitor in row else schedule.monitor.removeprefix("val_")
