"""Results of `benchmarks accuracy` for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def as_text(results: Sequence[dict[str, Any]]) -> str:
    """The results for a person, accuracy in percent."""
    return "\n".join(map(_one_as_text, results))


def _one_as_text(result: dict[str, Any]) -> str:
    lines = [
        f"{result['model']} ({result['model_file']}, sha256 {result['model_sha256'][:12]}) "
        f"on {result['data']['split']}, n = {result['n']}, {result['backend']}",
        f"  top-1              {_percent(result)}",
        f"  balanced accuracy  {result['balanced_accuracy']:6.2%}",
        f"  macro F1           {result['macro_f1']:6.2%}",
        f"  ECE, {result['ece_bins']} bins       {result['ece']:6.2%}",
    ]
    for key, name in (("leak_free", "leak-free top-1"), ("ferplus", "FER+ majority")):
        if result[key] is not None:
            lines.append(f"  {name:18} {_percent(result[key])}, n = {result[key]['n']}")
    lines.append(f"  {'class':12}{'precision':>10}{'recall':>10}{'F1':>10}{'support':>10}")
    for label, row in result["classes"].items():
        figures = "".join(
            f"{'-':>10}" if row[key] is None else f"{row[key]:10.2%}"
            for key in ("precision", "recall", "f1")
        )
        lines.append(f"  {label:12}{figures}{row['support']:10d}")
    for pair in result["paired"]:
        low, high = pair["difference_interval"]
        lines.append(
            f"  against {pair['against']}: {100 * pair['difference']:+.2f} points "
            f"({100 * low:+.2f} to {100 * high:+.2f}), McNemar mid-p {pair['mcnemar_p_mid']:.3g}"
        )
    return "\n".join(lines) + "\n"


def _percent(figures: dict[str, Any]) -> str:
    low, high = figures["top1_interval"]
    return f"{figures['top1']:6.2%} (95 % interval {low:.2%} to {high:.2%})"
