"""Which operations XNNPACK runs, and which fall back to the interpreter's own kernels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from convert.quiet import captured_stderr


@dataclass(frozen=True)
class Delegation:
    """How a `.tflite` graph is divided between XNNPACK and the interpreter, on this machine."""

    partitions: int
    """Pieces that XNNPACK runs; 1 is the whole, more mean copies between them."""
    outside: tuple[str, ...]
    """Operations that it does not run, as `NAME xCOUNT`."""

    @property
    def warning(self) -> str | None:
        """One line for the user where the graph is not one piece."""
        if self.partitions == 1:
            return None
        left = ", ".join(self.outside) or "none"
        if self.partitions == 0:
            return f"XNNPACK runs nothing of this graph, so it is slow; operations: {left}"
        return f"XNNPACK runs the graph in {self.partitions} pieces; outside of it: {left}"


def delegation_of(model: bytes) -> Delegation:
    """Load a graph with ai-edge-litert's default delegate and look at what it took."""
    from ai_edge_litert.interpreter import Interpreter

    with captured_stderr():
        interpreter = Interpreter(model_content=model)
        interpreter.allocate_tensors()
        nodes: list[dict[str, Any]] = interpreter._get_ops_details()
    pieces = [node for node in nodes if node["op_name"] == "DELEGATE"]
    producers = {
        int(tensor): node for node in nodes if node["op_name"] != "DELEGATE" for tensor in node["outputs"]
    }
    taken: set[int] = set()
    for piece in pieces:
        borders = {int(tensor) for tensor in piece["inputs"]}
        pending = [int(tensor) for tensor in piece["outputs"]]
        while pending:
            node = producers.get(pending.pop())
            if node is None or node["index"] in taken:
                continue
            taken.add(node["index"])
            pending += [int(t) for t in node["inputs"] if int(t) not in borders]
    left = Counter(
        node["op_name"] for node in nodes if node["op_name"] != "DELEGATE" and node["index"] not in taken
    )
    return Delegation(len(pieces), tuple(f"{name} x{count}" for name, count in sorted(left.items())))
