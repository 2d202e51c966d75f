"""The verb `audit`: needs numpy, OpenCV and matplotlib, no Keras."""

from __future__ import annotations

import argparse
import json

from edge_runtime.datasets import Unreadable, load_dataset
from train.audit import audit, write_audit
from train.recipe import load_recipe
from train.sections import DataSection


def run_audit(options: argparse.Namespace) -> None:
    section = load_recipe(options.recipe).data if options.recipe else DataSection()
    unreadable: list[Unreadable] = []
    data = load_dataset(
        options.data,
        size_hw=(section.size, section.size) if section.size else (48, 48),
        color=section.color or "luma",
        class_names=section.classes or None,
        unreadable=unreadable,
    )
    document = write_audit(data, audit(data, tuple(unreadable)), options.out, options.write_clean)
    if options.format == "json":
        print(json.dumps([document], indent=1))
        return
    for split, row in document["counts"].items():
        total = max(sum(row.values()), 1)
        shares = ", ".join(f"{name} {n} ({100 * n / total:.1f} %)" for name, n in row.items())
        print(f"{split or 'no split'}: {sum(row.values())} images: {shares}")
    print(f"unreadable or misnamed files: {len(unreadable)}")
    for item in unreadable:
        print(f"  {item.path}: {item.reason}")
    print(f"blank images: {document['blank']} {document['blank_by_split']}")
    print(f"exact repeats within a split: {document['duplicates_within']}")
    print(f"images of other splits that are copies of Training images: {document['cross_split_copies']}")
    print(f"groups of identical Training images with conflicting labels: {document['conflicting_groups']}")
    print(
        f"near duplicates: {document['near_duplicate_pairs']} pairs, "
        f"{document['near_duplicate_pairs_across_splits']} of them across splits"
    )
