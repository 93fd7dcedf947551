"""The checkpoints of a run on disk, a folder for each step."""

from __future__ import annotations

import errno
import secrets
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.optim import Optimizer
from transformers import LlamaForCausalLM

from mixhub.errors import RunError
from mixhub.files import delete_folder, disk_problem, replace_folder, write_json, write_text
from mixhub.spec import Training
from mixhub.spec.base import to_yaml
from mixhub.training.checkpoints.reader import first_failure, load_state
from mixhub.training.checkpoints.state import State, StoredFile, read_state
from mixhub.training.checkpoints.tensors import OptimizerTensors, file_numbers, weights
from mixhub.training.checkpoints.writer import ShardWriter, write_tensors
from mixhub.workspace.paths import STATE_FILE, RunFolder


class Checkpoints:
    """The checkpoints of a run; every process makes one of these, and calls each method at the same step.

    Use it as a context manager: on exit, a checkpoint that is being written is finished.

    Args:
        folder: the run's folder.
        model: has the weights, whole or sharded.
        optimizer: has their moments.
        training: says which checkpoints to keep.
        config: content of the `train_config.yaml` of a checkpoint.
        accelerator: connects the processes.
    """

    def __init__(
        self,
        folder: RunFolder,
        model: LlamaForCausalLM,
        optimizer: Optimizer,
        *,
        training: Training,
        config: Mapping[str, Any],
        accelerator: Accelerator,
    ) -> None:
        self._folder, self._model, self._optimizer = folder, model, optimizer
        self._training, self._config, self._accelerator = training, config, accelerator
        several = accelerator.num_processes > 1
        # Not the group of the training, whose exchanges go on while this one's wait for disks.
        self._group = dist.new_group(backend="gloo") if several else None
        # A process of a killed job may still write: its folder has another name.
        self._suffix: str = broadcast_object_list([secrets.token_hex(4)])[0] if several else secrets.token_hex(4)
        self._stager = DefaultStager(StagingOptions(False, False, False, False))
        self._saving: Future[object] | None = None
        self._step = 0

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.wait()
        except RunError:
            if error is None:
                raise
        finally:
            self._stager.close()

    def save(self, state: State) -> None:
        """Copy weights and moments, and begin to write a checkpoint of them; the training may go on.

        Raises:
            RunError: the checkpoint before it could not be written.
        """
        self.wait()
        moments = OptimizerTensors(self._model, self._optimizer).named()
        tensors = {"model": weights(self._model), "optimizer": moments}
        building = self._building(state.step)
        numbers = file_numbers(tensors, self._accelerator.num_processes)
        writer = ShardWriter(building, numbers, lambda files: self._complete(state, building, files))
        self._step = state.step
        staged = self._stager.stage(tensors)
        assert isinstance(staged, dict)  # a copy, as the stager has no option that defers it
        executor = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._saving = executor.submit(write_tensors, staged, writer, self._group)
        executor.shutdown(wait=False)

    def failed(self) -> bool:
        """Whether a checkpoint that was being written is known to have failed in this process; does not wait."""
        return self._saving is not None and self._saving.done() and self._saving.exception() is not None

    def wait(self) -> None:
        """Wait until the last checkpoint is on disk; raises RunError if it could not be written."""
        if self._saving is None:
            return
        saving, self._saving = self._saving, None
        try:
            saving.result()
        except (Exception, CheckpointException) as error:
            if self._accelerator.is_main_process:
                shutil.rmtree(self._building(self._step), ignore_errors=True)
            raise self._not_saved(error) from error

    def load(self, path: Path) -> None:
        """Load weights and moments; raises RunError if they cannot be read or do not fit."""
        load_state(path, read_state(path), self._model, self._optimizer, group=self._group)

    def _building(self, step: int) -> Path:
        path = self._folder.checkpoint(step)
        return path.with_name(f".tmp-{path.name}.{self._suffix}")

    def _complete(self, state: State, building: Path, files: Mapping[str, StoredFile]) -> None:
        """Turn the written files into a checkpoint, then delete those that it replaces; in the first process."""
        path = self._folder.checkpoint(state.step)
        write_text(building / self._folder.train_config.name, to_yaml(self._config))
        write_json(building / STATE_FILE, state.model_copy(update={"files": files}).to_data())
        replace_folder(path, building)
        for step in expired(self._folder.checkpoint_steps(), self._training):
            delete_folder(self._folder.checkpoint(step))

    def _not_saved(self, error: BaseException) -> RunError:
        path, steps = self._folder.checkpoint(self._step), self._folder.checkpoint_steps()
        last = f"the last checkpoint is {self._folder.checkpoint(steps[-1])}" if steps else "no checkpoint yet"
        cause = first_failure(error)
        code, reason = "checkpoint-failed", f"{type(cause).__name__}: {' '.join(str(cause).split())}"
        if (problem := disk_problem(cause)) is not None:
            code = "disk-read-only" if problem.errno == errno.EROFS else "disk-full"
            reason = str(problem.strerror)
        message = f"{path} could not be written, and {last}: {reason}"
        return RunError(message, code=code, path=path, checkpoints=tuple(steps), step=self._step)


def is_checkpoint(step: int, training: Training) -> bool:
    """Whether the recipe has a checkpoint after this step; the last step of a run has one too."""
    intervals = (training.checkpoint_interval, training.permanent_checkpoint_interval)
    return any(step % interval == 0 for interval in intervals if interval is not None)


def expired(steps: list[int], training: Training) -> list[int]:
    """Return which of the finished checkpoints to delete, the newest being the one just finished."""
    every = training.permanent_checkpoint_interval
    temporary = [step for step in steps if every is None or step % every]
    return temporary[: -training.keep_checkpoints]
