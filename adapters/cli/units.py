"""Quantities as people read them."""


def size(count: int) -> str:
    """Return a number of bytes, such as ``31.3 kB``."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"
