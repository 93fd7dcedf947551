"""How often a step waits for the device: on CUDA, the processor must be ahead of it."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from mixhub.data.batches import StepBatch
from mixhub.training.model import build_model
from mixhub.training.options import TrainOptions
from mixhub.training.updates import Updates
from tests.tiny import tiny_family

WAITS = ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "__index__", "nonzero")


@pytest.mark.parametrize("change", [{}, {"document_boundaries": "reset", "rope_tables": "bfloat16"}])
def test_a_step_waits_for_the_device_once(change: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    family = tiny_family(training={"precision": "bfloat16", **change})
    model = build_model(family.llama, family.training, init_seed=1, eos_id=0)
    options = TrainOptions(device="cpu")
    domains = ("train_prose", "train_sums")
    updates = Updates(Accelerator(cpu=True), model, family.training, domains=domains, eos_id=0, options=options)
    tokens = np.random.default_rng(1).integers(0, 300, (4, 2, 17)).astype(np.uint16)
    batch = StepBatch(tokens, np.array([[0, 1]] * 4))
    waits: Counter[str] = Counter()

    def counting(name: str) -> None:
        plain = getattr(torch.Tensor, name)

        def counted(self: torch.Tensor, *args: object, **named: object) -> object:
            waits[name] += 1
            return plain(self, *args, **named)

        monkeypatch.setattr(torch.Tensor, name, counted)

    for step in range(2):
        updates.gradients(batch)
        updates.apply(step)
    for name in WAITS:
        counting(name)
    moved: dict[int, bool] = {}
    kept: list[torch.Tensor] = []  # or another tensor may get the id of one
    from_numpy, to = torch.from_numpy, torch.Tensor.to

    def made(values: Any) -> torch.Tensor:
        tensor = from_numpy(values)
        moved[id(tensor)] = False
        kept.append(tensor)
        return tensor

    def moving(self: torch.Tensor, *args: Any, **named: Any) -> torch.Tensor:
        if id(self) in moved:
            moved[id(self)] = named.get("non_blocking", False)
        return to(self, *args, **named)

    monkeypatch.setattr(torch, "from_numpy", made)
    monkeypatch.setattr(torch.Tensor, "to", moving)
    updates.gradients(batch)
    updates.apply(2)
    assert waits == {"tolist": 1}
    assert moved
    assert all(moved.values()), "a plain copy to the device waits for it"
