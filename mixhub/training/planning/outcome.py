"""What a preflight found, and what of it speaks against training; without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from mixhub.findings import Finding
from mixhub.phrases import size
from mixhub.spec import Family, Run
from mixhub.spec.schedule import tokens_per_step
from mixhub.training.devices import mfu
from mixhub.training.planning.plan import disk_bytes

_ROUNDING = 1e-6
"""Relative difference of loss and gradient norm below which only the order of sums may differ."""
_TIGHT = 0.95
"""Share of a device's memory above which a run may fail after days, of gaps between its blocks."""


@dataclass(frozen=True)
class Repeat:
    """How two trials that must be equal compare, over all processes."""

    is_same: bool
    """Whether loss, gradient norm and, where compared, weights are bit for bit the same."""
    is_finite: bool
    """Whether loss and gradient norm are finite numbers."""
    figures: float
    """Largest relative difference of loss and gradient norm."""
    weights: float
    """Largest difference of the weights that were compared one by one."""

    @classmethod
    def widest(cls, parts: Iterable[Repeat]) -> Repeat:
        """Return the comparison of all processes."""
        every = list(parts)
        return cls(
            all(one.is_same for one in every),
            all(one.is_finite for one in every),
            max(one.figures for one in every),
            max(one.weights for one in every),
        )


@dataclass(frozen=True)
class Pace:
    """Seconds of an update, medians."""

    one: float
    """Of one micro-step."""
    two: float | None
    """Of two micro-steps; None if the recipe's updates have one."""

    def step(self, micro_steps: int) -> float:
        """Return the seconds of an update of so many micro-steps, each after the first taking as long as the second."""
        return self.one + (micro_steps - 1) * max(0.0, (self.two or self.one) - self.one)


@dataclass(frozen=True)
class Peak:
    """Bytes of memory."""

    used: int
    """The most that a process used."""
    of: int
    """What its device has; of a CPU, the machine's memory divided by the processes."""


@dataclass(frozen=True)
class Disk:
    """Bytes on the disk of the run."""

    checkpoint: int
    """Of a checkpoint."""
    free: int
    """Before the trial."""
    kept: int
    """Of the run's checkpoints so far, which new ones will replace."""


@dataclass(frozen=True)
class Preflight:
    """What a preflight found."""

    family: Family
    run: Run
    device: str
    """Name of the device of each process."""
    processes: int
    """How many trained together."""
    sharding: str
    """What they divided between them."""
    micro_steps: int
    """Of an update, on each device."""
    steps_left: int
    """Updates that the run still has to make."""
    repeated: Repeat
    """The same seed twice."""
    resumed: Repeat
    """Two updates after a checkpoint, with and without a stop."""
    pace: Pace
    peak: Peak
    disk: Disk

    @property
    def seconds_per_step(self) -> float:
        """Expected seconds of an update of the recipe."""
        return self.pace.step(self.micro_steps)

    @property
    def tokens_per_second(self) -> float:
        """Expected tokens per second of all processes together."""
        training = self.family.training
        return tokens_per_step(training.global_batch_size, training.sequence_length) / self.seconds_per_step

    @property
    def mfu(self) -> float | None:
        """Expected share of the devices' peak; None if the peak is unknown."""
        return mfu(self.family, self.tokens_per_second, self.device, self.processes)

    @property
    def disk_needed(self) -> int:
        """Bytes of what the run will still write and keep."""
        return max(0, disk_bytes(self.family, self.disk.checkpoint) - self.disk.kept)

    @property
    def findings(self) -> list[Finding]:
        """What speaks against training the run like this."""
        return [finding for rule in _RULES for finding in rule(self)]

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        return {
            "family": self.family.name,
            "revision": self.run.revision,
            "device": self.device,
            "processes": self.processes,
            "sharding": self.sharding,
            "micro_steps": self.micro_steps,
            "steps_left": self.steps_left,
            "repeated": asdict(self.repeated),
            "resumed": asdict(self.resumed),
            "seconds_per_step": self.seconds_per_step,
            "tokens_per_second": self.tokens_per_second,
            "mfu": self.mfu,
            "hours": self.steps_left * self.seconds_per_step / 3600,
            "memory": asdict(self.peak),
            "disk": {**asdict(self.disk), "needed": self.disk_needed},
            "findings": [finding.to_data() for finding in self.findings],
        }


def _finite(outcome: Preflight) -> Iterator[Finding]:
    """A loss or a gradient norm that is not a number in the first updates."""
    if not (outcome.repeated.is_finite and outcome.resumed.is_finite):
        message = "the loss or the norm of the gradient of the first updates is not finite"
        yield Finding("trial-diverged", outcome.run.revision, message, "lower training.learning_rate")


def _repeats(outcome: Preflight) -> Iterator[Finding]:
    """The same seed that does not give the same weights: beyond rounding, an error."""
    repeated = outcome.repeated
    if repeated.is_same or not repeated.is_finite:
        return
    message = (
        f"after two updates, the same seed twice gives other weights: they differ by up to {repeated.weights:.1e}, and "
        f"loss and gradient norm by {repeated.figures:.1e} of their value"
    )
    hint = "a run that is repeated or resumed here is not bit for bit the same; CUDA's kernels may add in any order"
    level = "warning" if repeated.figures <= _ROUNDING else "error"
    yield Finding("seed-not-repeatable", outcome.run.revision, message, hint, level)  # type: ignore[arg-type]


def _resumes(outcome: Preflight) -> Iterator[Finding]:
    """A resumed run that goes on otherwise: by more than the same seed twice does."""
    resumed, repeated = outcome.resumed, outcome.repeated
    tolerance = 0.0 if repeated.is_same else max(_ROUNDING, 10 * repeated.figures)
    if resumed.is_finite and not resumed.is_same and resumed.figures > tolerance:
        message = f"after a resume, loss and gradient norm differ by {resumed.figures:.1e} of their value"
        yield Finding("resume-differs", outcome.run.revision, message, "do not train here; report this")


def _memory(outcome: Preflight) -> Iterator[Finding]:
    """Memory that is nearly full."""
    peak = outcome.peak
    if peak.used > _TIGHT * peak.of:
        message = f"used {size(peak.used)} of {size(peak.of)} of memory"
        hint = "lower training.micro_batch_size, or pass --sharding full"
        yield Finding("memory-tight", outcome.run.revision, message, hint, "warning")


def _disk(outcome: Preflight) -> Iterator[Finding]:
    """A disk that is too small for what the run keeps."""
    if outcome.disk_needed > outcome.disk.free:
        message = (
            f"needs {size(outcome.disk_needed)} for checkpoints and export, and {size(outcome.disk.free)} are free"
        )
        yield Finding(
            "disk-too-small-for-run", outcome.run.revision, message, "free space, or lower training.keep_checkpoints"
        )


_RULES = (_finite, _repeats, _resumes, _memory, _disk)
