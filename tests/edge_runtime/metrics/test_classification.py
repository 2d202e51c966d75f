import numpy as np
import pytest

from edge_runtime.metrics import confusion_matrix, scores_from_confusion


def test_confusion_matrix_has_truth_in_rows() -> None:
    matrix = confusion_matrix([0, 0, 1, 2, 2, 2], [0, 1, 1, 2, 0, 2], 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 2]]


def test_scores_computed_by_hand() -> None:
    scores = scores_from_confusion([[1, 1, 0], [0, 1, 0], [1, 0, 2]])
    assert scores.n == 6
    assert scores.correct == 4
    assert scores.top1 == pytest.approx(4 / 6)
    assert scores.precision == pytest.approx([1 / 2, 1 / 2, 1])
    assert scores.recall == pytest.approx([1 / 2, 1, 2 / 3])
    assert scores.f1 == pytest.approx([1 / 2, 2 / 3, 4 / 5])
    assert scores.support.tolist() == [2, 1, 3]
    assert scores.balanced_accuracy == pytest.approx((1 / 2 + 1 + 2 / 3) / 3)
    assert scores.macro_f1 == pytest.approx((1 / 2 + 2 / 3 + 4 / 5) / 3)


def test_a_class_that_never_occurs_does_not_dilute_the_means() -> None:
    scores = scores_from_confusion([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    assert np.isnan(scores.recall[2])
    assert np.isnan(scores.precision[2])
    assert scores.balanced_accuracy == pytest.approx((3 / 4 + 1) / 2)
    assert scores.macro_f1 == pytest.approx((6 / 7 + 8 / 9) / 2)


def test_a_class_that_was_predicted_but_never_occurs_counts_as_zero_f1() -> None:
    scores = scores_from_confusion([[3, 1], [0, 0]])
    assert scores.f1.tolist() == [pytest.approx(6 / 7), 0.0]
    assert scores.macro_f1 == pytest.approx(3 / 7)
    assert scores.balanced_accuracy == pytest.approx(3 / 4)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.\.2"):
        confusion_matrix([0, -1], [0, 1], 3)
    with pytest.raises(ValueError, match="two arrays"):
        confusion_matrix([0, 1], [0], 3)
    with pytest.raises(ValueError, match="square"):
        scores_from_confusion(np.zeros((3, 3)))
