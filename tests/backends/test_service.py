import subprocess
import sys

import numpy as np
import pytest

from qcore import backends, quantize
from qcore.kernels import declined, kernels
from qcore.libraries import load_backends
from qcore.spec import QParams, QuantSpec

qparams = QParams(np.float32(0.5), np.int32(0), QuantSpec())


@pytest.fixture
def declining():
    """Let a native function of quantize_data for numpy decline all calls."""
    kernel = kernels()["quantize_data"]
    natives = list(kernel.natives.get("numpy", []))

    @kernel.accelerate("numpy")
    def _(*_):
        return declined("it is a test")

    yield
    kernel.natives["numpy"] = natives
    del kernel.declines["numpy", __name__]


def service_of(kernel, library):
    services = backends.report().services
    return next(s for s in services if (s.kernel, s.library) == (kernel, library))


def test_the_report_names_the_modules_that_serve_a_kernel():
    assert service_of("count", "numpy").natives == ("qcore.backends.numpy.counting",)


@pytest.mark.usefixtures("declining")
def test_the_report_tells_why_a_native_function_declined():
    quantize(np.ones(3, np.float32), qparams)
    service = service_of("quantize_data", "numpy")
    assert service.natives[0] == __name__
    assert service.declines[__name__] == "it is a test"
    assert f"{__name__} declined: it is a test" in str(backends.report())


@pytest.mark.usefixtures("declining")
def test_a_decline_is_told_of_the_library_whose_arrays_were_declined():
    quantize(np.ones(3, np.float32), qparams)
    kernel = kernels()["quantize_data"]
    assert ("numpy", __name__) in kernel.declines
    assert ("torch", __name__) not in kernel.declines


def test_a_backend_that_fails_to_load_fails_again_and_is_reported(monkeypatch):
    class Broken:
        name = "json"  # a library that is there

        def load(self):
            raise OSError("no driver")

    def found(*, group, name="json"):
        assert group == "qcore.backends"
        return [Broken()] if name == "json" else []

    monkeypatch.setattr("qcore.libraries.entry_points", found)
    monkeypatch.setattr("qcore.backends.service.entry_points", found)
    for _ in range(2):
        with pytest.raises(OSError, match="no driver"):
            load_backends("json")
    assert backends.report().failures == {"json": "OSError: no driver"}


def test_the_report_has_the_versions_of_what_is_installed():
    versions = backends.report().versions
    assert versions["numpy"] == np.__version__
    assert f"numpy {np.__version__}" in str(backends.report())


def test_the_report_says_what_is_not_installed(monkeypatch):
    monkeypatch.setattr("qcore.backends.service.COMPILERS", {"nothing": "no-such-name"})
    report = backends.report()
    assert report.versions["nothing"] is None
    assert "nothing is not installed" in str(report)


def test_the_report_says_that_portable_functions_are_asked_for():
    code = "import qcore.backends; print(qcore.backends.report())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={"QCORE_BACKEND": "reference"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "QCORE_BACKEND=reference" in done.stdout
