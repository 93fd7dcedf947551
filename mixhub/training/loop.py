"""The training loop."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple, TextIO

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from mixhub.data.batches import StepBatch, TrainingBatches, validation_batches
from mixhub.data.orders.choice import order_of
from mixhub.data.shards import Tokens, TokenShards
from mixhub.errors import RunError
from mixhub.files import clear_leftovers, locked
from mixhub.progress import SILENT, Bar, Progress
from mixhub.spec import Family, Run, Training
from mixhub.spec.base import data_sha256
from mixhub.spec.schedule import learning_rate, tokens_per_step
from mixhub.training.checkpoints import PACKAGES, State, load_checkpoint, read_state, require_unchanged, save_checkpoint
from mixhub.training.export import saved_weights_sha256, write_export
from mixhub.training.metrics import open_metrics, write_metrics
from mixhub.training.model import NextTokenLosses, build_model
from mixhub.training.resume import finished_export, require_trainable, write_recipe
from mixhub.workspace.lineage import versions
from mixhub.workspace.paths import RunFolder

DEVICES = ("cpu", "cuda")

_LOG = logging.getLogger("mixhub.training")
"""Reports where a run resumes and the result of each validation, for users without a progress bar."""

_LAUNCHER_VARIABLES = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher sets beside WORLD_SIZE."""
_LAUNCH_HINT = "launch with torchrun --nproc-per-node N, or unset WORLD_SIZE"


def train(
    family: Family,
    run: Run,
    *,
    tokens: Path,
    folder: RunFolder,
    device: str | None = None,
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
        device: "cpu" or "cuda"; None uses CUDA if available.
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
    with _accelerated(family.training, device) as accelerator:
        main = accelerator.is_main_process
        with locked(folder.lock, f"{run.family}, {run.revision} is being trained") if main else nullcontext():
            if main:
                for path in (folder.path, folder.checkpoints, folder.exports):
                    clear_leftovers(path)
                write_recipe(family, run, folder)
            accelerator.wait_for_everyone()
            trainer = _Trainer(accelerator, family, run, shards, folder, should_stop)
            return trainer.train(progress if main else SILENT)


class _Figures(NamedTuple):
    """What is known of a step before its update, the same in all processes."""

    loss: float
    """Mean loss of the global batch, in nats per token."""
    domains: dict[str, float]
    """The same for the tokens of each domain in it."""
    grad_norm: float
    """Norm of the gradient, before clipping."""
    is_stopped: bool
    """Whether a process was asked to stop."""


class _Trainer:
    """One run in one process."""

    def __init__(
        self,
        accelerator: Accelerator,
        family: Family,
        run: Run,
        shards: TokenShards,
        folder: RunFolder,
        should_stop: Callable[[], bool],
    ) -> None:
        assert run.init_seed is not None
        self.should_stop = should_stop
        self.accelerator, self.family, self.run, self.folder, self.shards = accelerator, family, run, folder, shards
        self.manifest = manifest = shards.manifest.for_family(family)
        self.training = training = family.training
        prefix = family.data.train_prefix
        self.order = order_of(family, run, manifest)
        rank, world = accelerator.process_index, accelerator.num_processes
        self.batches = TrainingBatches(shards, self.order, prefix, training, rank=rank, world=world)
        self.model = build_model(family.architecture, training, init_seed=run.init_seed, eos_id=manifest.eos_id)
        self.losses = NextTokenLosses(self.model, manifest.eos_id if training.document_boundaries == "reset" else None)
        self.parallel = accelerator.prepare_model(self.losses)  # the same weights, gradients averaged over processes
        self.domains = self.order.domains
        self.parameters = list(self.model.parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=training.learning_rate,
            betas=(training.beta1, training.beta2),
            eps=training.adam_epsilon,
            weight_decay=training.weight_decay,
            fused=True,
        )

    def train(self, progress: Progress) -> Path | None:
        """Train the remaining steps, then export; None if asked to stop."""
        state = self._resume() or self._start()
        first, last, main = state.step, self.training.steps, self.accelerator.is_main_process
        for line in self.order.notices:
            progress.notice(line)
        with (
            closing(self.batches.steps(first, last)) as batches,
            progress.start(f"train {self.run.revision}", last, "step") as bar,
            open_metrics(self.folder.metrics, first) if main else nullcontext() as metrics,
        ):
            bar.advance(first)
            if first == 0:
                self._validate(metrics, 0, None)
            for step in range(first, last):
                figures = self._step(metrics, step, batches, bar)
                done = step + 1
                if done % self.training.validation_interval == 0 or done == last:
                    self._validate(metrics, done, figures.loss)
                if done % self.training.checkpoint_interval == 0 or done == last or figures.is_stopped:
                    self._checkpoint(metrics, state.model_copy(update={"step": done}))
                if figures.is_stopped and done < last:
                    return None
        return self._export(state.model_copy(update={"step": last}))

    def _resume(self) -> State | None:
        if not (steps := self.folder.checkpoint_steps()):
            return None
        path = self.folder.checkpoint(steps[-1])
        state = read_state(path)
        require_unchanged(path, state, self.family, self.run, self.manifest)
        load_checkpoint(path, self.model, self.optimizer)
        self._log(f"resumes from step {state.step} of {self.training.steps}")
        return state

    def _start(self) -> State:
        main = self.accelerator.is_main_process  # the others write no checkpoints, so they need no hash
        return State(
            step=0,
            train_config_sha256=data_sha256(self.family.train_config(self.run)),
            corpus_sha256=self.manifest.sha256(),
            initial_weights_sha256=saved_weights_sha256(self.model, self.folder.path) if main else "0" * 64,
            versions=versions(*PACKAGES),
        )

    def _step(self, metrics: TextIO | None, step: int, batches: Iterator[StepBatch], bar: Bar) -> _Figures:
        """Make one update."""
        started = time.perf_counter()
        rate = learning_rate(step, self.training)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        sums = self._backward(next(batches))
        norm = torch.nn.utils.get_total_norm([weight.grad for weight in self.parameters if weight.grad is not None])
        figures = self._figures(sums, norm)
        self._require_finite(step + 1, loss=figures.loss, grad_norm=figures.grad_norm)
        if self.training.gradient_clip is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.training.gradient_clip, norm)
        self.optimizer.step()
        per_step = tokens_per_step(self.training.global_batch_size, self.training.sequence_length)
        if metrics is not None:
            line = {"step": step + 1, "loss": figures.loss, "learning_rate": rate, "grad_norm": figures.grad_norm}
            speed = round(per_step / (time.perf_counter() - started), 1)
            line |= {"tokens": (step + 1) * per_step, "tokens_per_second": speed}
            write_metrics(metrics, {**line, "domains": figures.domains})
        bar.advance(note=f"loss {figures.loss:.3f}")
        return figures

    def _backward(self, batch: StepBatch) -> torch.Tensor:
        """Compute the gradients of the mean loss over the global batch.

        Returns:
            (2, D), for each domain the sum of the losses of its tokens here, and their number.
        """
        self.optimizer.zero_grad()
        training, device = self.training, self.accelerator.device
        # The gradients are averaged over the processes, and so is the loss that they belong to.
        share = self.accelerator.num_processes / tokens_per_step(training.global_batch_size, training.sequence_length)
        sums = torch.zeros(2, len(self.domains), dtype=torch.float64, device=device)
        domains = torch.from_numpy(batch.domains).to(device)  # (M, B)
        for micro_step, rows in enumerate(batch.tokens):
            is_last = micro_step == len(batch.tokens) - 1
            with nullcontext() if is_last else self.accelerator.no_sync(self.parallel):
                with self.accelerator.autocast():
                    losses = self.parallel(self._on_device(rows))  # (B, T)
                self.accelerator.backward(losses.sum() * share)
            by_row = losses.detach().double().sum(1)  # (B,)
            sums[0].index_add_(0, domains[micro_step], by_row)
            sums[1].index_add_(0, domains[micro_step], torch.full_like(by_row, losses.shape[1]))
        return sums

    def _figures(self, sums: torch.Tensor, norm: torch.Tensor) -> _Figures:
        """Return the figures of a step, with one exchange between the processes and one wait for the device."""
        asked = torch.full((1,), float(self.should_stop()), dtype=sums.dtype, device=sums.device)
        ours = self.accelerator.reduce(torch.cat([sums.flatten(), asked]), reduction="sum")
        *flat, times_asked, grad_norm = torch.cat([ours, norm.double()[None]]).tolist()
        totals, counts = flat[: len(self.domains)], flat[len(self.domains) :]
        pairs = zip(self.domains, totals, counts, strict=True)
        by_domain = {domain: total / count for domain, total, count in pairs if count}
        return _Figures(math.fsum(totals) / math.fsum(counts), by_domain, grad_norm, times_asked > 0)

    def _on_device(self, batch: Tokens) -> torch.Tensor:
        """Move a batch in the narrow type of the shards, which is cast on the device; (B, T + 1)."""
        return torch.from_numpy(batch).to(self.accelerator.device).long()

    @torch.no_grad()
    def _validate(self, metrics: TextIO | None, step: int, loss: float | None) -> None:
        training, prefix, device = self.training, self.family.data.valid_prefix, self.accelerator.device
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        most, size = training.validation_sequences, training.micro_batch_size
        losses = {}
        for key in self.family.validation.shares:
            total, targets = 0.0, 0
            domain = key.removeprefix(prefix)
            for batch in validation_batches(self.shards, domain, most, size, rank=rank, world=world):
                with self.accelerator.autocast():
                    batch_losses = self.losses(self._on_device(batch))  # (B, T)
                total += batch_losses.double().sum().item()
                targets += batch_losses.numel()
            sums = torch.tensor([total, targets], dtype=torch.float64, device=device)
            total, targets = self.accelerator.reduce(sums, reduction="sum").tolist()
            losses[key] = total / targets
        self._require_finite(step, **losses)
        if metrics is not None:
            write_metrics(metrics, {"step": step, "validation": losses})
        figures = ", ".join(f"{key.removeprefix(prefix)} {value:.3f}" for key, value in losses.items())
        trained = "" if loss is None else f", loss {loss:.3f}"
        self._log(f"step {step} of {training.steps}{trained}, validation {figures}")

    def _log(self, text: str) -> None:
        if self.accelerator.is_main_process:
            _LOG.info("%s: %s", self.run.revision, text)

    def _checkpoint(self, metrics: TextIO | None, state: State) -> None:
        if metrics is not None:
            os.fsync(metrics.fileno())  # before the checkpoint, which relies on the lines
            save_checkpoint(self.folder, self.model, self.optimizer, state, keep=self.training.keep_checkpoints)
        self.accelerator.wait_for_everyone()

    def _export(self, state: State) -> Path:
        if self.accelerator.is_main_process:
            tokens, folder = self.shards.folder, self.folder
            device, processes = self.accelerator.device.type, self.accelerator.num_processes
            write_export(
                self.model,
                state,
                self.family,
                self.run,
                tokens=tokens,
                folder=folder,
                device=device,
                processes=processes,
            )
        self.accelerator.wait_for_everyone()
        return self.folder.export(state.step)

    def _require_finite(self, step: int, **figures: float) -> None:
        for name, value in figures.items():
            if not math.isfinite(value):
                steps = tuple(self.folder.checkpoint_steps())
                last = f"the last checkpoint is {self.folder.checkpoint(steps[-1])}" if steps else "no checkpoint yet"
                message = f"{self.run.family}, {self.run.revision}: {name} is {value} at step {step}; {last}"
                raise RunError(
                    message, code="training-diverged", checkpoints=steps, step=step, figure=name, value=value
                )


@contextmanager
def _accelerated(training: Training, device: str | None) -> Iterator[Accelerator]:
    if device is not None and device not in DEVICES:
        message = f"device = {device!r}: must be one of {', '.join(DEVICES)}"
        raise RunError(message, code="option-value", option="device", value=device)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    world = os.environ.get("WORLD_SIZE", "1")
    missing = tuple(name for name in _LAUNCHER_VARIABLES if name not in os.environ)
    if world != "1" and missing:
        message = f"WORLD_SIZE = {world}, but {', '.join(missing)} is not set, which the processes need to connect"
        raise RunError(message, code="launch-incomplete", hint=_LAUNCH_HINT, missing=missing)
    alone = not torch.distributed.is_initialized()
    if alone:
        # Accelerate keeps the precision and device of the first Accelerator of a process, whoever made it.
        AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision="bf16" if training.precision == "bfloat16" else "no")
    try:
        _require_requested(accelerator, device, int(world))
        yield accelerator
    finally:
        if alone and torch.distributed.is_initialized():
            accelerator.end_training()
            AcceleratorState._reset_state(reset_partial_state=True)


def _require_requested(accelerator: Accelerator, device: str, world: int) -> None:
    """Raise RunError if Accelerate fell back to another device or number of processes, which it does silently."""
    if accelerator.device.type != device:
        message = f"device = {device}: not available on this machine, which has {accelerator.device.type}"
        raise RunError(message, code="device-unavailable", device=device)
    if accelerator.num_processes != world:
        message = f"WORLD_SIZE = {world}, but Accelerate has {accelerator.num_processes} process"
        raise RunError(message, code="launch-incomplete", hint=_LAUNCH_HINT)
    kind = accelerator.distributed_type
    if kind not in (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU):
        raise RunError(f"Accelerate is configured for {kind.value}, but only DDP works", code="parallelism-unsupported")
