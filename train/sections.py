"""The sections of a recipe: every setting with its unit and default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ModelSection:
    architecture: str
    """Name of a module in `train/models`."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of its `build`."""
    task: str = "softmax"
    """`softmax`, or `sigmoid`: one unit for two classes, of which the second is positive."""


@dataclass(frozen=True)
class DataSection:
    split: str = "Training"
    """Split that is trained on; '' takes everything, and so does data that has no splits."""
    validation: float = 0.05
    """Fraction held out per class, identical pictures kept together; 0 trains on everything."""
    validation_split: str = ""
    """Split of the data to validate on instead of holding a fraction out."""
    drop_blank: bool = True
    """Leave out pictures that have one value in every pixel."""
    drop_conflicting: bool = True
    """Leave out identical pictures whose labels differ."""
    test: float = 0.0
    """Fraction held out per class before all else, for `evaluate --split held-out-test`."""
    classes: tuple[str, ...] = ()
    """The classes to train on, in the order of the outputs; empty takes those of the data."""
    size: int = 0
    """Height and width of the model's input, pixels; 0 takes that of the data."""
    color: str = ""
    """`luma` or `rgb`; '' takes that of the data."""
    balance: str = ""
    """`upsample` repeats pictures of rarer classes until all classes are as frequent."""
    unreadable: str = "stop"
    """`stop` at the first file of class folders that is no picture, or `leave-out` and list them."""
    votes: float = 0.0
    """Share of FER+ votes (Barsoum et al. 2016, arXiv 1608.01041) in the targets, 0..1; see `--votes`."""


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
    """`cosine` (to zero, Loshchilov & Hutter 2016, arXiv 1608.03983), `constant`, or `plateau`: multiply
    by `plateau_factor` after `plateau_patience` epochs without improvement."""
    label_smoothing: float = 0.0
    plateau_factor: float = 0.5
    plateau_patience: int = 3
    minimum_learning_rate: float = 1e-6
    monitor: str = "val_loss"
    """What counts as improvement: `val_loss`, `val_accuracy`, `loss` or `accuracy`."""
    patience: int = 0
    """End a phase after so many epochs without improvement; 0 never does."""
    restore_best: bool = False
    """Keep the weights of the best epoch instead of the last."""
    class_weights: bool = False
    """Weigh classes by the inverse of their frequency."""
    ema: float = 0.0
    """Decay per batch of an exponential moving average of all weights, which is validated and kept in
    their place (Polyak & Juditsky 1992); 0 is off."""
    train_layers: tuple[str, ...] = ()
    """Patterns (`block5_*`) of the layers that learn; empty lets all learn."""
    picture_px: int = 0
    """Height and width that the pictures are shrunk to before they are trained on; 0 leaves them at the
    model's input. Early epochs on smaller pictures cost less (Howard 2018, progressive resizing); only for
    architectures that end in global pooling."""


@dataclass(frozen=True)
class PhaseSection:
    """A further phase of training: starts from the weights so far, with a new optimizer."""

    epochs: int
    learning_rate: float
    schedule: str = ""
    """As in [train], whose value '' takes over."""
    train_layers: tuple[str, ...] = ()
    """Patterns of the layers that learn; empty lets all learn."""
    picture_px: int = 0
    """As in [train]; 0 is the model's input, whatever [train] says."""


@dataclass(frozen=True)
class ContractSection:
    crop_margin: float = 0.0
    """See `edge_runtime.contract.CropSpec`."""
    crop_offset_y: float = 0.0
    answered_accuracy: float = 0.75
    """The threshold of `uncertain` is the lowest at which the answered validation pictures reach this
    accuracy."""
