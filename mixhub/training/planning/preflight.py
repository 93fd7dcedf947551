"""A trial on the real machine, with the run's own model and short updates, which leaves nothing behind."""

from __future__ import annotations

import gc
import hashlib
import math
import os
import resource
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers import LlamaForCausalLM

from mixhub.data.batches import StepBatch, TrainingBatches
from mixhub.data.orders.choice import order_of
from mixhub.data.shards import TokenShards
from mixhub.errors import RunError
from mixhub.files import locked
from mixhub.progress import SILENT, Bar, Progress
from mixhub.spec import Family, Run
from mixhub.training.checkpoints.state import first_state
from mixhub.training.checkpoints.store import Checkpoints
from mixhub.training.devices import device_name
from mixhub.training.launch import accelerated, sharding_of
from mixhub.training.model import build_model, one_layer
from mixhub.training.options import DEFAULTS, TrainOptions
from mixhub.training.planning.outcome import Disk, Pace, Peak, Preflight, Repeat
from mixhub.training.resume import require_trainable
from mixhub.training.speed.kernels import kernels
from mixhub.training.updates import Updates
from mixhub.workspace.paths import RunFolder

_SAVED = 2
"""The update after which the trial saves a checkpoint; it makes as many after it."""
_TIMED = 3
"""Updates whose median time counts."""
_SAMPLE = 4096
"""Weights of each tensor that are compared one by one, if two trials with one seed differ."""


class _Seen(NamedTuple):
    """What a trial was at one update, in this process."""

    loss: float
    grad_norm: float
    digest: bytes
    """Hash of the weights after the update; empty if not asked for."""
    sample: tuple[Tensor, ...]
    """Some weights of each tensor; empty if not asked for."""


def preflight(
    family: Family,
    run: Run,
    *,
    tokens: Path,
    folder: RunFolder,
    options: TrainOptions = DEFAULTS,
    progress: Progress = SILENT,
) -> Preflight:
    """Try a run on this machine; writes only into a temporary folder beside the run's, and deletes it.

    All processes of the run call this. Three models are made one after the other: the first makes four updates and
    saves a checkpoint after two; the second goes on from it; the third starts with the same seed, and is timed.

    Args:
        family: the recipe.
        run: the seed or index.
        tokens: folder of token shards.
        folder: the run's folder.
        options: how to train on this machine.
        progress: counts updates.

    Raises:
        RunError: the run cannot be trained here, or its micro-batch does not fit the device.
        CorpusError: there are no tokens, or not those of the family.
    """
    shards = require_trainable(family, run, tokens)
    with accelerated(family.training, options) as accelerator:
        is_main, layer = accelerator.is_main_process, partial(one_layer, family.llama, family.training)
        updates = _update_count(family, accelerator.num_processes)
        with (
            _scratch(folder, accelerator) as scratch,
            (progress if is_main else SILENT).start(f"preflight {run.revision}", updates, "update") as bar,
            kernels(options.kernels, family.training, accelerator, scratch.compiled, layer) as use_kernels,
        ):
            try:
                trial = _Trial(accelerator, family, run, shards, options, bar, use_kernels)
                return trial.outcome(folder, scratch)
            except torch.OutOfMemoryError as error:
                size = family.training.micro_batch_size
                message = f"micro_batch_size = {size}: does not fit {device_name(accelerator.device.type)}"
                reason = str(error).split(". ")[0]
                raise RunError(f"{message}: {reason}", code="micro-batch-too-large", micro_batch_size=size) from None


class _Trial:
    """The trial of one process."""

    def __init__(
        self,
        accelerator: Accelerator,
        family: Family,
        run: Run,
        shards: TokenShards,
        options: TrainOptions,
        bar: Bar,
        use_kernels: Callable[[LlamaForCausalLM], None],
    ) -> None:
        self.use_kernels = use_kernels
        self.accelerator, self.family, self.run, self.options, self.bar = accelerator, family, run, options, bar
        self.manifest = shards.manifest.for_family(family)
        self.order = order_of(family, run, self.manifest)
        training, world = family.training, accelerator.num_processes
        self.batches = TrainingBatches(
            shards, self.order, family.data.train_prefix, training, rank=accelerator.process_index, world=world
        )
        self.micro_steps = training.global_batch_size // (training.micro_batch_size * world)
        # An update of one micro-step, so that the trial is short.
        self.training = training.model_copy(update={"global_batch_size": training.micro_batch_size * world})

    def outcome(self, folder: RunFolder, scratch: RunFolder) -> Preflight:
        """Make the trial, and return the same outcome in all processes."""
        free = shutil.disk_usage(scratch.path).free
        if self.accelerator.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        whole = self._first(scratch)
        checkpoint = sum(path.stat().st_size for path in scratch.checkpoint(_SAVED).rglob("*") if path.is_file())
        resumed = self._resumed(scratch)
        self._release()
        updates = self._updates()
        again = [self._update(updates, step, is_compared=step + 1 == _SAVED) for step in range(_SAVED)]
        pace = Pace(self._seconds(updates, 1), self._seconds(updates, 2) if self.micro_steps > 1 else None)
        comparisons = gather_object([(_differences(whole[:_SAVED], again), _differences(whole[_SAVED:], resumed))])
        stored = sum(path.stat().st_size for path in folder.checkpoints.rglob("*") if path.is_file())
        disk, step = Disk(checkpoint, free, stored), max(folder.checkpoint_steps(), default=0)
        pace, disk, step = broadcast_object_list([pace, disk, step])  # what processes measure differently
        return Preflight(
            family=self.family,
            run=self.run,
            device=device_name(self.accelerator.device.type),
            processes=self.accelerator.num_processes,
            sharding=sharding_of(self.options),
            micro_steps=self.micro_steps,
            steps_left=self.family.training.steps - step,
            repeated=Repeat.widest(repeat for repeat, _ in comparisons),
            resumed=Repeat.widest(repeat for _, repeat in comparisons),
            pace=pace,
            peak=self._peak(),
            disk=disk,
        )

    def _first(self, scratch: RunFolder) -> list[_Seen]:
        """Make four updates, with a checkpoint after the second."""
        updates = self._updates()
        seen = [self._update(updates, step, is_compared=step + 1 == _SAVED) for step in range(_SAVED)]
        with self._checkpoints(updates, scratch) as checkpoints:
            state = first_state(self.family, self.run, self.manifest, "0" * 64)
            checkpoints.save(state.model_copy(update={"step": _SAVED}))
            checkpoints.wait()
        self.accelerator.wait_for_everyone()
        return seen + [self._update(updates, step) for step in range(_SAVED, 2 * _SAVED)]

    def _resumed(self, scratch: RunFolder) -> list[_Seen]:
        """Make the last two updates from the checkpoint."""
        self._release()
        updates = self._updates()
        with self._checkpoints(updates, scratch) as checkpoints:
            checkpoints.load(scratch.checkpoint(_SAVED))
        return [self._update(updates, step) for step in range(_SAVED, 2 * _SAVED)]

    def _updates(self) -> Updates:
        assert self.run.init_seed is not None
        model = build_model(
            self.family.llama,
            self.training,
            init_seed=self.run.init_seed,
            eos_id=self.manifest.eos_id,
            is_empty=not self.accelerator.is_main_process,
        )
        self.use_kernels(model)
        domains, eos_id = self.order.domains, self.manifest.eos_id
        return Updates(self.accelerator, model, self.training, domains=domains, eos_id=eos_id, options=self.options)

    def _checkpoints(self, updates: Updates, scratch: RunFolder) -> Checkpoints:
        return Checkpoints(
            scratch,
            updates.model,
            updates.optimizer,
            training=self.family.training,
            config=self.family.train_config(self.run),
            accelerator=self.accelerator,
        )

    def _update(self, updates: Updates, step: int, *, is_compared: bool = False) -> _Seen:
        figures = updates.gradients(self._batch(step, 1))
        updates.apply(step)
        self.bar.advance(note=f"loss {figures.loss:.3f}")
        digest, sample = _weights(updates) if is_compared else (b"", ())
        return _Seen(figures.loss, figures.grad_norm, digest, sample)

    def _batch(self, step: int, micro_steps: int) -> StepBatch:
        batch = self.batches.step(step)
        return StepBatch(batch.tokens[:micro_steps], batch.domains[:micro_steps])

    def _seconds(self, updates: Updates, micro_steps: int) -> float:
        """Return the median time of an update of so many micro-steps."""
        times = []
        for step in range(_TIMED + 1):
            batch = self._batch(step, micro_steps)
            self._synchronise()
            started = time.perf_counter()
            updates.gradients(batch)
            updates.apply(step)
            self._synchronise()
            times.append(time.perf_counter() - started)
            self.bar.advance()
        return statistics.median(times[1:])  # the first of its kind may compile or allocate

    def _peak(self) -> Peak:
        """Return the memory of the process that took most, and of its device."""
        if self.accelerator.device.type == "cuda":
            ours = (torch.cuda.max_memory_allocated(), torch.cuda.get_device_properties().total_memory)
        else:
            unit = 1 if os.uname().sysname == "Darwin" else 1024
            own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            ours = (own, memory // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
        return Peak(*max(gather_object([ours]), key=lambda one: one[0] / one[1]))

    def _synchronise(self) -> None:
        if self.accelerator.device.type == "cuda":
            torch.cuda.synchronize()

    def _release(self) -> None:
        """Free the memory of a model that is no longer used."""
        gc.collect()
        if self.accelerator.device.type == "cuda":
            torch.cuda.empty_cache()


def _update_count(family: Family, processes: int) -> int:
    """Return how many updates the trial makes: those of two micro-steps only if the run has such."""
    micro_steps = family.training.global_batch_size // (family.training.micro_batch_size * processes)
    return 4 * _SAVED + min(2, micro_steps) * (_TIMED + 1)


@contextmanager
def _scratch(folder: RunFolder, accelerator: Accelerator) -> Iterator[RunFolder]:
    """Yield a temporary run folder on the same disk, which replaces that of a killed trial, and is deleted."""
    scratch = RunFolder(folder.path.with_name(f".tmp-preflight-{folder.path.name}"))
    is_main = accelerator.is_main_process
    made = [parent for parent in (folder.path.parent, folder.path.parent.parent) if not parent.exists()]
    taken = f"{folder.path.name} is being tried"
    with locked(scratch.lock, taken) if is_main else nullcontext():
        if is_main:
            shutil.rmtree(scratch.checkpoints, ignore_errors=True)
        accelerator.wait_for_everyone()
        try:
            yield scratch
            accelerator.wait_for_everyone()
        finally:
            if is_main:
                shutil.rmtree(scratch.path, ignore_errors=True)
                for parent in made:
                    if not any(parent.iterdir()):
                        parent.rmdir()


def _weights(updates: Updates) -> tuple[bytes, tuple[Tensor, ...]]:
    """Return the hash of this process's part of the weights, and some of each tensor."""
    digest, sample = hashlib.sha256(), []
    for weight in updates.model.parameters():
        own = (weight.to_local() if isinstance(weight, DTensor) else weight).detach().cpu().flatten()
        digest.update(own.numpy().data)
        sample.append(own[:: max(1, len(own) // _SAMPLE)].clone())
    return digest.digest(), tuple(sample)


def _differences(one: Sequence[_Seen], other: Sequence[_Seen]) -> Repeat:
    """Compare the updates of two trials in this process."""
    apart = [(abs(a - b) / abs(a) if a != b else 0.0) for x, y in zip(one, other, strict=True) for a, b in _pairs(x, y)]
    is_finite = all(math.isfinite(figure) for seen in (*one, *other) for figure in (seen.loss, seen.grad_norm))
    is_same = is_finite and not any(apart) and all(x.digest == y.digest for x, y in zip(one, other, strict=True))
    weights = [
        (a - b).abs().max().item()
        for x, y in zip(one, other, strict=True)
        for a, b in zip(x.sample, y.sample, strict=True)
        if len(a)
    ]
    return Repeat(is_same, is_finite, max(apart), max(weights, default=0.0))


def _pairs(one: _Seen, other: _Seen) -> tuple[tuple[float, float], ...]:
    return (one.loss, other.loss), (one.grad_norm, other.grad_norm)
