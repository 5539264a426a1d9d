"""Write the README's table of what each method serves, by trying it.

Run ``python docs/support_table.py`` where qcore is installed; a test compares.
"""

from itertools import product
from pathlib import Path

import numpy as np

import qcore
from qcore.methods.registry import find_method

README = Path(__file__).parent.parent / "README.md"
BEGIN = "<!-- support table: `python docs/support_table.py` writes it -->\n"
END = "<!-- end of the support table -->"

SPECS = {
    "symmetric": qcore.QuantSpec("int8"),
    "asymmetric": qcore.QuantSpec("int8", symmetric=False),
    "unsigned": qcore.QuantSpec("uint8"),
    "int2 … int16": qcore.QuantSpec("int16"),
    "float8, 6, 4": qcore.QuantSpec("float4_e2m1fn"),
}
GRANULARITIES = {
    "per tensor": qcore.PerTensor(),
    "per channel": qcore.PerChannel(1),
    "per block": qcore.PerBlock(1, 3),
}


def table() -> str:
    """Return the table in Markdown."""
    heads = ["method", "reads", *SPECS, *GRANULARITIES]
    rows = [heads, ["---"] * len(heads)]
    for name in qcore.methods():
        needs = find_method(name).needs
        reads = ", ".join(kind.__name__ for kind in needs)
        working = {
            (s, g)
            for (s, spec), (g, granularity) in product(
                SPECS.items(), GRANULARITIES.items()
            )
            if works(name, needs[0], spec, granularity)
        }
        # What no combination serves is no fault of the others.
        served = {key for pair in working for key in pair}
        served -= {
            key
            for pair in product(SPECS, GRANULARITIES)
            if served.issuperset(pair) and pair not in working
            for key in pair
        }
        cells = ["yes" if key in served else "-" for key in (*SPECS, *GRANULARITIES)]
        rows.append([f"`{name}`", reads, *cells])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def works(name: str, kind: type, spec: qcore.QuantSpec, granularity: object) -> bool:
    """Return whether the method gives usable scales for such a tensor."""
    data = np.linspace(-2, 6, 24, dtype=np.float32).reshape(4, 6)
    options = {"axis": 0, "format": spec.format} if kind is qcore.Top2 else {}
    try:
        seen = kind.of(data, granularity=granularity, **options)
        qparams = qcore.calibrate(seen, spec, name)
    except (ValueError, TypeError):
        return False
    return bool(np.all(np.isfinite(qparams.scale) & (qparams.scale > 0)))


def main() -> None:
    """Put the table between its marks in the README."""
    before, rest = README.read_text().split(BEGIN)
    _, after = rest.split(END)
    README.write_text(before + BEGIN + table() + END + after)


if __name__ == "__main__":
    main()
