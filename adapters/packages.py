"""Packages that an extra brings, looked for before they are imported."""

from importlib.util import find_spec


def check_packages(purpose: str, extras: str, /, *names: str) -> None:
    """
    Raise ModuleNotFoundError unless all packages are there; say what to install.

    Parameters
    ----------
    purpose : str
        Begins the sentence, such as ``"an export to ONNX"``.
    extras : str
        Those that bring the packages, with commas.
    *names : str
        The packages.
    """
    if missing := [name for name in names if find_spec(name) is None]:
        raise ModuleNotFoundError(
            f'{purpose} needs {", ".join(missing)}: pip install "qcore-quant[{extras}]"'
        )
