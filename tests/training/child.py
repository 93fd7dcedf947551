"""Trains the tiny family in its own process: `python -m tests.training.child FOLDER TOKENS CHANGES [KILL_AT]`."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from mixhub.progress import SILENT, Bar
from mixhub.workspace.paths import RunFolder
from tests.tiny import tiny_family


class Killer:
    """Progress that kills its process after a number of advances."""

    def __init__(self, kill_at: int) -> None:
        self._left = kill_at

    def start(self, what: str, total: int | None, unit: str) -> AbstractContextManager[Bar]:
        return nullcontext(self)

    def notice(self, text: str) -> None:
        return

    def advance(self, amount: int = 1, note: str | None = None) -> None:
        self._left -= 1
        if self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    import torch

    from mixhub.training.loop import train
    from mixhub.training.options import TrainOptions

    torch.set_num_threads(1)
    folder, tokens, changes, *kill_at = sys.argv[1:]
    family = tiny_family(**json.loads(changes))
    progress = Killer(int(kill_at[0])) if kill_at else SILENT
    train(
        family,
        family.run(seed=1),
        tokens=Path(tokens),
        folder=RunFolder(Path(folder)),
        options=TrainOptions(device="cpu"),
        progress=progress,
    )


if __name__ == "__main__":
    main()
