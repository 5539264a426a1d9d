"""Two batches that hold zeros, huge, tiny and infinite values and NaN."""

import numpy as np

X = np.float32([[1, -2, np.nan, 0], [-np.inf, 3e38, 2.0**-140, 0.1]])
Y = np.float32([[5, 0, 0, -9], [np.inf, np.nan, 1e-20, 0.3]])
