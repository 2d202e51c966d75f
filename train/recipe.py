"""A recipe: one published experiment as one TOML file.

A recipe names an architecture with its parameters, what to leave out of the data, the augmentation and
the schedule. One loop (`train.fit`) runs them all.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from edge_runtime.errors import UsageError

RECIPES_DIR = Path(__file__).parent / "recipes"

Section = TypeVar("Section")


@dataclass(frozen=True)
class ModelSection:
    architecture: str
    """Name of a module in `train/models`."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of its `build`."""


@dataclass(frozen=True)
class DataSection:
    split: str = "Training"
    """Split that is trained on; '' takes everything."""
    validation: float = 0.05
    """Fraction held out per class, identical pictures kept together; 0 trains on everything."""
    validation_split: str = ""
    """Split of the data to validate on instead of holding a fraction out."""
    drop_blank: bool = True
    """Leave out pictures that have one value in every pixel."""
    drop_conflicting: bool = True
    """Leave out identical pictures whose labels differ."""


@dataclass(frozen=True)
class AugmentSection:
    flip: bool = False
    """Mirror half of the pictures."""
    rotation_deg: float = 0.0
    """Largest rotation to either side."""
    shift: float = 0.0
    """Largest move along each axis, fraction of the size."""
    scale: float = 0.0
    """Largest change of size to either side, fraction."""
    brightness: float = 0.0
    """Largest change of brightness to either side, fraction of 255."""
    contrast: float = 0.0
    """Largest change of contrast to either side, fraction."""
    erase: float = 0.0
    """Probability of covering a random rectangle (Zhong et al. 2017, arXiv 1708.04896)."""
    mixup: float = 0.0
    """Parameter alpha of mixup's beta distribution (Zhang et al. 2017, arXiv 1710.09412); 0 is off."""


@dataclass(frozen=True)
class ScheduleSection:
    epochs: int
    batch_size: int = 128
    optimizer: str = "sgd"
    """`sgd` (Nesterov momentum), `adam` or `adamw`."""
    learning_rate: float = 0.1
    """Peak learning rate."""
    momentum: float = 0.9
    weight_decay: float = 0.0
    """Decoupled (Loshchilov & Hutter 2017, arXiv 1711.05101), on kernels alone."""
    warmup_epochs: float = 0.0
    schedule: str = "cosine"
    """`cosine` (to zero, Loshchilov & Hutter 2016, arXiv 1608.03983) or `constant`."""
    label_smoothing: float = 0.0


@dataclass(frozen=True)
class ContractSection:
    crop_margin: float = 0.0
    """See `edge_runtime.contract.CropSpec`."""
    crop_offset_y: float = 0.0
    answered_accuracy: float = 0.75
    """The threshold of `uncertain` is the lowest at which the answered validation pictures reach this
    accuracy."""


@dataclass(frozen=True)
class Recipe:
    name: str
    description: str
    model: ModelSection
    train: ScheduleSection
    data: DataSection = field(default_factory=DataSection)
    augment: AugmentSection = field(default_factory=AugmentSection)
    contract: ContractSection = field(default_factory=ContractSection)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def recipe_names() -> list[str]:
    return sorted(path.stem for path in RECIPES_DIR.glob("*.toml"))


def load_recipe(name_or_path: str) -> Recipe:
    """Load a recipe by the name of a file in `train/recipes`, or by path.

    Raises:
        UsageError: no such recipe, not TOML, an unknown or missing key or a wrong type; the message
            names the nearest known one.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = RECIPES_DIR / f"{name_or_path}.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"no recipe {name_or_path!r}; give a .toml file or one of {', '.join(recipe_names())}"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: not a readable TOML file ({error})") from None
    return _parse(path, document)


def _parse(path: Path, document: dict[str, Any]) -> Recipe:
    sections: dict[str, type] = {
        "model": ModelSection,
        "data": DataSection,
        "augment": AugmentSection,
        "train": ScheduleSection,
        "contract": ContractSection,
    }
    values: dict[str, Any] = {"name": path.stem, **document}
    for key, section in sections.items():
        if key in values:
            values[key] = _build(path, f"[{key}] ", section, values[key])
    return _build(path, "", Recipe, values)


def _build(path: Path, where: str, section: type[Section], values: Any) -> Section:
    if not isinstance(values, dict):
        raise UsageError(f"{path}: {where.strip()} must be a table")
    known = [item.name for item in fields(section)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            raise UsageError(f"{path}: {where}unknown key {key!r}; {hint}")
    for item in fields(section):  # type: ignore[arg-type]
        value = values.get(item.name)
        expected: Any = {"int": int, "float": (int, float), "str": str, "bool": bool}.get(str(item.type))
        wrong_bool = isinstance(value, bool) and item.type != "bool"
        if value is not None and expected and (wrong_bool or not isinstance(value, expected)):
            raise UsageError(f"{path}: {where}{item.name} must be {item.type}. Received: {value!r}")
    try:
        return section(**values)
    except TypeError as error:
        raise UsageError(f"{path}: {where}{str(error).partition(') ')[2] or error}") from None
