"""The folder of a run: checkpoint, state and history, from which it is resumed."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edge_runtime.errors import DataError, EdgeFerError
from train.files import write_atomically, write_json
from train.history import HISTORY_NAME, write_history
from train.inference import MODEL_NAME
from train.progress import Progress
from train.recipe import Recipe, recipe_from_dict

STATE_NAME = "state.json"


@dataclass(frozen=True)
class Identity:
    """What a run's weights depend on; it is resumed only with the same."""

    recipe: Recipe
    seed: int
    train_sha256: str
    """Digest of the pictures and labels trained on."""
    extra: dict[str, Any]
    """Whatever else decides about the weights, e.g. the digest of a teacher's targets."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe.identity(),
            "seed": self.seed,
            "train_sha256": self.train_sha256,
            "keras_backend": keras.backend.backend(),
            **self.extra,
        }


@dataclass(frozen=True)
class Checkpoint:
    """The last whole epoch of a run."""

    model: Path
    progress: Progress
    history: list[dict[str, float]]
    average: Path | None
    """Moving average of the weights, where the recipe keeps one."""


class RunFolder:
    """Reads and writes one run; every file appears whole or not at all."""

    def __init__(self, path: Path, identity: Identity) -> None:
        self.path = path
        self._recipe = identity.recipe
        self._identity = identity.to_dict()

    @property
    def model(self) -> Path:
        return self.path / MODEL_NAME

    @property
    def best_weights(self) -> Path:
        return self.path / "best.npz"

    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint to go on from, or None for a new run.

        Raises:
            DataError: the folder holds another run or is damaged.
        """
        if self.path.exists() and not self.path.is_dir():
            raise DataError(f"{self.path}: is a file; give --out a folder")
        state_path = self.path / STATE_NAME
        if not state_path.exists():
            return None
        try:
            state = json.loads(state_path.read_text(encoding="utf-8"))
            stored = _with_defaults(state["identity"])
            if stored == self._identity:
                progress = Progress(
                    **{"epoch": state["epoch"], "phase_epoch": state["epoch"], **state.get("progress", {})}
                )
            else:
                progress = self._with_other_epochs(stored, state["history"])
            model = self.path / state["checkpoint"]
            if not model.exists():
                raise ValueError(f"{model.name} is missing")
            average = model.with_suffix(".average.npz")
            return Checkpoint(model, progress, state["history"], average if average.exists() else None)
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise self.damaged(error) from None

    def _with_other_epochs(self, stored: dict[str, Any], history: list[dict[str, float]]) -> Progress:
        """Where a run stands that was begun with another number of epochs, its only difference.

        Raises:
            DataError: it differs in more, or its learning rate follows from the number of epochs.
        """
        schedule = self._recipe.train
        epochs = stored["recipe"]["train"]["epochs"]
        stored["recipe"]["train"]["epochs"] = schedule.epochs
        if stored != self._identity:
            raise DataError(
                f"{self.path}: holds a run of another recipe, seed, backend or data; give another "
                "--out or delete the folder"
            )
        if schedule.schedule == "cosine" or self._recipe.phases:
            raise DataError(
                f"{self.path}: the learning rate of this run was planned for {epochs} epochs, it cannot go "
                f"on with {schedule.epochs}; give another --out or delete the folder"
            )
        if len(history) > schedule.epochs:
            raise DataError(
                f"{self.path}: has {len(history)} epochs already; give --epochs {len(history)} or more"
            )
        progress = Progress()
        for row in history:
            progress, _, _ = progress.after_epoch(row, schedule)
        return progress

    def damaged(self, error: Exception) -> EdgeFerError:
        reason = " ".join(str(error).split())[:200]
        return DataError(
            f"{self.path}: its checkpoint cannot be read ({reason}); delete the folder to start again"
        )

    def save(
        self, model: keras.Model, progress: Progress, history: list[dict[str, float]], average: Any = None
    ) -> None:
        """Write the checkpoint of an epoch, then the state that points to it, then drop the last one.

        Args:
            average: object with `save(path)`, or None.
        """
        checkpoint = self.path / f"checkpoint-{progress.epoch:04d}.keras"
        write_atomically(checkpoint, model.save)
        if average is not None:
            write_atomically(checkpoint.with_suffix(".average.npz"), average.save)
        state = {
            "epoch": progress.epoch,
            "checkpoint": checkpoint.name,
            "identity": self._identity,
            "contract": asdict(self._recipe.contract),
            "history": history,
            "progress": asdict(progress),
        }
        write_json(self.path / STATE_NAME, state)
        write_history(self.path, history)
        for old in self.path.glob("checkpoint-*"):
            if not old.name.startswith(checkpoint.stem):
                old.unlink()

    def save_best(self, model: keras.Model) -> None:
        """Keep the weights of the best epoch so far; not as Keras' weights file, which has the
        optimizer of its phase in it."""
        weights: dict[str, Any] = {f"w{i}": value for i, value in enumerate(model.get_weights())}
        write_atomically(self.best_weights, lambda path: np.savez(path, **weights))

    def load_best(self, model: keras.Model) -> None:
        """Put the weights of the best epoch into the model.

        Raises:
            DataError: there are none, or they are damaged.
        """
        try:
            with np.load(self.best_weights, allow_pickle=False) as archive:
                model.set_weights([archive[f"w{i}"] for i in range(len(archive.files))])
        except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
            raise self.damaged(error) from None


def read_identity(run: Path) -> tuple[Recipe, int, dict[str, Any]]:
    """Recipe, seed and the whole identity of a run folder.

    Raises:
        DataError: no run, or a damaged one.
    """
    path = run / STATE_NAME
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        identity = state["identity"]
        named = {"name": run.name, "description": "", "contract": state.get("contract", {})}
        recipe = recipe_from_dict({**named, **identity["recipe"]}, str(path))
        return recipe, int(identity["seed"]), identity
    except FileNotFoundError:
        raise DataError(f"{run}: not a run folder (no {STATE_NAME}); give the --out of a fit") from None
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None


def read_history(run: Path) -> list[dict[str, float]]:
    """Figures per epoch of a run folder.

    Raises:
        DataError: no history there.
    """
    try:
        rows: list[dict[str, float]] = json.loads((run / HISTORY_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{run}: no readable {HISTORY_NAME} ({error}); give a run folder") from None
    return rows


def _with_defaults(identity: dict[str, Any]) -> dict[str, Any]:
    """Fill in settings that did not exist when the run was started; their defaults change nothing."""
    recipe = recipe_from_dict({"name": "", "description": "", **identity["recipe"]}, "state")
    return {**identity, "recipe": recipe.identity()}
