"""A tiny model with its optimizer and checkpoints, without a run around them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import safetensors.torch
import torch

from mixhub.training.checkpoints.store import Checkpoints
from mixhub.training.launch import accelerated
from mixhub.training.model import build_model
from mixhub.training.options import TrainOptions
from mixhub.training.updates import build_optimizer
from mixhub.workspace.paths import RunFolder
from tests.tiny import tiny_family

CPU = TrainOptions(device="cpu")


@contextmanager
def new_checkpoints(folder: RunFolder, **changes: Any) -> Iterator[tuple[Any, Any, Checkpoints]]:
    """A model, its optimizer after two updates, and their checkpoints."""
    family = tiny_family(**changes)
    with accelerated(family.training, CPU) as accelerator:
        model, optimizer = new_model(family)
        for _ in range(2):
            update(model, optimizer)
        config, training = family.train_config(family.run(seed=1)), family.training
        yield (
            model,
            optimizer,
            Checkpoints(folder, model, optimizer, training=training, config=config, accelerator=accelerator),
        )


def new_model(family: Any) -> tuple[Any, Any]:
    model = build_model(family.llama, family.training, init_seed=1, eos_id=0)
    return model, build_optimizer(model, family.training)


def update(model: Any, optimizer: Any) -> None:
    model(input_ids=torch.arange(8)[None]).logits.square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


def copies(model: Any, optimizer: Any) -> list[torch.Tensor]:
    moments = [value for state in optimizer.state_dict()["state"].values() for value in state.values()]
    return [tensor.detach().clone() for tensor in [*model.parameters(), *moments]]


def to_first_format(folder: RunFolder, model: Any, optimizer: Any) -> None:
    """Replace the newest checkpoint by one as the first version of mixhub wrote it."""
    path = folder.checkpoint(folder.checkpoint_steps()[-1])
    state = json.loads((path / "state.json").read_text())
    for file in path.iterdir():
        file.unlink()
    for key in ("files", "device", "processes", "sharding"):
        del state[key]
    (path / "state.json").write_text(json.dumps({**state, "format": 1}))
    safetensors.torch.save_file(dict(model.named_parameters()), path / "model.safetensors")
    torch.save(optimizer.state_dict(), path / "optimizer.pt")
