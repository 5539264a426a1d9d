"""torchao tells observers by their class; it is to take ours for one of its own."""

import sys


def introduce(observer: type) -> None:
    """Register a class with torchao's observers, if a program has loaded them.

    ``prepare_pt2e`` makes observers and then looks for them by class, so it is early
    enough when the first one is made. Nothing is imported for it.
    """
    pt2e = sys.modules.get("torchao.quantization.pt2e")
    if pt2e is not None:
        pt2e.ObserverBase.register(observer)
