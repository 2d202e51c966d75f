"""Imports point one way: the device below everything, the host's packages apart from each other."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"tensorflow", "keras", "tf2onnx", "torch", "jax"}
HOST = {"train", "convert", "benchmarks"}
FRAME_PATH = (
    "edge_runtime.pipeline",
    "edge_runtime.sources",
    "edge_runtime.detectors",
    "edge_runtime.sinks",
    "edge_runtime.backends",
    "edge_runtime.commands",
    "edge_runtime.classifier",
    "edge_runtime.doctor",
    "edge_runtime.__main__",
)


def modules_of(package: str) -> dict[str, Path]:
    """Module names below a top-level package, with their files."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(module: str, path: Path) -> set[str]:
    """Every module that a file imports, at any depth of its code."""
    names: set[str] = set()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and str(node.value).startswith("edge_runtime."):
            # Modules that are imported by name stand as strings in a registry.
            names.add(str(node.value))
    return names


@pytest.mark.parametrize("package", ["edge_runtime", "train", "convert", "benchmarks"])
def test_packages_keep_apart(package: str) -> None:
    modules = modules_of(package)
    assert modules
    forbidden = HOST - {package}
    if package == "edge_runtime":
        forbidden = forbidden | HEAVY
    for module, path in modules.items():
        tops = {name.split(".")[0] for name in imports_of(module, path)}
        assert not tops & forbidden, f"{module} imports {sorted(tops & forbidden)}"


@pytest.mark.parametrize("layer", ["datasets", "metrics"])
def test_the_frame_path_stays_clear_of_the_statistics(layer: str) -> None:
    modules = modules_of("edge_runtime")
    reached: set[str] = set()
    pending = [name for name in modules if name.startswith(FRAME_PATH)]
    assert len(pending) > len(FRAME_PATH)
    while pending:
        module = pending.pop()
        if module in reached:
            continue
        reached.add(module)
        pending += [name for name in imports_of(module, modules[module]) if name in modules]
    strays = [name for name in reached if name.startswith(f"edge_runtime.{layer}")]
    assert not strays


@pytest.mark.parametrize("layer", ["datasets", "metrics"])
def test_data_and_statistics_need_numpy_and_opencv_alone(layer: str) -> None:
    allowed = {"numpy", "cv2", "edge_runtime", *sys.stdlib_module_names}
    for module, path in modules_of("edge_runtime").items():
        if module.startswith(f"edge_runtime.{layer}"):
            tops = {name.split(".")[0] for name in imports_of(module, path)}
            assert tops <= allowed, f"{module} imports {sorted(tops - allowed)}"


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return set(done.stdout.split())


def test_importing_the_runtime_loads_nothing_heavy() -> None:
    loaded = loaded_by("import edge_runtime, edge_runtime.__main__")
    assert "edge_runtime.__main__" in loaded
    assert not loaded & (HEAVY | {"numpy", "cv2", "ai_edge_litert"})


def test_a_run_loads_no_training_package() -> None:
    loaded = loaded_by("import edge_runtime.commands.run, edge_runtime.commands.predict")
    assert "cv2" in loaded
    assert not loaded & (HEAVY | HOST)
