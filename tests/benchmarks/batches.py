"""Batches of 4 × 2049 tokens: CPU time of a loader as RegMix's, divided by that of mixhub's."""

import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from mixhub.data.batches import TrainingBatches
from mixhub.data.orders.choice import order_of
from mixhub.data.shards import TokenShards
from mixhub.spec import catalog
from mixhub.workspace.manifest import required_domains
from tests.data.streams import write_tokens

ROUNDS = 5
STEPS = 96
MEGABYTES = 64
CHUNK_BLOCKS = 256


class _Chunks(IterableDataset):  # type: ignore[type-arg]
    """The blocks of a domain's chunk files, shuffled within each, for ever."""

    def __init__(self, files: list[Path], block: int, seed: int) -> None:
        self._files, self._block, self._draws = files, block, np.random.default_rng(seed)

    def __iter__(self) -> Iterator[torch.Tensor]:
        while True:
            for file in self._files:
                chunk = memoryview(np.memmap(file, dtype="<u2", mode="r"))
                for number in self._draws.permutation(len(chunk) // self._block):
                    place = 2 * int(number) * self._block
                    tokens = np.frombuffer(chunk, dtype=np.uint16, count=self._block, offset=place)
                    yield torch.from_numpy(tokens.astype(np.int64))


class _Mixed(IterableDataset):  # type: ignore[type-arg]
    """Blocks of several domains; each draws its domain by weight."""

    def __init__(self, domains: list[_Chunks], weights: list[float], seed: int) -> None:
        self._domains, self._weights, self._draws = domains, weights, random.Random(seed)

    def __iter__(self) -> Iterator[torch.Tensor]:
        blocks = [iter(domain) for domain in self._domains]
        while True:
            (domain,) = self._draws.choices(blocks, weights=self._weights, k=1)
            yield next(domain)


def run() -> str:
    """The ratio for the mixture of human-1b, on random tokens, with the thread that reads counted."""
    family = catalog.get("human-1b")
    training = family.training.model_copy(update={"order": "iid", "loader": None, "order_seed": 1, "steps": STEPS})
    family = family.model_copy(update={"training": training})
    names, block = required_domains(family)["train"], training.sequence_length + 1
    draws = np.random.default_rng(0)
    size = MEGABYTES * 10**6 // 2 // len(names)
    with tempfile.TemporaryDirectory() as folder:
        tokens = Path(folder) / "tokens"
        documents = {name: [np.array_split(draws.integers(0, 50_000, size), 100)] for name in names}
        streams = write_tokens(tokens, {"train": documents, "valid": {}}, family=family)["train"]
        chunks = {name: _chunk_files(Path(folder) / name, streams[name], block) for name in names}
        count = training.steps * training.global_batch_size // training.micro_batch_size
        times: dict[str, list[float]] = {"theirs": [], "ours": [], "narrow": []}
        for number in range(ROUNDS):
            mixed = _Mixed([_Chunks(files, block, number) for files in chunks.values()], _weights(family), number)
            loader = DataLoader(mixed, batch_size=training.micro_batch_size, shuffle=False)
            times["theirs"].append(_cpu(batch for batch, _ in zip(loader, range(count), strict=False)))
            times["narrow"].append(_cpu(_ours(family, tokens)))
            times["ours"].append(_cpu(batch.long() for batch in _ours(family, tokens)))
    median = {key: statistics.median(own) for key, own in times.items()}
    speed = {key: f"{count * training.micro_batch_size / own:,.0f}" for key, own in median.items()}
    narrow, ours = (median["theirs"] / median[key] for key in ("narrow", "ours"))
    return (
        f"{narrow:.1f} × a loader as RegMix's ({speed['narrow']} and {speed['theirs']} sequences per second of CPU),"
        f" and {ours:.1f} × ({speed['ours']}) if the CPU makes int64 of them, from {MEGABYTES} MB of shards"
    )


def _ours(family, tokens: Path) -> Iterator[torch.Tensor]:  # type: ignore[no-untyped-def]
    training = family.training
    shards, run_ = TokenShards(tokens, training.sequence_length), family.run(seed=1)
    prefix = family.data.train_prefix
    order = order_of(family, run_, shards.manifest)
    for step in TrainingBatches(shards, order, prefix, training, rank=0, world=1).steps(0, training.steps):
        yield from map(torch.from_numpy, step.tokens)


def _cpu(batches: Iterator[torch.Tensor]) -> float:
    before = time.process_time()
    for batch in batches:
        assert batch.shape == (4, 2049)
    return time.process_time() - before


def _weights(family) -> list[float]:  # type: ignore[no-untyped-def]
    shares = {key.removeprefix(family.data.train_prefix): share for key, share in family.mixture.shares.items()}
    return [shares[name] for name in sorted(shares)]


def _chunk_files(folder: Path, stream: np.ndarray, block: int) -> list[Path]:
    folder.mkdir()
    files = []
    for number, start in enumerate(range(0, len(stream) - block * CHUNK_BLOCKS + 1, block * CHUNK_BLOCKS)):
        files.append(folder / f"{number}.bin")
        stream[start : start + block * CHUNK_BLOCKS].astype("<u2").tofile(files[-1])
    return files
