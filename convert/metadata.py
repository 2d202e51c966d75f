"""Standard TFLite Metadata (buffer `TFLITE_METADATA`, identifier `M001`) for a `.tflite` graph.

The tables are those of `metadata_schema.fbs` of tflite-support 0.4. No maintained package ships their
Python classes, so the few that a classifier needs are written slot by slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np

from edge_runtime.contract import ModelContract
from edge_runtime.modelfile import LABELS_NAME

METADATA_NAME = "TFLITE_METADATA"
METADATA_IDENTIFIER = b"M001"
MIN_PARSER_VERSION = "1.0.0"

_PURPOSE = {"detect": "Face detection"}
_COLOR_SPACE = {"rgb": 1, "luma": 2}
_TENSOR_AXIS_LABELS = 2
_UNION_FEATURE, _UNION_IMAGE = 1, 2
_UNION_NORMALIZATION = 1


def attach_metadata(graph: bytes, contract: ModelContract, version: str) -> bytes:
    """The graph with standard metadata in it; weights keep their 16-byte alignment.

    Args:
        graph: bytes of a `.tflite` file without appended files.
        version: version of the model, shown by metadata readers.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(graph, 0)
    content = build_metadata(contract, version, outputs=len(model.subgraphs[0].outputs))
    named = (METADATA_NAME, METADATA_NAME.encode())
    entries = [entry for entry in model.metadata or [] if entry.name not in named]
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = METADATA_NAME, len(model.buffers) - 1
    model.metadata = [*entries, entry]
    builder = AlignedBuilder(len(graph) + len(content) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class AlignedBuilder(flatbuffers.Builder):
    """Aligns byte vectors to 16, as the schema demands of buffers; the generated code does not.

    Equal vectors of 64-bit numbers are written once: zero points, of which an int8 graph has one, 0, for
    every channel of its weights and again of its biases (5 % of edge-fer-nano).
    """

    def __init__(self, initial_size: int) -> None:
        super().__init__(initial_size)
        self._written: dict[bytes, Any] = {}
        self._begun: tuple[int, int] = 0, 0

    def StartVector(self, elem_size: int, num_elems: int, alignment: int) -> Any:
        self._begun = elem_size, self.Offset()
        return super().StartVector(elem_size, num_elems, 16 if elem_size == 1 else alignment)

    def EndVector(self, *arguments: Any) -> Any:
        offset = super().EndVector(*arguments)
        size, before = self._begun
        # Others may hold offsets, which mean another target at another place.
        if size != 8:
            return offset
        count = int.from_bytes(self.Bytes[self.Head() : self.Head() + 4], "little")
        content = bytes(self.Bytes[self.Head() : self.Head() + 4 + size * count])
        known = self._written.setdefault(content, offset)
        if known != offset:
            self.head = len(self.Bytes) - before
        return known


def build_metadata(contract: ModelContract, version: str, outputs: int = 1) -> bytes:
    """Serialized `ModelMetadata` of a contract."""
    writer = _Writer()
    graph_input = writer.table(
        {
            0: writer.string("image"),
            1: writer.string(
                f"{'Frame' if contract.task == 'detect' else 'Face crop'}, {contract.input.height}x"
                f"{contract.input.width} pixels, {contract.input.color}, values 0..255; "
                "an int8 input is pixel - 128."
            ),
            3: _image_content(writer, contract),
            4: writer.vector([_no_normalization(writer)]),
            5: writer.table({0: writer.floats([255.0]), 1: writer.floats([0.0])}),
        }
    )
    tensors = [_output(writer, contract, index) for index in range(outputs)]
    subgraph = writer.table({2: writer.vector([graph_input]), 3: writer.vector(tensors)})
    root = writer.table(
        {
            0: writer.string(contract.name),
            1: writer.string(
                f"{_PURPOSE.get(contract.task, 'Facial-expression recognition')} ({contract.task}): "
                f"{', '.join(contract.labels)}. "
                "How to feed and read it: edge-fer.json inside this file."
            ),
            2: writer.string(version),
            3: writer.vector([subgraph]),
            4: writer.string("edge-fer"),
            5: writer.string("Apache-2.0"),
            7: writer.string(MIN_PARSER_VERSION),
        }
    )
    return writer.finish(root)


def _image_content(writer: _Writer, contract: ModelContract) -> int:
    size = writer.table({0: ("u32", contract.input.width), 1: ("u32", contract.input.height)})
    image = writer.table({0: ("i8", _COLOR_SPACE[contract.input.color]), 1: size})
    return writer.table({0: ("u8", _UNION_IMAGE), 1: image})


def _no_normalization(writer: _Writer) -> int:
    """Rescaling lives in the graph: the picture is fed as it is, mean 0 and deviation 1."""
    options = writer.table({0: writer.floats([0.0]), 1: writer.floats([1.0])})
    return writer.table({0: ("u8", _UNION_NORMALIZATION), 1: options})


def _output(writer: _Writer, contract: ModelContract, index: int) -> int:
    name = contract.activation if index == 0 else f"output_{index}"
    if contract.decoding is not None:
        name = str(contract.decoding["outputs"][index])
    slots: dict[int, Any] = {
        0: writer.string(name),
        3: writer.table({0: ("u8", _UNION_FEATURE), 1: writer.table({})}),
    }
    if index == 0 and contract.decoding is None:
        labels = writer.table(
            {
                0: writer.string(LABELS_NAME),
                1: writer.string("One label per line, in the order of the outputs."),
                2: ("i8", _TENSOR_AXIS_LABELS),
            }
        )
        slots[1] = writer.string(f"One value per label ({contract.activation}).")
        slots[6] = writer.vector([labels])
    return writer.table(slots)


class _Writer:
    """Tables by slot number on top of a flatbuffer builder.

    Flatbuffers are written leaves first: an offset is an int, a scalar a pair of type and value.
    """

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(1024)
        self._scalars = {
            "i8": self._builder.PrependInt8Slot,
            "u8": self._builder.PrependUint8Slot,
            "u32": self._builder.PrependUint32Slot,
        }

    def string(self, text: str) -> int:
        offset: int = self._builder.CreateString(text)
        return offset

    def floats(self, values: Sequence[float]) -> int:
        self._builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            self._builder.PrependFloat32(value)
        return int(self._builder.EndVector())

    def vector(self, offsets: Sequence[int]) -> int:
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        return int(self._builder.EndVector())

    def table(self, slots: dict[int, Any]) -> int:
        self._builder.StartObject(max(slots, default=-1) + 1)
        for slot, value in slots.items():
            if isinstance(value, tuple):
                kind, number = value
                self._scalars[kind](slot, number, 0)
            else:
                self._builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        return int(self._builder.EndObject())

    def finish(self, root: int) -> bytes:
        self._builder.Finish(root, METADATA_IDENTIFIER)
        return bytes(self._builder.Output())
