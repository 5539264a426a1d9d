"""One session per world: each environment holds only what its session names.

`nox` runs all that a change must pass, `nox -l` lists the sessions, and
`nox -s "tests(library='torch')" -- -k histogram` runs one with arguments for pytest.
"""

import shutil
import subprocess
import zipfile
from pathlib import Path

import nox

# pip alone reads the user's pip configuration, which may name a CPU build of torch;
# uv would download gigabytes of CUDA.
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml("pyproject.toml")
FOLDERS = {"qcore": "qcore", "backends": "qcore/backends", "adapters": "qcore/adapters"}
PINS = ("-c", "constraints.txt", "--build-constraint", "constraints.txt")
# Whom `bench_peers` measures; some do not name what they import, or break with what is
# newest.
PEERS = {
    "modelopt": (
        "nvidia-modelopt==0.47.0",
        "huggingface-hub==2.4.0",
        "numpy==2.4.6",
        "requests==2.34.2",
        "torch==2.13.0",
    ),
    "onnxruntime": ("onnxruntime==1.31.1", "numpy==2.4.6", "onnx==1.23.2"),
    "ppq": (
        "ppq==0.6.6",
        "numpy==2.4.6",
        "onnx==1.15.0",
        "protobuf==3.20.3",
        "torch==2.13.0",
    ),
    "torch": ("torch==2.13.0", "numpy==2.4.6"),
}
SPREAD = ("-n", "auto", "--dist", "worksteal")
"""One process for each core; JAX compiles a program for each of many cases."""
COMPILED = (
    *("affine", "balance", "calibrate", "entropy", "fake_quantize", "gradient"),
    *("granularity", "hfmg", "histogram", "histogram_batches", "ifmr", "libraries"),
    *("minifloat", "mse", "percentile", "roundings", "tensor_quant"),
)
"""Tests of the core that the compiled CPU kernels may change."""
OTHERS = ("adapters", "backends/cuda", "backends/numba", "backends/triton")
"""Tests of sessions of their own: `onnx`, `torch`, `jax` and `everything`."""
CUDA = ("jax[cuda12]", "cupy-cuda12x")
"""What runs on a GPU; with CUDA's torch comes triton."""
COMPILED_BENCHMARKS = ("bench_cpu", "bench_gpu", "bench_onnx")
"""Benchmarks with the compiled kernels, which are not there for the others."""
SHIPPED = ("*.py", "py.typed", "*.onnx", "*.npz", "*.cu")


def install(session: nox.Session, *requirements: str, groups: str = "") -> None:
    """Install requirements and dependency groups at the versions known to work."""
    # setuptools would ship what an earlier build left here and the source has lost.
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    named = nox.project.dependency_groups(PROJECT, *groups.split())
    session.install(*PINS, *named, *requirements)


def leave_checkout(session: nox.Session) -> Path:
    """Go where the folder `qcore` does not hide the installed package."""
    folder = Path(session.create_tmp()).resolve()
    session.chdir(folder)
    return folder


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, style and layering."""
    install(session, ".", groups="lint test")
    session.run("ruff", "format", "--check")
    session.run("ruff", "check")
    session.run("pytest", "tests/test_layering.py")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the installed package, which alone has its import names."""
    install(session, ".[torch,jax,onnx,images,text,report]", groups="types")
    leave_checkout(session)
    config = str(ROOT / "pyproject.toml")
    session.run("mypy", "--config-file", config, "-p", "qcore", *session.posargs)


@nox.session
@nox.parametrize("library", ["numpy", "strict", "torch", "jax"])
def tests(session: nox.Session, library: str) -> None:
    """Test the core and its backends where `library` is the only one beside numpy."""
    extra = f".[{library}]" if library in {"torch", "jax"} else "."
    install(session, extra, groups="test strict" if library == "strict" else "test")
    contract_suite(session, library, *session.posargs)


def contract_suite(session: nox.Session, library: str, *options: str) -> None:
    """Run the core's tests and those of its backends; fail if none is of `library`."""
    required = ("--require-library", library)
    others = (f"--ignore=tests/{folder}" for folder in OTHERS)
    env = shared_by_processes(session)
    session.run("pytest", "tests", *others, *SPREAD, *required, *options, env=env)


def shared_by_processes(session: nox.Session) -> dict[str, str]:
    """Return the environment in which JAX reads what another process has compiled."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(Path(session.create_tmp()).resolve()),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


@nox.session
def everything(session: nox.Session) -> None:
    """Test what needs all libraries: compiled kernels, without a GPU, and examples."""
    extras = ".[torch,jax,onnx,cpu,cupy,images,text,report]"
    install(session, extras, groups="test strict triton cuda")
    session.run("pytest", "--doctest-glob=README.md", "README.md")
    session.run("pytest", "--doctest-modules", "--pyargs", "qcore")  # imports all of it
    # JAX's own kernels were compared in its session, and nothing here changes them.
    others = ("-k", "not qcore.backends.jax.library")
    session.run("pytest", "tests/backends", *SPREAD, *others, *session.posargs)
    files = (f"tests/qcore/test_{name}.py" for name in COMPILED)
    # JAX's arrays are lent as PyTorch's are, and take longest.
    session.run("pytest", *files, *SPREAD, "-k", "numpy or torch", *session.posargs)
    # Whether Triton interprets is settled when it is imported.
    env = {"TRITON_INTERPRET": "1"}
    session.run("pytest", "tests/backends/triton", *SPREAD, *session.posargs, env=env)


@nox.session
def onnx(session: nox.Session) -> None:
    """Test the adapters where ONNX is installed and no other framework."""
    install(session, ".[onnx,images,text]", groups="test models machines")
    pools = "onnx/sharding"
    elsewhere = ("jax", "torch", "ppq/test_torch.py", pools)
    others = (f"--ignore=tests/adapters/{name}" for name in elsewhere)
    folders = ("tests/adapters", "tests/test_layering.py")
    session.run("pytest", *folders, *others, *SPREAD, *session.posargs)
    # Processes of a pool are made from what is left of all tests before.
    session.run("pytest", f"tests/adapters/{pools}", *session.posargs)


@nox.session
def torch(session: nox.Session) -> None:
    """Test the torch adapter, its exports in ONNX Runtime."""
    install(session, ".[torch,onnx,cpu,report]", groups="test digits records")
    places = ("torch", "records", "ppq/test_torch.py")
    folders = (f"tests/adapters/{place}" for place in places)
    session.run("pytest", *folders, *SPREAD, *session.posargs)


@nox.session
def jax(session: nox.Session) -> None:
    """Test the JAX adapter, its exports in ONNX Runtime."""
    install(session, ".[jax,onnx,cpu]", groups="test digits models networks")
    env = shared_by_processes(session)
    session.run("pytest", "tests/adapters/jax", *SPREAD, *session.posargs, env=env)


@nox.session(reuse_venv=False)
def build(session: nox.Session) -> None:
    """Build the wheel, compare it with the source, use it in a bare environment."""
    folder = Path(session.create_tmp()).resolve()
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    session.run("pip", "wheel", "-q", "--no-deps", *PINS, "-w", str(folder), ".")
    (wheel,) = folder.glob("*.whl")
    source = {
        f"{package}/{path.relative_to(ROOT / name).as_posix()}"
        for name, package in FOLDERS.items()
        for pattern in SHIPPED
        for path in (ROOT / name).rglob(pattern)
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    if packed != source:
        session.error(f"The wheel lacks or invents {sorted(packed ^ source)}")

    install(session, str(wheel))
    leave_checkout(session)
    session.run("python", "-c", "import qcore.backends.numpy, qcore.adapters")
    session.run("qcore", "--help", silent=True)


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """Quantize the shipped digits network with every method; print the table."""
    install(session, ".[onnx]")
    leave_checkout(session)
    session.run("qcore", "demo", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Print every number that the documentation claims, ours and the peer's."""
    install(session, ".[onnx,torch,jax]", groups="test models")
    for script in sorted(Path("benchmarks").glob("bench_*.py")):
        if script.stem not in {*COMPILED_BENCHMARKS, "bench_peers"}:
            session.run("python", str(script), *session.posargs)
    session.notify("bench_kernels")


@nox.session(default=False)
def bench_kernels(session: nox.Session) -> None:
    """Measure the compiled kernels, without which `bench` has measured the others."""
    extras = (".[torch,jax,onnx,cpu]", *(CUDA if has_gpu() else ()))
    install(session, *extras, groups="models")
    for script in COMPILED_BENCHMARKS:
        session.run("python", f"benchmarks/{script}.py", *session.posargs)


@nox.session(default=False)
def peers(session: nox.Session) -> None:
    """Measure the calibration of other toolkits, each in its own environment."""
    install(session, ".")
    folder = Path(session.create_tmp()).resolve()
    for peer, requirements in PEERS.items():
        python = str(folder / peer / "bin" / "python")
        session.run("python", "-m", "venv", str(folder / peer), silent=True)
        # Where one cannot be installed the benchmark says so and has the others.
        pip = (python, "-m", "pip", "install", "-q", *requirements)
        session.run(*pip, external=True, success_codes=range(256))
    found = {"QCORE_PEERS": str(folder)}
    session.run("python", "benchmarks/bench_peers.py", *session.posargs, env=found)


@nox.session(default=False)
@nox.parametrize("library", ["cupy", "torch", "jax"])
def gpu(session: nox.Session, library: str) -> None:
    """Run all that runs on a GPU; `-- --allow-no-gpu` skips without one."""
    options = [option for option in session.posargs if option != "--allow-no-gpu"]
    if not has_gpu():
        said = f"No GPU answers `nvidia-smi`, so {library} was not tested on one"
        if "--allow-no-gpu" in session.posargs:
            session.skip(said)
        session.error(said)
    # CuPy's kernels serve JAX too.
    extra = ".[jax,cupy]" if library == "jax" else f".[{library}]"
    install(session, extra, *(CUDA if library == "jax" else ()), groups="test cuda")
    contract_suite(session, f"{library}:gpu", *options)
    session.run("pytest", "tests/backends", "-m", "gpu", *options)


def has_gpu() -> bool:
    """Return whether the driver's own tool sees a device."""
    tool = shutil.which("nvidia-smi")
    return bool(tool) and subprocess.run([tool], check=False).returncode == 0
