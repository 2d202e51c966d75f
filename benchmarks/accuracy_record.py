"""Records of accuracy: a model file of this project, or somebody else's program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from benchmarks.host import HostInfo

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class DataInfo:
    """What was evaluated on."""

    digest: str
    """SHA-256 over pixels, labels and class names of the rows used."""
    split: str
    unlabelled: int
    """Rows of the split that had no label."""


@dataclass(frozen=True)
class Subset:
    """Accuracy on some of the rows."""

    n: int
    top1: float
    top1_interval: tuple[float, ...]


@dataclass(frozen=True)
class ClassFigures:
    """One class; null where a figure is undefined."""

    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy in bins of equal width over 0..1."""

    count: tuple[int, ...]
    confidence: tuple[float | None, ...]
    accuracy: tuple[float | None, ...]


@dataclass(frozen=True)
class RiskCoverage:
    """Error among the answers that remain when the least confident ones are withheld."""

    area: float
    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    threshold: tuple[float, ...]


@dataclass(frozen=True)
class Paired:
    """This model against another on the same rows."""

    against: str
    against_sha256: str
    difference: float
    """top1 of this model minus top1 of the other."""
    difference_interval: tuple[float, ...]
    only_this_correct: int
    only_other_correct: int
    mcnemar_p_exact: float
    mcnemar_p_mid: float


@dataclass(frozen=True)
class AccuracyRecord:
    """All figures of one model on one set of rows; fractions 0..1."""

    KIND: ClassVar[str] = "accuracy"

    model: str
    model_file: str
    model_sha256: str
    model_bytes: int
    backend: str
    data: DataInfo
    n: int
    top1: float
    top1_interval: tuple[float, ...]
    balanced_accuracy: float
    macro_f1: float
    ece: float
    ece_bins: int
    reliability: Reliability
    risk_coverage: RiskCoverage
    classes: dict[str, ClassFigures]
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Row = true class, column = predicted class."""
    leak_free: Subset | None
    """Rows whose pixels occur in no Training row."""
    ferplus: Subset | None
    """Rows with a FER+ majority, against that majority."""
    paired: tuple[Paired, ...]
    host: HostInfo

    void: ClassVar[tuple[str, ...]] = ()

    @property
    def key(self) -> tuple[str, ...]:
        return (self.model, self.data.split)

    def problem(self) -> str | None:
        """The first thing that contradicts itself, or None."""
        size = len(self.labels)
        if len(self.confusion) != size or any(len(row) != size for row in self.confusion):
            return f"confusion must be {size} x {size}"
        total = sum(map(sum, self.confusion))
        correct = sum(row[index] for index, row in enumerate(self.confusion))
        if total != self.n or not total or abs(correct / total - self.top1) > _TOLERANCE:
            return "n and top1 do not follow from the confusion matrix"
        return None

    def derived(self, intervals: bool = True) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class PeerRecord:
    """Another program on the same pictures, in its own environment."""

    KIND: ClassVar[str] = "peer"

    started: str
    peer: str
    """Name and version."""
    task: str
    """What was timed and judged, in words."""
    data: DataInfo
    n: int
    top1: float | None
    """Null where the program gives no expression."""
    top1_interval: tuple[float, ...] | None
    answered: int
    """Pictures for which it gave an answer."""
    cpu_ms_per_image: float
    import_cpu_s: float
    """CPU time until the program was ready."""
    rss_peak_bytes: int | None
    installed_bytes: int | None
    """Size of its environment."""
    host: HostInfo

    void: ClassVar[tuple[str, ...]] = ()

    @property
    def key(self) -> tuple[str, ...]:
        return (self.peer, self.task)

    def problem(self) -> str | None:
        if not 0 <= self.answered <= self.n or self.n < 1:
            return "answered must lie in 0..n"
        return None

    def derived(self, intervals: bool = True) -> dict[str, Any]:
        return {}
