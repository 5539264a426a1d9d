"""Print a benchmark's rows and keep them with the machine and the versions."""

import json
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "numpy",
    "numba",
    "torch",
    "triton",
    "cuda-bindings",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "jax",
    "jax-cuda12-plugin",
    "jax-cuda13-plugin",
    "onnx",
    "onnxruntime",
    "qcore-quant",
)
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni")


def record(name: str, rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table and write ``results/<name>.json``."""
    heads = list(dict.fromkeys(key for row in rows for key in row))
    cells = [heads, *([_shown(row.get(head, "")) for head in heads] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    machine = _machine()
    flags = " ".join(machine["flags"])
    print(f"\n{name}: {machine['cpu']}, {machine['cores']} cores, {flags}")
    for line in cells:
        print("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)))
    RESULTS.mkdir(exist_ok=True)
    content = {"machine": machine, "versions": _versions(), "rows": rows}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _machine() -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    model = next((x.split(":")[1] for x in text.splitlines() if "model name" in x), "")
    words = set(text.split())
    return {
        "cpu": model.strip() or platform.processor(),
        "cores": os.cpu_count(),
        "flags": [flag for flag in FLAGS if flag in words],
        "python": sys.version.split()[0],
        "gpu": _gpu(),
    }


def _gpu() -> str | None:
    """Return name, driver and memory of the GPUs that NVIDIA's tool sees."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    wanted = "--query-gpu=name,driver_version,memory.total"
    command = [tool, wanted, "--format=csv,noheader"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
