"""What every order of samples has."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

Samples = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""(N,) numbers of domains in `Order.domains`, and (N,) first tokens of the samples in the domains' streams."""


class Order(Protocol):
    """Which tokens each sample has: a pure function of the order seed and the index of the sample."""

    domains: tuple[str, ...]
    """Domain keys."""
    notices: tuple[str, ...]
    """What the order leaves out of the data, a line each."""

    def __len__(self) -> int:
        """Number of samples of the run."""

    def samples(self, start: int, stop: int) -> Samples:
        """Return domain and first token of the samples from `start` to before `stop`."""
