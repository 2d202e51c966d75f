"""`python -m train soup`: mix the weights of two runs that went on from one another.

Two rounds of one training end in one valley of the loss, and a point between them is often better than
either end (Wortsman et al. 2022, "Model soups", arXiv 2203.05482; Izmailov et al. 2018, arXiv 1803.05407).
It costs nothing on the device: the mixture is one network.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge_runtime.contract import ModelContract
from edge_runtime.errors import DataError, UsageError
from train.draft import HELD_OUT, Calibration, calibrate
from train.evaluate import by_votes, read_split
from train.files import write_json
from train.fit import write_model
from train.inference import MODEL_NAME, TrainedModel, predict_logits
from train.run import read_identity
from train.temperature import fit_temperature, log_softmax
from train.votes import read_votes

STEPS = 20
"""Shares are tried in steps of 1 / STEPS."""


@dataclass(frozen=True)
class Mixture:
    """One share of the second run, and how good the mixture is on the pictures held out."""

    share: float
    """0 is the first run, 1 the second."""
    loss: float
    """Cross-entropy at the temperature at which it is lowest for this mixture."""
    top1: float
    temperature: float
    """Of the contract: that at which confidence and accuracy agree."""
    by_ferplus_majority: float | None
    """Accuracy by the majority of FER+ votes, where they were given."""


def soup(
    first: TrainedModel, second: TrainedModel, data_path: Path, out: Path, votes_path: Path | None = None
) -> tuple[list[Mixture], Mixture]:
    """Try every share and write the mixture with the lowest cross-entropy on the pictures held out.

    Args:
        first, second: models that held out the same pictures, the second in its run's folder; the first
            may be a mixture itself.
        votes_path: FER+ votes for the rows of the data; accuracy by them is listed, not selected on.

    Returns:
        All mixtures by their share, and the chosen one.

    Raises:
        UsageError: the networks differ, or the recipe's network has no softmax.
        DataError: the runs were trained on different pictures, or not on this data.
    """
    ends = first.model.get_weights(), second.model.get_weights()
    if [value.shape for value in ends[0]] != [value.shape for value in ends[1]]:
        raise UsageError(f"{second.path.parent}: its layers are not those of {first.path.parent}")
    if first.contract.labels != second.contract.labels or first.contract.input != second.contract.input:
        raise UsageError(f"{second.path.parent}: its labels or input are not those of {first.path.parent}")
    if second.contract.task != "softmax":
        raise UsageError(f"{second.path.parent}: only networks with a softmax can be mixed")
    recipe, _, identity = read_identity(second.path.parent)
    if first.contract.producer.get("train_sha256") != identity["train_sha256"]:
        raise DataError(f"{second.path.parent}: held out other pictures than {first.path.parent}")
    data, rows, labels = read_split(second, data_path, "held-out")
    pictures = data.select(rows)
    votes = None if votes_path is None else read_votes(votes_path, data)[rows]
    names = second.contract.labels
    mixtures: list[Mixture] = []
    found: list[Calibration] = []
    mixed = second.model
    for step in tqdm(range(STEPS + 1), desc="mixtures", file=sys.stderr, leave=False, mininterval=1):
        share = step / STEPS
        mixed.set_weights(_mix(*ends, share))
        logits = predict_logits(mixed, pictures.images, second.contract.input)
        calibration = calibrate(
            logits, labels, recipe.contract.answered_accuracy, HELD_OUT, pictures.digest()
        )
        found.append(calibration)
        lowest = fit_temperature(logits, labels)
        chosen = log_softmax(logits / lowest)[np.arange(len(labels)), labels]
        majority = None
        if votes is not None:
            part = by_votes(votes, data.class_names, names, logits.argmax(axis=1))
            majority = part["by_ferplus_majority"]["top1"]
        mixtures.append(
            Mixture(
                share,
                round(float(-chosen.mean()), 4),
                round(float((logits.argmax(axis=1) == labels).mean()), 4),
                calibration.temperature,
                majority,
            )
        )
    best = min(range(len(mixtures)), key=lambda index: mixtures[index].loss)
    mixed.set_weights(_mix(*ends, mixtures[best].share))
    write_model(out / MODEL_NAME, mixed, _contract(first, second, mixtures[best].share, found[best]))
    write_json(
        out / "soup.json",
        {
            "runs": [first.path.parent.name, second.path.parent.name],
            "held_out": len(labels),
            "chosen_share": mixtures[best].share,
            "mixtures": [asdict(mixture) for mixture in mixtures],
        },
    )
    return mixtures, mixtures[best]


def table(mixtures: list[Mixture], best: Mixture) -> str:
    """The mixtures as text, the chosen one marked."""
    lines = [f"{'share':>6}{'loss':>9}{'top-1':>9}{'temperature':>13}{'FER+ majority':>15}"]
    for mixture in mixtures:
        majority = mixture.by_ferplus_majority
        lines.append(
            f"{mixture.share:>6.2f}{mixture.loss:>9.4f}{100 * mixture.top1:>7.2f} %"
            f"{mixture.temperature:>13.3f}"
            + (f"{100 * majority:>13.2f} %" if majority is not None else f"{'-':>15}")
            + ("  chosen" if mixture is best else "")
        )
    return "\n".join(lines)


def _mix(first: list[npt.NDArray], second: list[npt.NDArray], share: float) -> list[npt.NDArray]:
    return [(1 - share) * a + share * b for a, b in zip(first, second, strict=True)]


def _contract(
    first: TrainedModel, second: TrainedModel, share: float, calibration: Calibration
) -> ModelContract:
    producer: dict[str, Any] = {
        **second.contract.producer,
        "mixed_with": first.contract.producer.get("recipe", first.contract.name),
        "share": share,
    }
    return replace(
        second.contract,
        temperature=calibration.temperature,
        uncertain_below=calibration.uncertain_below,
        validation=calibration.validation,
        producer=producer,
    )
