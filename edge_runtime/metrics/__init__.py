"""Statistics on numpy alone, shared by training, conversion and benchmarks; never on the frame path."""

from edge_runtime.metrics.calibration import (
    ReliabilityCurve,
    RiskCoverageCurve,
    expected_calibration_error,
    reliability_curve,
    risk_coverage_curve,
)
from edge_runtime.metrics.classification import (
    ClassificationScores,
    confusion_matrix,
    scores_from_confusion,
)
from edge_runtime.metrics.detection import (
    Matches,
    average_precision,
    iou_matrix,
    match_detections,
    precision_recall_curve,
    recall_at_false_positives,
)
from edge_runtime.metrics.intervals import Interval, bootstrap, wilson
from edge_runtime.metrics.paired import PairedComparison, compare_paired, mcnemar

__all__ = [
    "ClassificationScores",
    "Interval",
    "Matches",
    "PairedComparison",
    "ReliabilityCurve",
    "RiskCoverageCurve",
    "average_precision",
    "bootstrap",
    "compare_paired",
    "confusion_matrix",
    "expected_calibration_error",
    "iou_matrix",
    "match_detections",
    "mcnemar",
    "precision_recall_curve",
    "recall_at_false_positives",
    "reliability_curve",
    "risk_coverage_curve",
    "scores_from_confusion",
    "wilson",
]
