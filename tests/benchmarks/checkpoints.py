"""Checkpoints of a model of 29M parameters (353 MB with moments): how long training waits for them.

In turn: a save of mixhub, which goes on beside the training, and torch.save of weights and optimizer with a sync of the
file, as a bare loop does it.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

ROUNDS = 5
ARCHITECTURE = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "vocab_size": 50432,
}


def run() -> str:
    """The median wait for a checkpoint of each kind, and until it is on disk."""
    import torch

    from mixhub.training.checkpoints.state import State
    from mixhub.workspace.paths import RunFolder
    from tests.training.checkpoints.models import new_checkpoints, update

    digest = "0" * 64
    state = State(step=0, train_config_sha256=digest, corpus_sha256=digest, initial_weights_sha256=digest, versions={})
    waits, durable, plain = [], [], []
    torch.set_num_threads(1)
    with (
        tempfile.TemporaryDirectory() as folder,
        new_checkpoints(RunFolder(Path(folder)), architecture=ARCHITECTURE) as (model, optimizer, checkpoints),
        checkpoints,
    ):
        for step in range(1, ROUNDS + 2):
            begun = time.perf_counter()
            checkpoints.save(state.model_copy(update={"step": step}))
            waits.append(time.perf_counter() - begun)
            checkpoints.wait()
            durable.append(time.perf_counter() - begun)
            plain.append(_seconds_of_torch_save(Path(folder) / "plain.pt", model, optimizer))
            update(model, optimizer)
    ours, disk, theirs = (statistics.median(times[1:]) for times in (waits, durable, plain))  # the first allocates
    return (
        f"training waits {1000 * ours:.0f} ms for a checkpoint, {theirs / ours:.1f} times less than for torch.save "
        f"({1000 * theirs:.0f} ms); it is on disk, with hashes, after {1000 * disk:.0f} ms"
    )


def _seconds_of_torch_save(path: Path, model: Any, optimizer: Any) -> float:
    import torch

    begun = time.perf_counter()
    with path.open("wb") as file:
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - begun
