"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import NoReturn

from accelerate import Accelerator
from transformers import LlamaForCausalLM

from mixhub.data.batches import StepBatch, TrainingBatches, validation_notices, validation_starts
from mixhub.data.orders.choice import order_of
from mixhub.data.seen import Samples
from mixhub.data.shards import TokenShards
from mixhub.files import clear_leftovers, locked, require_folder
from mixhub.phrases import listed, plural
from mixhub.progress import SILENT, Progress
from mixhub.spec import Family, Run
from mixhub.training.checkpoints.state import State, first_state, newest_state, resaved
from mixhub.training.checkpoints.store import Checkpoints, is_checkpoint
from mixhub.training.devices import device_name, mfu
from mixhub.training.export import saved_weights_sha256, write_export
from mixhub.training.launch import accelerated, sharding_of
from mixhub.training.model import build_model, one_layer
from mixhub.training.options import DEFAULTS, TrainOptions
from mixhub.training.reports.divergence import Fault, Guard, read_samples, write_samples
from mixhub.training.reports.figures import Figures
from mixhub.training.reports.metrics import Reports, lines_until, reporting
from mixhub.training.reports.trackers import require_trackers
from mixhub.training.resume import finished_export, require_trainable, write_recipe
from mixhub.training.speed.collection import rare_collection
from mixhub.training.speed.kernels import kernels
from mixhub.training.updates import Updates
from mixhub.training.validation import validation_losses
from mixhub.workspace.paths import RunFolder


def train(
    family: Family,
    run: Run,
    *,
    tokens: Path,
    folder: RunFolder,
    options: TrainOptions = DEFAULTS,
    progress: Progress = SILENT,
    should_stop: Callable[[], bool] = lambda: False,
) -> Path | None:
    """Train a run to its last step, from its newest checkpoint or from the start, and export it.

    A run that was killed resumes from its newest checkpoint. On the CPU, with the same number of processes, its weights
    and metrics are then bit for bit those of a run that was not killed. A finished run is not changed. Under torchrun
    or `accelerate launch` the global batch is split over the processes; every process calls this.

    Args:
        family: the recipe.
        run: the seed or index.
        tokens: folder of token shards, as `mixhub.data.packing.pack.pack` makes it.
        folder: the run's folder, for checkpoints, metrics and the export.
        options: how to train on this machine.
        progress: counts steps.
        should_stop: asked in each step; if true in any process, all save a checkpoint after it and stop.

    Returns:
        The folder of the export; None if training was stopped.

    Raises:
        RunError: the run cannot be trained (its seed is unknown, its recipe or tokens changed, the device is
            unavailable), or its loss is not finite.
        CorpusError: there are no tokens, they lack a domain, or the order of samples finds too few in a domain.
        WorkspaceError: another process trains the run.
    """
    if (export := finished_export(family, run, folder)) is not None:
        return export
    shards = require_trainable(family, run, tokens)  # all checks come before the run folder is made
    require_trackers(options.trackers)
    with accelerated(family.training, options) as accelerator:
        main = accelerator.is_main_process
        with locked(folder.lock, f"{run.family}, {run.revision} is being trained") if main else nullcontext():
            if main:
                for path in (folder.path, folder.checkpoints, folder.exports):
                    require_folder(path)  # now, as the export comes after days
                    clear_leftovers(path)
                newest_state(family, run, folder, shards.manifest.for_family(family))  # for its errors
                write_recipe(family, run, folder)
                for path in folder.unfinished_checkpoints():
                    progress.notice(f"{path} is not a finished checkpoint, and is not used")
            accelerator.wait_for_everyone()
            layer = partial(one_layer, family.llama, family.training)
            with kernels(options.kernels, family.training, accelerator, folder.compiled, layer) as use_kernels:
                trainer = _Trainer(accelerator, family, run, shards, folder, options, use_kernels)
                return trainer.train(progress if main else SILENT, should_stop)


class _Trainer:
    """One run in one process."""

    def __init__(
        self,
        accelerator: Accelerator,
        family: Family,
        run: Run,
        shards: TokenShards,
        folder: RunFolder,
        options: TrainOptions,
        use_kernels: Callable[[LlamaForCausalLM], None],
    ) -> None:
        assert run.init_seed is not None
        self.accelerator, self.family, self.run, self.folder, self.shards = accelerator, family, run, folder, shards
        self.is_main = accelerator.is_main_process
        self.trackers = options.trackers
        self.manifest = manifest = shards.manifest.for_family(family)
        self.training = training = family.training
        self.order = order_of(family, run, manifest)
        rank, world, prefix = accelerator.process_index, accelerator.num_processes, family.data.train_prefix
        self.batches = TrainingBatches(shards, self.order, prefix, training, rank=rank, world=world)
        self.validation = validation_starts(family, run, manifest)
        model = build_model(
            family.llama,
            training,
            init_seed=run.init_seed,
            eos_id=manifest.eos_id,
            is_empty=not self.is_main,  # the first process sends its weights
        )
        self.start = newest_state(family, run, folder, manifest) or self._first_state(model)
        domains, eos_id = self.order.domains, manifest.eos_id
        use_kernels(model)
        self.updates = Updates(accelerator, model, training, domains=domains, eos_id=eos_id, options=options)
        optimizer, config = self.updates.optimizer, family.train_config(run)
        self.checkpoints = Checkpoints(
            folder, model, optimizer, training=training, config=config, accelerator=accelerator
        )
        device, sharding = accelerator.device.type, sharding_of(options)
        self.state = resaved(
            self.start, config, device=device, device_name=device_name(device), processes=world, sharding=sharding
        )
        self.device_seconds = self.start.device_seconds

    def train(self, progress: Progress, should_stop: Callable[[], bool]) -> Path | None:
        """Train the remaining steps, then export; None if asked to stop."""
        training, first, last = self.training, self.start.step, self.training.steps
        needs_lines = self.is_main or training.spike_limit is not None
        lines = lines_until(self.folder.metrics, first) if needs_lines else []
        self.guard = Guard(self.family, self.run, self.folder, lines)
        for line in (*self.order.notices, *validation_notices(self.family, self.validation)):
            progress.notice(line)
        if first:
            self.checkpoints.load(self.folder.checkpoint(first))
        with (
            rare_collection() as collect,
            self.checkpoints,
            closing(self.batches.steps(first, last)) as batches,
            progress.start(f"train {self.run.revision}", last, "step") as bar,
            reporting(
                *(self.family, self.run, self.folder, bar, self._mfu),
                lines=lines,
                trackers=self.trackers if self.is_main else None,
            ) as reports,
        ):
            bar.advance(first)
            if first == 0:
                self._validate(reports, 0, None)
            else:
                reports.log(f"resumes from step {first} of {last}")
            for step in range(first, last):
                figures = self._step(reports, step, batches, stop=should_stop())
                done = step + 1
                if done % training.validation_interval == 0 or done == last:
                    self._validate(reports, done, figures.loss)
                ends = done == last or figures.is_stopped
                if ends or is_checkpoint(done, training):
                    self._checkpoint(reports, done, wait=ends)
                collect(done)
                if figures.is_stopped and done < last:
                    return None
        if spikes := self.guard.spikes.steps:
            progress.notice(f"{plural(len(spikes), 'loss spike')}, at step {listed(spikes, most=5)}")
        return self._export()

    def _mfu(self, speed: float) -> float | None:
        """Return the share of the devices' peak at a speed in tokens per second; None if it is unknown."""
        return mfu(self.family, speed, device_name(self.accelerator.device.type), self.accelerator.num_processes)

    def _first_state(self, model: LlamaForCausalLM) -> State:
        # The other processes complete no checkpoints, so they need no hash.
        initial = saved_weights_sha256(model, self.folder.path) if self.is_main else "0" * 64
        return first_state(self.family, self.run, self.manifest, initial)

    def _step(self, reports: Reports, step: int, batches: Iterator[StepBatch], *, stop: bool) -> Figures:
        """Make one update."""
        started = time.perf_counter()
        figures = self.updates.gradients(next(batches), stop=stop, failed=self.checkpoints.failed())
        if figures.is_failed:
            self.checkpoints.wait()  # raises the error
        if (fault := self.guard.fault(step + 1, figures)) is not None:
            self._refuse(fault)
        rate = self.updates.apply(step)
        seconds = time.perf_counter() - started
        if self.device_seconds is not None:
            self.device_seconds += seconds * self.accelerator.num_processes
        is_spike = step + 1 in self.guard.spikes.steps[-1:]
        reports.step(step + 1, figures, rate=rate, seconds=seconds, is_spike=is_spike)
        return figures

    def _refuse(self, fault: Fault) -> NoReturn:
        """Stop before an update that must not be made, and write what its step read; all processes call this."""
        losses = self.updates.sample_losses(self.batches.rows)
        rows = read_samples(Samples(self.family, self.shards, self.order), fault.step, losses)
        if self.is_main:
            write_samples(self.folder, fault, rows)
        self.checkpoints.wait()  # to name the newest
        self.accelerator.wait_for_everyone()  # the error of one process ends the others
        raise self.guard.error(fault, rows)

    def _validate(self, reports: Reports, step: int, loss: float | None) -> None:
        losses = validation_losses(self.updates, self.family, self.shards, self.validation, self.accelerator)
        for key, value in losses.items():
            if not math.isfinite(value):
                self.checkpoints.wait()
                raise self.guard.error(Fault(step, key, value))
        reports.validation(step, losses, loss)

    def _checkpoint(self, reports: Reports, step: int, *, wait: bool) -> None:
        reports.sync()
        self.checkpoints.save(self._state(step))
        if wait:
            self.checkpoints.wait()

    def _state(self, step: int) -> State:
        return self.state.model_copy(update={"step": step, "device_seconds": self.device_seconds})

    def _export(self) -> Path:
        state = self._state(self.training.steps)
        path = self.folder.export(state.step)
        write_export(
            self.updates.model,
            state,
            self.family,
            self.run,
            tokens=self.shards.folder,
            path=path if self.is_main else None,
        )
        self.accelerator.wait_for_everyone()
        return path
