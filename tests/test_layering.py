"""Dependencies run one way, and a framework stays in the files that bear its name."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each folder with what it may import of us.
LAYERS = {
    "qcore": {"qcore"},
    "backends": {"qcore", "backends"},
    "adapters": {"qcore", "backends", "adapters"},
}

# What a place may import beside the framework in its own name.
FRAMEWORKS = {
    "qcore/files.py": {"numpy", "safetensors"},
    "backends/numba": {"numpy"},
    "backends/jax/cuda.py": {"cupy"},
    "backends/triton": {"torch"},
    "backends/jax/numba.py": {"numpy"},
    "backends/torch/numba.py": {"numpy"},
    "adapters/cli": {"numpy"},
    "adapters/demo": {"numpy"},
    "adapters/records": {"numpy"},
    "adapters/records/protobuf.py": {"google"},
    "adapters/progress.py": {"tqdm"},
    "adapters/torch": {"numpy", "yaml"},
    "adapters/torch/onnx": {"onnx_ir", "onnxruntime", "onnxscript"},
    "adapters/jax/onnx": {"numpy", "onnx_ir"},
    # Elements of weights, followed on the host while nothing is computed.
    "adapters/jax/uses.py": {"numpy"},
    # The core's own work on them, and on what was seen, which is compiled by nobody.
    "adapters/jax/recovery": {"numpy"},
    "adapters/jax/weight_qparams.py": {"numpy"},
    "adapters/onnx": {"numpy", "onnx_ir", "onnxscript", "onnxruntime"},
    "adapters/onnx/data/pillow.py": {"PIL"},
    "adapters/onnx/files/protobuf.py": {"google"},
    "adapters/ppq": {"numpy", "onnx", "onnx_ir"},
}

# No framework: the namespaces of all of them.
EVERYWHERE = {"array_api_compat", *sys.stdlib_module_names}

ARRAY_LIBRARIES = {"numpy", "array_api_strict", "torch", "jax", "cupy", "ml_dtypes"}

FILES = sorted(path for folder in LAYERS for path in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of all that a file imports, at its top or inside."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def layer(name: str) -> str:
    """Return the folder that holds the module `qcore.…`."""
    part = name.split(".")[1] if "." in name else ""
    return part if part in LAYERS else "qcore"


def allowed(place: Path) -> set[str]:
    """Return what is not ours and a file may import, judged by its path."""
    folder, *named = place.with_suffix("").parts
    tables = (FRAMEWORKS.get(p.as_posix(), set()) for p in (place, *place.parents))
    return EVERYWHERE.union(() if folder == "qcore" else named, *tables)


def violations(path: Path, place: Path) -> list[str]:
    """Return the imports that do not belong into a file."""
    return [
        name
        for name in imports(path)
        if (
            layer(name) not in LAYERS[place.parts[0]]
            if name.partition(".")[0] == "qcore"
            else name.partition(".")[0] not in allowed(place)
        )
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_place_allows(path: Path) -> None:
    assert violations(path, path.relative_to(ROOT)) == []


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("qcore/affine.py", "import qcore.backends.numpy"),
        ("qcore/affine.py", "from qcore import backends"),
        ("qcore/affine.py", "from . import files"),
        ("qcore/affine.py", "import numpy as np"),
        ("qcore/numpy.py", "import numpy"),
        ("backends/torch.py", "from qcore.adapters import onnx"),
        ("backends/torch.py", "    from jax import numpy"),
        ("adapters/demo/table.py", "import onnx"),
        ("adapters/onnx/calibrate.py", "import torch"),
    ],
)
def test_a_wrong_import_is_seen(tmp_path: Path, place: str, line: str) -> None:
    path = tmp_path / "file.py"
    path.write_text(f"def f():\n{line}" if line[0] == " " else line, encoding="utf-8")
    assert violations(path, Path(place)) != []


@pytest.mark.parametrize(
    "place", ["backends/torch.py", "adapters/torch/nn.py", "adapters/torch.py"]
)
def test_a_framework_is_at_home_where_the_path_bears_its_name(
    tmp_path: Path, place: str
) -> None:
    path = tmp_path / "file.py"
    path.write_text("import torch.nn\nfrom qcore import quantize", encoding="utf-8")
    assert violations(path, Path(place)) == []


def test_importing_the_core_imports_no_array_library() -> None:
    core = (path.relative_to(ROOT) for path in FILES if ROOT / "qcore" in path.parents)
    modules = [".".join(path.with_suffix("").parts) for path in core]
    modules += ["qcore.backends", "qcore.adapters"]
    modules = [module.removesuffix(".__init__") for module in modules]
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    run = [sys.executable, "-P", "-c", code]
    loaded = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    assert "qcore" in loaded.split()
    assert ARRAY_LIBRARIES.isdisjoint(loaded.split())


def test_every_folder_with_code_is_a_package() -> None:
    folders = {path.parent for path in FILES}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_every_backend_named_in_the_entry_points_exists() -> None:
    backends = entry_points(group="qcore.backends")
    assert "numpy" in backends.names
    assert [entry for entry in backends if find_spec(entry.module) is None] == []
