"""Stopping a run that diverges before the update that would spoil its weights, and saying what the step read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mixhub.data.seen import Sample, Samples
from mixhub.errors import CorpusError, RunError
from mixhub.files import write_json
from mixhub.phrases import listed, plural
from mixhub.spec import Family, Run
from mixhub.training.reports.figures import Figures
from mixhub.training.reports.spikes import WINDOW, Spike, Spikes
from mixhub.workspace.paths import RunFolder

_SHOWN = 3
"""Samples that a message names; the file has all."""


@dataclass(frozen=True)
class Fault:
    """Why the update of a step must not be made."""

    step: int
    """Number of the step, from 1."""
    figure: str
    """`loss`, `grad_norm`, or the key of a validation domain."""
    value: float
    """Of the figure."""
    spike: Spike | None = None
    """How far the loss lies above those before it, if it is finite."""
    spikes: int = 0
    """Spikes in the last steps."""


@dataclass(frozen=True)
class ReadSample:
    """A sample of the step, with its loss."""

    sample: Sample
    loss: float
    """Mean of its tokens, in nats per token."""
    documents: tuple[dict[str, Any], ...]
    """The parts of documents that it has; empty if the tokens were packed without the ends of documents."""

    @property
    def is_broken(self) -> bool:
        """Whether the loss is not finite."""
        return not math.isfinite(self.loss)

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `diverged.json`."""
        position = {"sample": self.sample.number, "domain": self.sample.domain, "start": self.sample.start}
        return {**position, "loss": None if self.is_broken else self.loss, "documents": list(self.documents)}

    def __str__(self) -> str:
        if not self.documents:
            return f"{self.sample.domain}, tokens from {self.sample.start:,} on"
        numbers: dict[str, list[int]] = {}
        for part in self.documents:
            numbers.setdefault(part["file"], []).append(part["document"])
        return "; ".join(f"{file} {_numbered(own)}" for file, own in numbers.items())


class Guard:
    """Looks at the figures of each step before its update.

    They are the same in all processes, and so is what this finds.

    Args:
        family: the recipe.
        run: the seed or index.
        folder: the run's folder.
        lines: of the metrics of the steps before the first one to come.
    """

    def __init__(self, family: Family, run: Run, folder: RunFolder, lines: Iterable[Mapping[str, Any]]) -> None:
        self._run, self._folder, self._limit = run, folder, family.training.spike_limit
        self.spikes = Spikes(lines)

    def fault(self, step: int, figures: Figures) -> Fault | None:
        """Return why the update of a step, which is counted from 1, must not be made; None if it may."""
        for name, value in (("loss", figures.loss), ("grad_norm", figures.grad_norm)):
            if not math.isfinite(value):
                return Fault(step, name, value)
        spike = self.spikes.add(step, figures.loss)
        count = self.spikes.within_window(step)
        if spike is None or self._limit is None or count < self._limit:
            return None
        return Fault(step, "loss", figures.loss, spike, count)

    def error(self, fault: Fault, rows: Sequence[ReadSample] = ()) -> RunError:
        """Return the error that stops the run; `rows` are the samples of the step, the most suspect ones first."""
        steps = tuple(self._folder.checkpoint_steps())
        last = f"the last checkpoint is {self._folder.checkpoint(steps[-1])}" if steps else "no checkpoint yet"
        fields: dict[str, Any] = {"step": fault.step, "figure": fault.figure, "value": fault.value}
        fields["checkpoints"] = steps
        text, code = f"{fault.figure} is {fault.value} at step {fault.step}", "training-diverged"
        hint = "lower training.learning_rate or lengthen training.warmup_steps, and train again"
        if fault.spike is not None:
            mean, deviation = fault.spike
            text = f"loss {fault.value:.3f} at step {fault.step} is spike {fault.spikes} of the last {WINDOW:,} steps"
            text += f" (mean before {mean:.3f}, standard deviation {deviation:.3f})"
            code, hint = "loss-spikes", f"raise training.spike_limit to continue, or {hint}"
            fields |= {"mean": mean, "deviation": deviation, "spikes": fault.spikes, "limit": self._limit}
        message = f"{self._run.family}, {self._run.revision}: {text}; {last}"
        if rows:
            suspects = [row for row in rows if row.is_broken] or rows
            what = f"{len(suspects):,} of its {plural(len(rows), 'sample')} {'has' if len(suspects) == 1 else 'have'}"
            what = f"{what} a loss that is not finite" if rows[0].is_broken else "its samples with the highest loss"
            shown = listed([f"[{row}]" for row in suspects], most=_SHOWN)
            message += f"\n{what}: {shown}; all are in {self._folder.diverged}"
            option = f"--{self._run.kind} {self._run.label}"
            hint = f"mixhub data seen {option} --step {fault.step} --text shows what it read; {hint}"
            fields |= {"path": self._folder.diverged, "samples": tuple(row.sample.number for row in suspects)}
        return RunError(message, code=code, hint=hint, **fields)


def read_samples(samples: Samples, step: int, losses: Sequence[float]) -> list[ReadSample]:
    """Return the samples of a step with their losses: those that are not finite first, then the highest."""
    rows = []
    for sample, loss in zip(samples.of_step(step), losses, strict=True):
        try:
            parts = [asdict(part) for part in samples.documents(sample)]
        except CorpusError:  # packed without the ends of documents
            parts = []
        keys = ("file", "document", "first", "tokens", "document_tokens")
        rows.append(ReadSample(sample, loss, tuple({key: part[key] for key in keys} for part in parts)))
    return sorted(rows, key=lambda row: -math.inf if row.is_broken else -row.loss)


def write_samples(folder: RunFolder, fault: Fault, rows: Iterable[ReadSample]) -> None:
    """Write the samples of a step whose update was not made to `diverged.json`."""
    cause = {"step": fault.step, "figure": fault.figure, "value": str(fault.value)}  # JSON has no NaN
    write_json(folder.diverged, {"format": 1, **cause, "samples": [row.to_data() for row in rows]})


def _numbered(documents: Sequence[int]) -> str:
    return f"document {documents[0]}" if len(documents) == 1 else f"documents {listed(documents, most=4)}"
