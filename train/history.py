"""Figures per epoch as JSON, CSV and TensorBoard events."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from train.files import write_atomically, write_json

HISTORY_NAME = "history.json"
CSV_NAME = "history.csv"


def write_history(folder: Path, history: list[dict[str, float]]) -> None:
    """Write `history.json` and `history.csv`."""
    write_json(folder / HISTORY_NAME, history)
    columns = list(dict.fromkeys(key for row in history for key in row))

    def write(path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(history)

    write_atomically(folder / CSV_NAME, write)


class TensorBoardLog:
    """Scalars per epoch in TensorBoard's event format; TensorFlow writes it, on any Keras backend."""

    def __init__(self, folder: Path) -> None:
        import tensorflow

        self._tensorflow: Any = tensorflow
        self._writer = tensorflow.summary.create_file_writer(str(folder))

    def write(self, row: dict[str, float]) -> None:
        summary = self._tensorflow.compat.v1.Summary()
        for key, value in row.items():
            if key != "epoch":
                summary.value.add(tag=key, simple_value=value)
        with self._writer.as_default():
            # The summary ops of TensorFlow itself need the package tensorboard; raw ones do not.
            self._tensorflow.summary.experimental.write_raw_pb(
                summary.SerializeToString(), step=int(row["epoch"])
            )
        self._writer.flush()
