"""Training steps in float32 on one thread, each trainer in processes of its own: CPU time a step, and memory.

The model, the batch and fused AdamW are the same: hidden size 256, 4 layers, 50,432 ids, 2 sequences of 512 tokens.
Memory is the peak of the process over these steps, less what it held before the first and the gradients and moments
that follow.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from mixhub.progress import Bar
from tests.benchmarks.memory import peak, resident
from tests.tiny import tiny_family, write_tiny_corpus

ROUNDS, WARMUP, STEPS = 3, 2, 6
BATCH, LENGTH = 2, 512
FAMILY = tiny_family(
    architecture={
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "max_position_embeddings": LENGTH,
        "vocab_size": 50432,
    },
    mixture={"train_prose": 1.0},
    validation={"valid_prose": 1.0},
    training={
        "sequence_length": LENGTH,
        "global_batch_size": BATCH,
        "micro_batch_size": BATCH,
        "steps": WARMUP + STEPS,
        "validation_interval": 1000,
        "validation_sequences": 1,
        "checkpoint_interval": 1000,
    },
)


def run() -> str:
    """CPU time and memory of each trainer, over those of the bare loop."""
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in TRAINERS}
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(ROUNDS):
            for name in TRAINERS:
                folder = Path(scratch) / f"{name}-{number}"
                command = [sys.executable, "-m", "tests.benchmarks.trainer", name, str(folder)]
                environ = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
                done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=True)
                measured[name].append(tuple(json.loads(done.stdout.splitlines()[-1])))
    seconds = {name: statistics.median(one[0] for one in rounds) for name, rounds in measured.items()}
    memory = {name: statistics.median(one[1] for one in rounds) for name, rounds in measured.items()}
    parts = [
        f"{name} {seconds[name]:.2f} s and {memory[name]:.0f} MB (speed {seconds['bare loop'] / seconds[name]:.2f} ×, "
        f"memory {memory[name] / memory['bare loop']:.2f} × of the bare loop)"
        for name in TRAINERS
    ]
    return f"a step takes: {'; '.join(parts)}"


class Watch:
    """Measures each step, from the third on."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._before: float | None = None
        self._held = self._peak = 0.0

    def begin(self) -> None:
        self._held = resident()
        self._before = time.process_time()

    def step(self) -> None:
        now = time.process_time()
        if self._before is not None:
            self.seconds.append(now - self._before)
        self._peak = peak()  # of the steps: checkpoint and export come after the last one
        self._before = now

    def report(self) -> None:
        state = 3 * 4 * FAMILY.architecture.parameters / 1e6  # gradients and two moments in float32
        print(json.dumps([statistics.median(self.seconds[WARMUP:]), self._peak - self._held - state]))


def _model() -> Any:
    from mixhub.training.model import build_model

    return build_model(FAMILY.architecture, FAMILY.training, init_seed=1, eos_id=0)


def _batches() -> Iterator[Any]:
    import torch

    draw = torch.Generator().manual_seed(1)
    for _ in range(WARMUP + STEPS):
        yield torch.randint(300, (BATCH, LENGTH), generator=draw)


def _optimizer(model: Any) -> Any:
    import torch

    return torch.optim.AdamW(model.parameters(), lr=0.01, betas=(0.9, 0.95), weight_decay=0.1, fused=True)


def bare_loop(watch: Watch, folder: Path) -> None:
    import torch

    model = _model().train()
    optimizer = _optimizer(model)
    watch.begin()
    for ids in _batches():
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        watch.step()


def accelerate_example(watch: Watch, folder: Path) -> None:
    from accelerate import Accelerator
    from torch.utils.data import DataLoader

    accelerator = Accelerator(cpu=True)
    model = _model().train()
    rows = [row for batch in _batches() for row in batch]
    model, optimizer, loader = accelerator.prepare(model, _optimizer(model), DataLoader(rows, batch_size=BATCH))
    watch.begin()
    for ids in loader:
        with accelerator.accumulate(model):
            accelerator.backward(model(input_ids=ids, labels=ids, use_cache=False).loss)
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        watch.step()


def hf_trainer(watch: Watch, folder: Path) -> None:
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Steps(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            watch.step()

    rows = [{"input_ids": row, "labels": row} for batch in _batches() for row in batch]
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=BATCH,
        max_steps=WARMUP + STEPS,
        optim="adamw_torch_fused",
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = Trainer(model=_model(), args=arguments, train_dataset=rows, callbacks=[Steps()])
    watch.begin()
    trainer.train()


def mixhub(watch: Watch, folder: Path) -> None:
    from mixhub.data.packing.pack import pack
    from mixhub.training import loop
    from mixhub.training.options import TrainOptions
    from mixhub.workspace.paths import RunFolder

    class Steps:
        """Progress that watches the steps."""

        def start(self, what: str, total: int | None, unit: str) -> AbstractContextManager[Bar]:
            return nullcontext(self)

        def notice(self, text: str) -> None:
            return

        def advance(self, amount: int = 1, note: str | None = None) -> None:
            if note is None:
                watch.begin()
            else:
                watch.step()

    pack(FAMILY, write_tiny_corpus(folder / "words", documents=400), folder / "tokens")
    run = FAMILY.run(seed=1)
    loop.train(
        FAMILY,
        run,
        tokens=folder / "tokens",
        folder=RunFolder(folder / "run"),
        options=TrainOptions(device="cpu"),
        progress=Steps(),
    )


TRAINERS: dict[str, Callable[[Watch, Path], None]] = {
    "bare loop": bare_loop,
    "Accelerate": accelerate_example,
    "HF Trainer": hf_trainer,
    "mixhub": mixhub,
}


def main() -> None:
    import torch

    torch.set_num_threads(1)
    watch = Watch()
    TRAINERS[sys.argv[1]](watch, Path(sys.argv[2]))
    watch.report()


if __name__ == "__main__":
    main()
