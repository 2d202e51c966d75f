"""A recipe: one published experiment as one TOML file.

A recipe names an architecture with its parameters, what to leave out of the data, the augmentation and
the schedule. One loop (`train.fit`) runs them all.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from edge_runtime.errors import UsageError
from train.sections import (
    AugmentSection,
    ContractSection,
    DataSection,
    ModelSection,
    PhaseSection,
    ScheduleSection,
)

RECIPES_DIR = Path(__file__).parent / "recipes"

WEIGHT_SECTIONS = ("model", "data", "augment", "train", "phases")
"""Sections that the weights depend on; a run is resumed only with the same ones."""

_SECTIONS: dict[str, type] = {
    "model": ModelSection,
    "data": DataSection,
    "augment": AugmentSection,
    "train": ScheduleSection,
    "contract": ContractSection,
}
_LISTS: dict[str, tuple[Any, str]] = {
    "tuple[str, ...]": (str, "strings"),
    "tuple[int, ...]": (int, "whole numbers"),
    "tuple[float, ...]": ((int, float), "numbers"),
}
_CHOICES: dict[tuple[type, str], tuple[str, ...]] = {
    (ModelSection, "task"): ("softmax", "sigmoid"),
    (DataSection, "color"): ("", "luma", "rgb"),
    (DataSection, "balance"): ("", "upsample"),
    (DataSection, "unreadable"): ("stop", "leave-out"),
    (ScheduleSection, "optimizer"): ("sgd", "adam", "adamw"),
    (ScheduleSection, "schedule"): ("cosine", "constant", "plateau"),
    (ScheduleSection, "monitor"): ("val_loss", "val_accuracy", "loss", "accuracy"),
    (PhaseSection, "schedule"): ("", "cosine", "constant", "plateau"),
}

Section = TypeVar("Section")


@dataclass(frozen=True)
class Recipe:
    name: str
    description: str
    model: ModelSection
    train: ScheduleSection
    """The first phase, and what all phases share."""
    data: DataSection = field(default_factory=DataSection)
    augment: AugmentSection = field(default_factory=AugmentSection)
    phases: tuple[PhaseSection, ...] = ()
    """Further phases, in order."""
    contract: ContractSection = field(default_factory=ContractSection)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def identity(self) -> dict[str, Any]:
        """What the weights depend on, as JSON knows it."""
        chosen = {key: value for key, value in self.to_dict().items() if key in WEIGHT_SECTIONS}
        document: dict[str, Any] = json.loads(json.dumps(chosen))
        return document

    def schedules(self) -> tuple[ScheduleSection, ...]:
        """All phases, each with every setting."""
        later = (
            replace(
                self.train,
                epochs=phase.epochs,
                learning_rate=phase.learning_rate,
                schedule=phase.schedule or self.train.schedule,
                train_layers=phase.train_layers,
                picture_px=phase.picture_px,
                warmup_epochs=0.0,
            )
            for phase in self.phases
        )
        return (self.train, *later)

    def resizes(self) -> bool:
        """Whether a phase trains on pictures of another size than the model's input."""
        return any(schedule.picture_px for schedule in self.schedules())

    def with_parameters(self, **parameters: Any) -> Recipe:
        """The recipe with other parameters of its architecture."""
        merged = {**self.model.parameters, **parameters}
        return replace(self, model=replace(self.model, parameters=merged))


def recipe_names() -> list[str]:
    return sorted(path.stem for path in RECIPES_DIR.glob("*.toml"))


def load_recipe(name_or_path: str) -> Recipe:
    """Load a recipe by the name of a file in `train/recipes`, or by path.

    Raises:
        UsageError: no such recipe, not TOML, an unknown or missing key or a wrong type; the message
            names the nearest known one.
    """
    path, document = read_recipe(name_or_path)
    if document.get("task") == "detect":
        raise UsageError(f"{path}: a recipe of a detector; a classifier's is needed here")
    return recipe_from_dict(document, str(path))


def read_recipe(name_or_path: str) -> tuple[Path, dict[str, Any]]:
    """Find and parse a recipe's file; its name is that of the file unless it says otherwise.

    Raises:
        UsageError: no such recipe, or not TOML.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = RECIPES_DIR / f"{name_or_path}.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = difflib.get_close_matches(name_or_path, recipe_names(), 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(
            f"no recipe {name_or_path!r}; {hint}give a .toml file or one of {', '.join(recipe_names())}"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: not a readable TOML file ({error})") from None
    return path, {"name": path.stem, **document}


def recipe_from_dict(document: Mapping[str, Any], source: str) -> Recipe:
    """A recipe from its plain form; absent keys take their defaults.

    Raises:
        UsageError: as `load_recipe`.
    """
    values = dict(document)
    for key, section in _SECTIONS.items():
        if key in values:
            values[key] = build_section(source, f"[{key}] ", section, values[key])
    if "phases" in values:
        if not isinstance(values["phases"], list):
            raise UsageError(f"{source}: phases must be tables: [[phases]]")
        values["phases"] = tuple(
            build_section(source, "[[phases]] ", PhaseSection, phase) for phase in values["phases"]
        )
    recipe = build_section(source, "", Recipe, values)
    if recipe.model.task == "sigmoid" and len(recipe.data.classes) != 2:
        raise UsageError(f"{source}: task 'sigmoid' needs two [data] classes")
    epochs = [schedule.epochs for schedule in recipe.schedules()]
    # A single phase may have none: the run is what --start gives.
    if recipe.train.batch_size < 1 or (min(epochs) < 1 and epochs != [0]):
        raise UsageError(f"{source}: epochs and batch_size must be at least 1")
    return recipe


def build_section(source: str, where: str, section: type[Section], values: Any) -> Section:
    """One table of a recipe as its dataclass.

    Args:
        source: path of the recipe, for messages.
        where: `[name] `, for messages.

    Raises:
        UsageError: an unknown or missing key or a wrong type.
    """
    if not isinstance(values, dict):
        raise UsageError(f"{source}: {where.strip()} must be a table")
    known = [item.name for item in fields(section)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            raise UsageError(f"{source}: {where}unknown key {key!r}; {hint}")
    checked = dict(values)
    for item in fields(section):  # type: ignore[arg-type]
        if item.name in values:
            name = f"{source}: {where}{item.name}"
            checked[item.name] = _checked(name, str(item.type), values[item.name])
            choices = _CHOICES.get((section, item.name))
            if choices and checked[item.name] not in choices:
                offered = ", ".join(choice or "''" for choice in choices)
                raise UsageError(f"{name} must be one of {offered}. Received: {values[item.name]!r}")
    try:
        return section(**checked)
    except TypeError as error:
        raise UsageError(f"{source}: {where}{str(error).partition(') ')[2] or error}") from None


def _checked(name: str, kind: str, value: Any) -> Any:
    if kind in _LISTS:
        element, words = _LISTS[kind]
        if not isinstance(value, list) or not all(
            isinstance(item, element) and not isinstance(item, bool) for item in value
        ):
            raise UsageError(f"{name} must be a list of {words}. Received: {value!r}")
        return tuple(value)
    expected: Any = {"int": int, "float": (int, float), "str": str, "bool": bool}.get(kind)
    wrong_bool = isinstance(value, bool) and kind != "bool"
    if expected and (wrong_bool or not isinstance(value, expected)):
        raise UsageError(f"{name} must be {kind}. Received: {value!r}")
    return value
