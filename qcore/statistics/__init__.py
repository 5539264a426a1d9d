"""What is collected from data: states that add up, each a value of its own."""

from qcore.statistics.base import Statistics
from qcore.statistics.gram import Gram
from qcore.statistics.histogram import Histogram
from qcore.statistics.moments import Moments
from qcore.statistics.ranges import MovingRange, Range
from qcore.statistics.stack import stack, unstack
from qcore.statistics.top2 import Top2
from qcore.statistics.window import Window

__all__ = [
    "Gram",
    "Histogram",
    "Moments",
    "MovingRange",
    "Range",
    "Statistics",
    "Top2",
    "Window",
    "stack",
    "unstack",
]
