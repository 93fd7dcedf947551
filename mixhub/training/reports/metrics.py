"""What one sees of a run in training: `metrics.jsonl`, also of a resumed run, and the progress bar."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from mixhub.files import write_text
from mixhub.phrases import magnitude
from mixhub.progress import Bar
from mixhub.spec import Family, Run
from mixhub.spec.schedule import tokens_per_step
from mixhub.training.reports.figures import Figures
from mixhub.training.reports.trackers import Trackers, tracking
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.paths import RunFolder

_LOG = logging.getLogger("mixhub.training")
"""Reports where a run resumes and the result of each validation, for users without a progress bar."""
Utilisation = Callable[[float], float | None]
"""The share of the devices' peak at a speed in tokens per second; None if unknown."""


class Reports:
    """Shows the figures of one run, which are those of all processes together.

    Args:
        family: the recipe.
        run: the seed or index.
        bar: counts steps.
        mfu: see `Utilisation`.
        metrics: open `metrics.jsonl`; None in all processes but the first, which show nothing.
        trackers: get the same lines.
    """

    def __init__(
        self, family: Family, run: Run, bar: Bar, mfu: Utilisation, metrics: TextIO | None, trackers: Trackers
    ) -> None:
        self._training, self._revision, self._bar, self._mfu = family.training, run.revision, bar, mfu
        self._metrics, self._trackers = metrics, trackers
        self._valid_prefix = family.data.valid_prefix
        self._tokens = tokens_per_step(self._training.global_batch_size, self._training.sequence_length)

    def step(self, step: int, figures: Figures, *, rate: float, seconds: float, is_spike: bool) -> None:
        """Report an update.

        Args:
            step: number of the update, from 1.
            figures: what is known of it.
            rate: its learning rate.
            seconds: how long it took.
            is_spike: whether its loss lies far above those before it.
        """
        speed = round(self._tokens / seconds, 1)
        line: dict[str, object] = {"step": step, "loss": figures.loss, "learning_rate": rate}
        line |= {"grad_norm": figures.grad_norm, "tokens": step * self._tokens, "tokens_per_second": speed}
        mfu = self._mfu(speed)
        line |= {} if mfu is None else {"mfu": round(mfu, 4)}
        line |= {"spike": True} if is_spike else {}
        self._write({**line, "domains": figures.domains})
        if is_spike:
            self.log(f"step {step} of {self._training.steps}, loss {figures.loss:.3f} is a spike")
        note = f"loss {figures.loss:.3f} {magnitude(speed)} tok/s"
        self._bar.advance(note=note if mfu is None else f"{note} MFU {100 * mfu:.0f}%")

    def validation(self, step: int, losses: Mapping[str, float], loss: float | None) -> None:
        """Report the losses of the validation after a step, by domain key; `loss` is that of the step, if any."""
        self._write({"step": step, "validation": losses})
        figures = ", ".join(f"{key.removeprefix(self._valid_prefix)} {value:.3f}" for key, value in losses.items())
        trained = "" if loss is None else f", loss {loss:.3f}"
        self.log(f"step {step} of {self._training.steps}{trained}, validation {figures}")

    def log(self, text: str) -> None:
        """Log a line of text."""
        if self._metrics is not None:
            _LOG.info("%s: %s", self._revision, text)

    def sync(self) -> None:
        """Write what was reported to the disk, as a checkpoint needs that relies on it."""
        if self._metrics is not None:
            os.fsync(self._metrics.fileno())

    def _write(self, line: Mapping[str, object]) -> None:
        """Append a line to the metrics, visible to readers at once."""
        if self._metrics is not None:
            self._metrics.write(_line(line))
            self._metrics.flush()
            self._trackers.log(line)


def lines_until(path: Path, step: int) -> list[dict[str, Any]]:
    """Return the lines of a run's metrics up to the step from which it resumes; at 0, which starts a run, none."""
    return [line for line in read_metrics(path) if line["step"] <= step] if step else []


@contextmanager
def reporting(
    family: Family,
    run: Run,
    folder: RunFolder,
    bar: Bar,
    mfu: Utilisation,
    *,
    lines: Sequence[Mapping[str, Any]],
    trackers: Sequence[str] | None,
) -> Iterator[Reports]:
    """Report a run of which `lines` are known; other lines of its metrics are deleted.

    Args:
        family, run, bar, mfu: as for `Reports`.
        folder: the run's folder.
        lines: of the metrics so far.
        trackers: names of trackers; None in all processes but the first.

    Raises:
        RunError: a tracker cannot be started.
    """
    if trackers is None:
        yield Reports(family, run, bar, mfu, None, Trackers([]))
        return
    last = read_metrics(folder.metrics)[-1:] if trackers and folder.trackers.is_file() else []
    write_text(folder.metrics, "".join(map(_line, lines)))
    with (
        folder.metrics.open("a", encoding="utf-8") as metrics,
        tracking(trackers, family, run, folder, lines=lines, last=last[0] if last else None) as opened,
    ):
        yield Reports(family, run, bar, mfu, metrics, opened)


def _line(metrics: Mapping[str, object]) -> str:
    return json.dumps(metrics, allow_nan=False) + "\n"
