"""`python -m train audit`: what is in labelled data, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.datasets import LabeledImages, Unreadable
from edge_runtime.preprocess import to_luma
from train import figures
from train.cleanlist import CleanEntry, write_clean_list
from train.data import groups, is_blank
from train.duplicates import near_pairs
from train.files import write_json, write_text
from train.page import Page

TRAINING = "Training"
SHOWN_GROUPS = 8


@dataclass(frozen=True)
class Audit:
    """Findings; every index is a row of the data."""

    counts: dict[str, dict[str, int]]
    """Images by split, then by class."""
    unlabelled: int
    blank: npt.NDArray[np.int64]
    duplicates_within: dict[str, int]
    """By split: images that repeat an earlier one of the same split exactly."""
    cross_split: npt.NDArray[np.int64]
    """Images outside of Training that are exact copies of Training images."""
    conflicting: list[npt.NDArray[np.int64]]
    """Groups of identical images of the training split with more than one label."""
    near: list[tuple[int, int]]
    """Pairs that are nearly but not exactly the same."""
    unreadable: tuple[Unreadable, ...]

    def to_dict(self, data: LabeledImages) -> dict[str, Any]:
        splits = data.splits
        crossing = sum(splits[i] != splits[j] for i, j in self.near)
        by_split = {
            str(name): int((splits[self.cross_split] == name).sum())
            for name in sorted(set(splits[self.cross_split].tolist()))
        }
        return {
            "data": data.source,
            "data_sha256": data.digest(),
            "images": len(data),
            "counts": self.counts,
            "unlabelled": self.unlabelled,
            "unreadable": [{"path": str(u.path), "reason": u.reason} for u in self.unreadable],
            "blank": len(self.blank),
            "blank_by_split": _by_split(data, self.blank),
            "duplicates_within": self.duplicates_within,
            "cross_split_copies": len(self.cross_split),
            "cross_split_copies_by_split": by_split,
            "conflicting_groups": len(self.conflicting),
            "conflicting_images": sum(map(len, self.conflicting)),
            "near_duplicate_pairs": len(self.near),
            "near_duplicate_pairs_across_splits": int(crossing),
        }


def audit(data: LabeledImages, unreadable: tuple[Unreadable, ...] = ()) -> Audit:
    """Look for everything that spoils training or a reported figure."""
    names = _split_names(data)
    counts = {
        split: {
            name: int(((data.splits == split) & (data.labels == index)).sum())
            for index, name in enumerate(data.class_names)
        }
        for split in names
    }
    group, blank = groups(data), is_blank(data)
    training = data.splits == (TRAINING if TRAINING in names else names[0])
    cross = ~training & np.isin(group, group[training])
    within = {
        split: int((data.splits == split).sum() - len(np.unique(group[data.splits == split])))
        for split in names
    }
    return Audit(
        counts,
        int((data.labels < 0).sum()),
        np.flatnonzero(blank),
        within,
        np.flatnonzero(cross),
        _conflicting(group, data.labels, training & (data.labels >= 0)),
        near_pairs(_luma(data.images)),
        unreadable,
    )


def clean_entries(data: LabeledImages, found: Audit) -> list[CleanEntry]:
    """What to leave out: blank pictures, conflicting ones, Training copies of other splits, repeats."""
    digests = [value.tobytes().hex() for value in data.hashes()]
    entries: dict[tuple[str, str], CleanEntry] = {}

    def leave_out(row: int, copies: int, reason: str) -> None:
        key = (digests[row], str(data.splits[row]))
        if key not in entries:
            entries[key] = CleanEntry(*key, copies, reason)

    for row in found.blank:
        leave_out(int(row), 0, "blank")
    for group in found.conflicting:
        for row in group:
            leave_out(int(row), 0, "identical images with conflicting labels")
    elsewhere = {digests[row] for row in found.cross_split}
    training = TRAINING if TRAINING in found.counts else next(iter(found.counts))
    seen: set[tuple[str, str]] = set()
    for row, digest in enumerate(digests):
        if data.splits[row] == training and digest in elsewhere:
            leave_out(row, 0, "copy of an image of another split")
        elif (digest, str(data.splits[row])) in seen:
            leave_out(row, 1, "repeated")
        seen.add((digest, str(data.splits[row])))
    return list(entries.values())


def write_audit(
    data: LabeledImages, found: Audit, out: Path | None, clean_list: Path | None, seed: int = 0
) -> dict[str, Any]:
    """Write page, JSON and clean list where asked; returns the JSON document."""
    document = found.to_dict(data)
    if out is not None:
        write_json(out / "audit.json", document)
        write_text(out / "audit.html", audit_page(data, found, seed).html())
    if clean_list is not None:
        write_clean_list(clean_list, clean_entries(data, found))
    return document


def audit_page(data: LabeledImages, found: Audit, seed: int) -> Page:
    document = found.to_dict(data)
    page = Page("Data audit")
    page.text(f"{data.source}: {len(data):,} images, SHA-256 {document['data_sha256'][:16]}…")
    page.heading("Classes")
    rows = []
    for split, row in found.counts.items():
        total = max(sum(row.values()), 1)
        rows.append([split or "no split", *(f"{n:,} ({100 * n / total:.1f} %)" for n in row.values())])
    page.table(["split", *data.class_names], rows)
    page.picture(figures.class_bars(found.counts), "Images per class and split")
    page.heading("Findings")
    page.table(
        ["finding", "count"],
        [
            ["unreadable or misnamed files", len(found.unreadable)],
            ["images without a label", found.unlabelled],
            ["blank images (one value in every pixel)", len(found.blank)],
            *(
                [f"exact repeats within {split or 'the data'}", f"{n:,}"]
                for split, n in found.duplicates_within.items()
            ),
            ["images of other splits that are copies of Training images", len(found.cross_split)],
            ["groups of identical Training images with conflicting labels", len(found.conflicting)],
            ["pairs of near duplicates", len(found.near)],
            ["of these, across splits", document["near_duplicate_pairs_across_splits"]],
        ],
    )
    _pictures(page, data, found, np.random.default_rng([seed, 7]))
    if found.unreadable:
        page.heading("Files left out")
        page.table(["file", "reason"], [(u.path, u.reason) for u in found.unreadable])
    return page


def _pictures(page: Page, data: LabeledImages, found: Audit, rng: np.random.Generator) -> None:
    def title(row: int) -> str:
        label = data.labels[row]
        return data.class_names[label] if label >= 0 else "no label"

    chosen = np.sort(rng.choice(len(data), min(16, len(data)), replace=False))
    page.heading("Random sample")
    page.picture(
        figures.picture_grid(data.images[chosen], [title(row) for row in chosen]),
        "Sixteen random images with their labels",
    )
    if found.conflicting:
        rows = []
        for group in found.conflicting[:SHOWN_GROUPS]:
            # The first image of each of two labels.
            first = np.unique(data.labels[group], return_index=True)[1][:2]
            rows += group[np.sort(first)].tolist()
        page.heading("Identical images, conflicting labels")
        page.picture(
            figures.picture_grid(data.images[rows], [title(row) for row in rows], columns=8, cell_in=1.1),
            "Neighbours are the same image; two of each group",
        )
    if found.near:
        # Pairs across splits first: they are what spoils a reported figure.
        pairs = sorted(found.near, key=lambda pair: data.splits[pair[0]] == data.splits[pair[1]])
        rows = [row for pair in pairs[:SHOWN_GROUPS] for row in pair]
        titles = [f"{title(row)}\n{data.splits[row]}" for row in rows]
        page.heading("Near duplicates")
        page.picture(
            figures.picture_grid(data.images[rows], titles, columns=8, cell_in=1.1),
            "Neighbours are a pair",
        )


def _by_split(data: LabeledImages, rows: npt.NDArray[np.int64]) -> dict[str, int]:
    return {split: int((data.splits[rows] == split).sum()) for split in _split_names(data)}


def _split_names(data: LabeledImages) -> list[str]:
    """Splits, Training first."""
    return sorted({str(name) for name in data.splits.tolist()}, key=lambda name: (name != TRAINING, name))


def _conflicting(
    group: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], chosen: npt.NDArray[np.bool_]
) -> list[npt.NDArray[np.int64]]:
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(group[rows], kind="stable")]
    parts = np.split(rows, np.flatnonzero(np.diff(group[rows])) + 1)
    return [part for part in parts if len(part) and len(set(labels[part].tolist())) > 1]


def _luma(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if images.ndim == 3:
        return images
    return np.stack([to_luma(np.ascontiguousarray(image[..., ::-1])) for image in images])
