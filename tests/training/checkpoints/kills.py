"""Trains runs that kill themselves: `python -m tests.training.checkpoints.kills TOKENS CASES`.

CASES is a JSON list of objects with the keys `folder`, `changes` of the family, `target` and `nth`: the nth call of the
target, such as `mixhub.training.updates.Updates.apply`, is a SIGKILL. Each case is a process of its own. Prints a JSON
list: the signal that ended each, or 0.
"""

from __future__ import annotations

import json
import os
import pkgutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.tiny import tiny_family


def kill_at(target: str, nth: int) -> None:
    """Make the nth call of a function the end of this process."""
    owner, _, name = target.rpartition(".")
    holder = pkgutil.resolve_name(owner)
    called: Callable[..., Any] = getattr(holder, name)
    left = [nth]

    def killing(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return called(*arguments, **named)

    setattr(holder, name, killing)


def main() -> None:
    import torch

    from mixhub.training.loop import train
    from mixhub.training.options import TrainOptions
    from mixhub.workspace.paths import RunFolder

    tokens, cases = sys.argv[1:]
    ends = []
    for case in json.loads(cases):
        child = os.fork()  # before torch starts threads: a fork is much faster than to import it again
        if child == 0:
            torch.set_num_threads(1)
            kill_at(case["target"], case["nth"])
            family = tiny_family(**case["changes"])
            folder, options = RunFolder(Path(case["folder"])), TrainOptions(device="cpu")
            train(family, family.run(seed=1), tokens=Path(tokens), folder=folder, options=options)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        ends.append(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
    print(json.dumps(ends))


if __name__ == "__main__":
    main()
