"""Unit vectors in clusters, as texts about a few subjects have."""

import numpy as np
from numpy.typing import NDArray

D = 32


def clustered(count: int, *, seed: int = 1, dimensions: int = D, clusters: int = 40) -> NDArray[np.float32]:
    """float32 (count, dimensions): a centre and as much noise. The centres are the same for every seed."""
    centres = np.random.default_rng(0).standard_normal((clusters, dimensions))
    random = np.random.default_rng(seed)
    rows = centres[random.integers(0, clusters, count)] + random.standard_normal((count, dimensions))
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit
