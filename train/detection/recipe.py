"""A recipe of task `detect`: what `train.recipe` is to classifiers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edge_runtime.boxmap import BoxMap
from edge_runtime.detectors.decoding import SecondLook
from edge_runtime.errors import UsageError
from train.recipe import build_section
from train.sections import ModelSection

TASK = "detect"


@dataclass(frozen=True)
class BoxDataSection:
    split: str = "Training"
    validation_split: str = "validation"
    height: int = 120
    """Rows of the network's input, pixels."""
    width: int = 160
    leave_out: tuple[str, ...] = ()
    """Beginnings of names of pictures that are neither trained on nor validated on."""
    mislabelled: tuple[str, ...] = ()
    """Beginnings of names of Training pictures that show faces without boxes."""
    held_out_every: int = 0
    """One Training picture in so many, by a hash of its name, is not trained on, so that versions of a
    detector can be compared without the validation pictures; 0 trains on all."""
    alarm_prefix: str = ""
    """Beginning of names of pictures without people: never trained on, they count false alarms."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Share of scenes by the beginning of the picture's name; empty draws all pictures alike."""
    box_maps: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By beginning of a name, the map (`dx`, `dy`, `scale_w`, `scale_h`) of its boxes to the convention
    that is trained on."""


@dataclass(frozen=True)
class SceneSection:
    scenes: int = 4096
    """Pictures composed per epoch."""
    single: float = 0.5
    """Relative frequency of scenes around one face, whose size is drawn evenly in its logarithm."""
    mosaic: float = 0.3
    """Of 2x2 or 3x3 pictures (Bochkovskiy et al. 2020, arXiv 2004.10934): many small faces."""
    whole: float = 0.1
    """Of pictures framed as the device frames them."""
    background: float = 0.1
    """Of parts of pictures without a face."""
    clutter: float = 0.0
    """Share of the parts without a face into which furniture is drawn (`train.detection.clutter`)."""
    varied: float = 0.0
    """Share of the parts without a face that are turned by quarters, mixed or inverted: few pictures show
    no face, and a detector soon knows them."""
    face_height: tuple[float, ...] = (0.06, 0.9)
    """Smallest and largest face in scenes around one, fraction of the input's height."""
    rotation_deg: float = 30.0
    """Largest rotation to either side."""
    stretch: float = 0.2
    """Largest change of the aspect, in its logarithm."""
    brightness: float = 0.2
    """Largest change to either side, fraction of 255."""
    contrast: float = 0.4
    """Largest change to either side, fraction; also that of gamma, in its logarithm."""
    blur: float = 0.25
    """Probability, as the following."""
    noise: float = 0.3
    jpeg: float = 0.3


@dataclass(frozen=True)
class DetectionScheduleSection:
    epochs: int
    batch_size: int = 32
    learning_rate: float = 2e-3
    """Constant after the warm-up, until the cool-down takes it to zero."""
    weight_decay: float = 1e-4
    """Decoupled (AdamW, Loshchilov & Hutter 2017, arXiv 1711.05101), on kernels alone."""
    warmup_epochs: float = 1.0
    cooldown_epochs: int = 0
    """Last epochs, in which the learning rate falls to zero as 1 - sqrt(progress) (Hägele et al. 2024,
    arXiv 2405.18392). Until they begin, a run can be resumed with another number of epochs: nothing
    before them depends on it."""
    box_weight: float = 1.5
    """Weight of the boxes' loss beside that of the scores."""
    validate_every: int = 1
    """Epochs from one look at the validation pictures to the next; the last epoch has one."""


@dataclass(frozen=True)
class DetectionContractSection:
    alarms_per_picture: float = 0.01
    """The score threshold is the lowest at which Training pictures of `alarm_prefix` stay within this
    rate of false alarms."""
    frame: tuple[int, ...] = ()
    """Rows and columns of the camera's frames that `train calibrate` lays pictures into, enlarged as a
    detector at work would see them; empty: pictures as they are."""
    score_threshold: float = 0.5
    """Where there are no such pictures."""
    nms_iou: float = 0.4
    fill: int = 0
    """See `edge_runtime.detectors.decoding.Decoding`."""
    second_look: Mapping[str, float] | None = None
    """Settings of `edge_runtime.detectors.decoding.SecondLook`, {} for its defaults; absent: one look."""
    box_map: Mapping[str, float] = field(default_factory=dict)
    """From the convention that is trained on to that of `edge_runtime.preprocess.Box`."""


@dataclass(frozen=True)
class DetectionRecipe:
    name: str
    task: str
    description: str
    model: ModelSection
    train: DetectionScheduleSection
    data: BoxDataSection = field(default_factory=BoxDataSection)
    scenes: SceneSection = field(default_factory=SceneSection)
    contract: DetectionContractSection = field(default_factory=DetectionContractSection)

    def identity(self) -> dict[str, Any]:
        """What the weights depend on beside the number of epochs, as JSON knows it."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        for key in ("name", "description", "contract"):
            del document[key]
        del document["train"]["epochs"], document["train"]["validate_every"]
        return document


_SECTIONS: dict[str, type] = {
    "model": ModelSection,
    "data": BoxDataSection,
    "scenes": SceneSection,
    "train": DetectionScheduleSection,
    "contract": DetectionContractSection,
}


def detection_recipe(document: Mapping[str, Any], source: str) -> DetectionRecipe:
    """A recipe from its plain form; absent keys take their defaults.

    Args:
        source: path of the recipe, for messages.

    Raises:
        UsageError: an unknown or missing key, a wrong type, or a box map that is none.
    """
    values = dict(document)
    for key, section in _SECTIONS.items():
        if key in values:
            values[key] = build_section(source, f"[{key}] ", section, values[key])
    recipe = build_section(source, "", DetectionRecipe, values)
    sizes = recipe.scenes.face_height
    if len(sizes) != 2 or not 0 < sizes[0] < sizes[1] <= 2:
        raise UsageError(f"{source}: [scenes] face_height must be [smallest, largest]. Received: {sizes!r}")
    if recipe.data.held_out_every < 0 or recipe.data.held_out_every == 1:
        raise UsageError(
            f"{source}: [data] held_out_every must be 0 or at least 2. "
            f"Received: {recipe.data.held_out_every}"
        )
    schedule = recipe.train
    if not 0 <= schedule.cooldown_epochs <= schedule.epochs:
        raise UsageError(f"{source}: [train] cooldown_epochs must be 0..epochs")
    if recipe.train.validate_every < 1 or recipe.train.epochs < 1 or recipe.train.batch_size < 1:
        raise UsageError(f"{source}: [train] epochs, batch_size and validate_every must be at least 1")
    frame = recipe.contract.frame
    if frame and (len(frame) != 2 or min(frame) < 1):
        raise UsageError(f"{source}: [contract] frame must be [rows, columns]. Received: {frame!r}")
    box_maps(recipe.data, source)
    box_map(recipe.contract.box_map, source)
    second_look(recipe.contract.second_look, source)
    return recipe


def box_maps(section: BoxDataSection, source: str = "recipe") -> dict[str, BoxMap]:
    """Maps of a data section by beginning of a name."""
    return {prefix: box_map(values, source) for prefix, values in section.box_maps.items()}


def box_map(values: Mapping[str, float], source: str = "recipe") -> BoxMap:
    """
    Raises:
        UsageError: an unknown key or a value out of range.
    """
    try:
        return BoxMap(**values)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{source}: a box map needs dx, dy, scale_w, scale_h ({error})") from None


def second_look(values: Mapping[str, Any] | None, source: str = "recipe") -> SecondLook | None:
    """
    Raises:
        UsageError: an unknown key or a value out of range.
    """
    if values is None:
        return None
    try:
        spec = SecondLook(**values)
        problem = spec.first_problem()
    except TypeError as error:
        problem = str(error)
    if problem:
        raise UsageError(f"{source}: [contract] second_look: {problem}")
    return spec
