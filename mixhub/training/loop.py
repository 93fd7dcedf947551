"""The training loop."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from mixhub.data.batches import TokenShards, TrainingBatches, validation_batches
from mixhub.data.order import order_of, seedless
from mixhub.errors import RunError
from mixhub.files import clear_leftovers, locked
from mixhub.progress import SILENT, Bar, Progress
from mixhub.spec import Family, Run, Training
from mixhub.spec.base import data_sha256
from mixhub.spec.schedule import learning_rate, tokens_per_step
from mixhub.training.checkpoints import State, load_checkpoint, read_state, save_checkpoint, state_of
from mixhub.training.export import TrainedModel, saved_weights_sha256, write_export
from mixhub.training.metrics import MetricsWriter
from mixhub.training.model import build_model, next_token_loss
from mixhub.training.resume import finished_export, settle_recipe
from mixhub.workspace.manifest import Manifest
from mixhub.workspace.paths import RunFolder

DEVICES = ("cpu", "cuda")

_LOG = logging.getLogger("mixhub.training")
"""Says where a run goes on, and what each validation found, for those who see no bar."""

_LAUNCHED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher sets beside WORLD_SIZE."""


def train(
    family: Family,
    run: Run,
    *,
    tokens: Path,
    folder: RunFolder,
    device: str | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Trains a run to its last step, from its newest checkpoint or from the start, and exports it.

    A run that was killed goes on from its newest checkpoint; on the CPU, with the same number of processes, its weights
    and metrics are then bit for bit those of a run that was not killed. A run that is trained already is left alone.
    Under torchrun or `accelerate launch` the global batch is split over the processes; every process calls this.

    Args:
        family: the recipe.
        run: the seed or index.
        tokens: folder of token shards, as `mixhub.data.pack.pack` makes it.
        folder: where checkpoints, metrics and the export go.
        device: "cpu" or "cuda"; None takes CUDA where there is one.
        progress: counts steps.

    Returns:
        The folder of the export.

    Raises:
        RunError: the run cannot be trained (its seed is not known, its order is not built, its recipe or its tokens
            have changed, the device is not there), or its loss is not finite.
        CorpusError: there are no tokens, they lack a domain, or a domain is smaller than a sequence.
        WorkspaceError: another process trains the run.
    """
    if (export := finished_export(family, run, folder)) is not None:
        return export
    init_seed = _require_trainable(family, run)
    shards = TokenShards(tokens, family.training.sequence_length)
    manifest = shards.manifest.for_family(family)  # here, so that a refusal leaves no run folder
    with _accelerated(family.training, device) as accelerator, _held(folder, run, accelerator):
        if accelerator.is_main_process:
            for path in (folder.path, folder.checkpoints, folder.exports):
                clear_leftovers(path)
            settle_recipe(family, run, folder)
        accelerator.wait_for_everyone()
        trainer = _Trainer(accelerator, family, run, shards, manifest, folder, init_seed)
        return trainer.train(progress if accelerator.is_main_process else SILENT)


class _Trainer:
    """One run in one process."""

    def __init__(
        self,
        accelerator: Accelerator,
        family: Family,
        run: Run,
        shards: TokenShards,
        manifest: Manifest,
        folder: RunFolder,
        init_seed: int,
    ) -> None:
        self.accelerator, self.family, self.run, self.folder = accelerator, family, run, folder
        self.shards, self.manifest = shards, manifest
        self.training = family.training
        prefix = family.data.train_prefix
        sampled = {key: self.shards.sequences("train", key.removeprefix(prefix)) for key in run.mixture.shares}
        self.batches = TrainingBatches(
            self.shards,
            order_of(run, self.training, sampled),
            prefix,
            self.training,
            rank=accelerator.process_index,
            world=accelerator.num_processes,
        )
        self.model = build_model(
            family.architecture, self.training, init_seed=init_seed, eos_id=self.manifest.eos_id
        )  # the bare model
        self.parallel = accelerator.prepare_model(self.model)  # the same weights, gradients averaged over processes
        self.parameters = list(self.model.parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=self.training.learning_rate,
            betas=(self.training.beta1, self.training.beta2),
            eps=self.training.adam_epsilon,
            weight_decay=self.training.weight_decay,
        )

    def train(self, progress: Progress) -> Path:
        """All steps that are left, then the export."""
        state = self._resume()
        resumed = state is not None
        loss: float | None = None
        if state is None:
            state = self._start()
        first, last = state.step, self.training.steps
        with (
            progress.start(f"train {self.run.revision}", last, "step") as bar,
            self._metrics(first if resumed else None) as metrics,
        ):
            bar.advance(first)
            if not resumed:
                self._validate(metrics, 0, loss)
            for step in range(first, last):
                loss = self._step(metrics, step, bar)
                done = step + 1
                if done % self.training.validation_interval == 0 or done == last:
                    self._validate(metrics, done, loss)
                if done % self.training.checkpoint_interval == 0 or done == last:
                    self._checkpoint(metrics, state.model_copy(update={"step": done}))
        return self._export(state)

    def _resume(self) -> State | None:
        steps = self.folder.checkpoint_steps()
        if not steps:
            return None
        path = self.folder.checkpoint(steps[-1])
        state = read_state(path)
        for key, now in (("train_config", self._train_config_sha256), ("corpus", self.manifest.sha256())):
            if (then := getattr(state, f"{key}_sha256")) != now:
                what = "the tokens" if key == "corpus" else "train_config.yaml"
                raise RunError(
                    f"{path}: {what} changed since this checkpoint (sha256 {then[:12]}, now {now[:12]})",
                    code="tokens-changed" if key == "corpus" else "recipe-differs",
                    hint=f"restore them, or delete or rename {self.folder.path} to train {self.run.revision} anew",
                    path=path,
                )
        load_checkpoint(path, self.model, self.optimizer)
        self._log(f"goes on from step {state.step} of {self.training.steps}")
        return state

    def _start(self) -> State:
        # Only the main process writes checkpoints, so the others need no hash of what they would write.
        main = self.accelerator.is_main_process
        return state_of(
            0,
            train_config_sha256=self._train_config_sha256,
            corpus_sha256=self.manifest.sha256(),
            initial_weights_sha256=saved_weights_sha256(self.model, self.folder.path) if main else "0" * 64,
        )

    @property
    def _train_config_sha256(self) -> str:
        return data_sha256(self.family.train_config(self.run))

    def _metrics(self, from_step: int | None) -> MetricsWriter | nullcontext[None]:
        if self.accelerator.is_main_process:
            return MetricsWriter(self.folder.metrics, from_step=from_step)
        return nullcontext()

    def _step(self, metrics: MetricsWriter | None, step: int, bar: Bar) -> float:
        """One update; returns the loss before it."""
        started = time.perf_counter()
        rate = rate_at(step, self.training)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self._backward(step)
        gradients = [weight.grad for weight in self.parameters if weight.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        self._require_finite(step + 1, loss=loss, grad_norm=norm.item())
        if self.training.gradient_clip is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.training.gradient_clip, norm)
        self.optimizer.step()
        per_step = tokens_per_step(self.training.global_batch_size, self.training.sequence_length)
        if metrics is not None:
            metrics.write(
                {
                    "step": step + 1,
                    "loss": loss,
                    "learning_rate": rate,
                    "grad_norm": norm.item(),
                    "tokens": (step + 1) * per_step,
                    "tokens_per_second": round(per_step / (time.perf_counter() - started), 1),
                }
            )
        bar.advance(note=f"loss {loss:.3f}")
        return loss

    def _backward(self, step: int) -> float:
        """Gradients of the mean loss over the global batch; returns that loss."""
        self.optimizer.zero_grad()
        micro_steps = self.batches.micro_steps
        total = torch.zeros((), device=self.accelerator.device)
        for micro_step in range(micro_steps):
            tokens = torch.from_numpy(self.batches.batch(step, micro_step)).to(self.accelerator.device)  # (B, T + 1)
            last = micro_step == micro_steps - 1
            with nullcontext() if last else self.accelerator.no_sync(self.parallel):
                with self.accelerator.autocast():
                    loss = next_token_loss(self.parallel, tokens)
                self.accelerator.backward(loss / micro_steps)
            total += loss.detach()
        return float(self.accelerator.reduce(total / micro_steps, reduction="mean"))

    @torch.no_grad()
    def _validate(self, metrics: MetricsWriter | None, step: int, loss: float | None) -> None:
        training, prefix = self.training, self.family.data.valid_prefix
        losses = {}
        for key in self.family.validation.shares:
            total, targets = 0.0, 0
            for batch in validation_batches(
                self.shards,
                key.removeprefix(prefix),
                training.validation_sequences,
                training.micro_batch_size,
                rank=self.accelerator.process_index,
                world=self.accelerator.num_processes,
            ):
                tokens = torch.from_numpy(batch).to(self.accelerator.device)  # (B, T + 1)
                with self.accelerator.autocast():
                    total += next_token_loss(self.model, tokens, reduction="sum").item()
                targets += tokens[:, 1:].numel()
            sums = torch.tensor([total, targets], dtype=torch.float64, device=self.accelerator.device)
            total, targets = self.accelerator.reduce(sums, reduction="sum").tolist()
            losses[key] = total / targets
        self._require_finite(step, **losses)
        if metrics is not None:
            metrics.write({"step": step, "validation": losses})
        shown = ", ".join(f"{key.removeprefix(prefix)} {value:.3f}" for key, value in losses.items())
        self._log(
            f"step {step} of {training.steps}", *([] if loss is None else [f"loss {loss:.3f}"]), f"validation {shown}"
        )

    def _log(self, *parts: str) -> None:
        if self.accelerator.is_main_process:
            _LOG.info("%s: %s", self.run.revision, ", ".join(parts))

    def _checkpoint(self, metrics: MetricsWriter | None, state: State) -> None:
        if metrics is not None:
            metrics.sync()
            save_checkpoint(self.folder, self.model, self.optimizer, state, keep=self.training.keep_checkpoints)
        self.accelerator.wait_for_everyone()

    def _export(self, state: State) -> Path:
        if self.accelerator.is_main_process:
            trained = TrainedModel(
                self.model,
                self.training.steps,
                state.initial_weights_sha256,
                device=self.accelerator.device.type,
                processes=self.accelerator.num_processes,
            )
            write_export(
                trained,
                self.family,
                self.run,
                tokens=self.shards.folder,
                manifest=self.manifest,
                folder=self.folder,
            )
        self.accelerator.wait_for_everyone()
        return self.folder.export(self.training.steps)

    def _require_finite(self, step: int, **figures: float) -> None:
        for name, value in figures.items():
            if not math.isfinite(value):
                steps = self.folder.checkpoint_steps()
                kept = f"the last checkpoint is {self.folder.checkpoint(steps[-1])}" if steps else "no checkpoint yet"
                raise RunError(
                    f"{self.run.family}, {self.run.revision}: {name} is {value} at step {step}; {kept}",
                    code="training-diverged",
                    hint="lower training.learning_rate or lengthen training.warmup_steps, and train anew",
                    step=step,
                    checkpoints=tuple(steps),
                    figure=name,
                    value=value,
                )


def rate_at(step: int, training: Training) -> float:
    """Learning rate of the update that follows `step` updates."""
    return learning_rate(
        step,
        steps=training.steps,
        peak=training.learning_rate,
        minimum=training.min_learning_rate,
        warmup_steps=training.warmup_steps,
        schedule=training.schedule,
        micro_steps=training.lr_micro_steps,
    )


def _require_trainable(family: Family, run: Run) -> int:
    """The init seed; refuses a run before anything heavy is made for it."""
    if run.init_seed is None:
        raise seedless(run, "init_seed")
    order_of(run, family.training.model_copy(update={"steps": 0}), dict.fromkeys(run.mixture.shares, 1))
    return run.init_seed


@contextmanager
def _accelerated(training: Training, device: str | None) -> Iterator[Accelerator]:
    if device is not None and device not in DEVICES:
        raise RunError(
            f"device = {device!r}: must be one of {', '.join(DEVICES)}",
            code="option-value",
            hint="leave it out, or give cpu",
            option="device",
            value=device,
        )
    wanted = device or ("cuda" if torch.cuda.is_available() else "cpu")
    _require_launched()
    alone = not torch.distributed.is_initialized()
    if alone:
        # Accelerate keeps the precision and device of the first Accelerator of a process, whoever made it.
        AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=wanted == "cpu", mixed_precision="bf16" if training.precision == "bfloat16" else "no")
    try:
        _require_as_asked(accelerator, wanted)
        yield accelerator
    finally:
        if alone and torch.distributed.is_initialized():
            accelerator.end_training()
            AcceleratorState._reset_state(reset_partial_state=True)


def _require_launched() -> None:
    world = os.environ.get("WORLD_SIZE", "1")
    missing = [name for name in _LAUNCHED if name not in os.environ]
    if world != "1" and missing:
        raise RunError(
            f"WORLD_SIZE = {world}, but {', '.join(missing)} is not set: the other processes cannot be found",
            code="launch-incomplete",
            hint="launch with torchrun --nproc-per-node N, or unset WORLD_SIZE",
            missing=tuple(missing),
        )


def _require_as_asked(accelerator: Accelerator, device: str) -> None:
    """Accelerate falls back without a word; here what was asked for and not got is refused."""
    if accelerator.device.type != device:
        raise RunError(
            f"asked to train on {device}, but the device is {accelerator.device.type}",
            code="device-unavailable",
            hint="train on a machine that has one, or give the device that this one has",
            device=device,
        )
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != world:
        raise RunError(
            f"WORLD_SIZE = {world}, but Accelerate sees {accelerator.num_processes} process",
            code="launch-incomplete",
            hint="launch with torchrun --nproc-per-node N, or unset WORLD_SIZE",
        )
    data_parallel = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)
    if accelerator.distributed_type not in data_parallel:
        raise RunError(
            f"Accelerate was told to use {accelerator.distributed_type.value}, which is not built yet",
            code="parallelism-unsupported",
            hint="launch without it: the processes then hold a whole model each (DDP)",
        )


@contextmanager
def _held(folder: RunFolder, run: Run, accelerator: Accelerator) -> Iterator[None]:
    """The run's lock, in the main process."""
    with (
        locked(folder.lock, f"{run.family}, {run.revision} is being trained")
        if accelerator.is_main_process
        else (nullcontext())
    ):
        yield
