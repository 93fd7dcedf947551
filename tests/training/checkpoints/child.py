"""Trains runs in several processes: `torchrun -m tests.training.checkpoints.child TOKENS CASES [NODES]`.

CASES is a JSON list of objects with the keys `folder`, `sharding`, `changes` of the family, and `stop`: the step after
which the last process asks to stop, or null. With `fail`, this process cannot write its part of a checkpoint; with
`kill`, the last process kills itself at the nth call of a target (see `kills`). The first process prints a JSON list:
how each ended, with the code of an error. With NODES, the processes are told that they are on so many machines.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from tests.tiny import tiny_family
from tests.training.checkpoints.kills import kill_at


def end_of(case: dict[str, Any], tokens: Path, rank: int, world: int) -> str:
    from mixhub.errors import RunError
    from mixhub.training.checkpoints.writer import ShardWriter
    from mixhub.training.loop import train
    from mixhub.training.options import TrainOptions
    from mixhub.workspace.paths import RunFolder

    family, steps = tiny_family(**case["changes"]), itertools.count(1)
    options = TrainOptions(device="cpu", sharding=case["sharding"])
    problem = mock.patch.object(ShardWriter, "write_data", side_effect=OSError(28, "No space left on device"))
    if case.get("fail") == rank:
        problem.start()
    if "kill" in case and rank == world - 1:
        kill_at(*case["kill"])
    try:
        export = train(
            family,
            family.run(seed=1),
            tokens=tokens,
            folder=RunFolder(Path(case["folder"])),
            options=options,
            should_stop=lambda: next(steps) == case["stop"] and rank == world - 1,
        )
    except RunError as error:
        return error.code
    finally:
        mock.patch.stopall()
    return "stopped" if export is None else "finished"


def main() -> None:
    import torch

    from mixhub.training.launch import accelerated
    from mixhub.training.options import TrainOptions

    torch.set_num_threads(1)
    tokens, cases, *nodes = sys.argv[1:]
    if nodes:
        os.environ["LOCAL_WORLD_SIZE"] = str(int(os.environ["WORLD_SIZE"]) // int(nodes[0]))
    with accelerated(tiny_family().training, TrainOptions(device="cpu")) as accelerator:
        rank, world = accelerator.process_index, accelerator.num_processes
        ends = []
        for case in json.loads(cases):
            ends.append(end_of(case, Path(tokens), rank, world))
            accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            print(json.dumps(ends))


if __name__ == "__main__":
    main()
