"""Updates of the tiny family in one or more processes: `python -m tests.training.parallel_child OUT TOKENS CASES`.

CASES is a JSON list of objects, all of one precision, each with the keys `sharding`, `steps` and `changes` of the
family. The first process writes for each a file `OUT/<number>.pt` with its figures, and its whole weights before and
after.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.tiny import tiny_family


def updates_of(accelerator: Any, tokens: Path, case: dict[str, Any]) -> dict[str, Any]:
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
    from torch.distributed.tensor import DTensor

    from mixhub.data.batches import TrainingBatches, validation_starts
    from mixhub.data.orders.choice import order_of
    from mixhub.data.shards import TokenShards
    from mixhub.training.model import build_model
    from mixhub.training.options import TrainOptions
    from mixhub.training.updates import Updates
    from mixhub.training.validation import validation_losses

    def whole() -> dict[str, Any]:
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        return {name: weight.clone() for name, weight in get_model_state_dict(model, options=options).items()}

    def held(weight: Any) -> int:
        return int((weight.to_local() if isinstance(weight, DTensor) else weight).numel())

    family = tiny_family(**case["changes"])
    run, training, shards = family.run(seed=1), family.training, TokenShards(tokens, family.training.sequence_length)
    order = order_of(family, run, shards.manifest)
    rank, world = accelerator.process_index, accelerator.num_processes
    batches = TrainingBatches(shards, order, family.data.train_prefix, training, rank=rank, world=world)
    model = build_model(family.llama, training, init_seed=1, eos_id=0, is_empty=rank > 0)
    options = TrainOptions(device="cpu", sharding=case["sharding"])
    updates = Updates(accelerator, model, training, domains=order.domains, eos_id=0, options=options)
    result: dict[str, Any] = {"before": whole(), "figures": []}
    for step in range(case["steps"]):
        figures = updates.gradients(batches.step(step), stop=step == 3 and rank == world - 1)
        updates.apply(step)
        result["figures"].append(figures._asdict())
    result["held"] = sum(held(weight) for weight in model.parameters())
    starts = validation_starts(family, family.run(seed=1), shards.manifest)
    result["validation"] = validation_losses(updates, family, shards, starts, accelerator)
    return {**result, "after": whole()}


def main() -> None:
    import torch

    from mixhub.training.launch import accelerated
    from mixhub.training.options import TrainOptions

    torch.set_num_threads(1)
    out, tokens, cases = sys.argv[1:]
    listed = json.loads(cases)
    with accelerated(tiny_family(**listed[0]["changes"]).training, TrainOptions(device="cpu")) as accelerator:
        for number, case in enumerate(listed):
            result = updates_of(accelerator, Path(tokens), case)
            if accelerator.is_main_process:
                torch.save(result, Path(out) / f"{number}.pt")


if __name__ == "__main__":
    main()
