"""Loss spikes: steps whose loss lies far above those before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

WINDOW = 1000
"""Steps before a step that its loss is compared with."""
DEVIATIONS = 7.0
"""A spike lies more than this many standard deviations above the mean of the window. With `WINDOW`, the rule of the
spike score of OLMo et al. 2024, 2 OLMo 2 Furious, section 3, which counts losses on both sides of the mean."""
LEAST = 100
"""With fewer steps before it, no step is a spike: the loss still falls, and its deviation says little."""


class Spike(NamedTuple):
    """How far a loss lies above those before it."""

    mean: float
    """Of the losses before, in nats per token."""
    deviation: float
    """Their standard deviation."""


class Spikes:
    """The spikes of a run: a pure function of its losses, so that a resumed run has the same ones.

    Args:
        lines: of the metrics of the steps before the first one to come.
    """

    def __init__(self, lines: Iterable[Mapping[str, Any]] = ()) -> None:
        self.steps: list[int] = []
        """Spikes so far, by the number of the step, from 1."""
        self._losses: deque[float] = deque(maxlen=WINDOW)
        for line in lines:
            if "loss" in line:
                self._losses.append(line["loss"])
                self.steps += [line["step"]] if line.get("spike") else []

    def add(self, step: int, loss: float) -> Spike | None:
        """Add the loss of the next step; return how far it lies above those before it if it is a spike."""
        spike = self._compared(loss)
        self._losses.append(loss)
        if spike is not None:
            self.steps.append(step)
        return spike

    def within_window(self, step: int) -> int:
        """Return the number of spikes among the last `WINDOW` steps up to `step`."""
        return sum(one > step - WINDOW for one in self.steps)

    def _compared(self, loss: float) -> Spike | None:
        if len(self._losses) < LEAST:
            return None
        before = np.fromiter(self._losses, np.float64, len(self._losses))
        mean, deviation = float(before.mean()), float(before.std())
        return Spike(mean, deviation) if deviation and loss > mean + DEVIATIONS * deviation else None
