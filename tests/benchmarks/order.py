"""The orders of a whole 1B run: how long each takes to make, how much memory it needs, and how fast it is read."""

import multiprocessing
import statistics
import time

import numpy as np

from mixhub.data.orders.choice import order_of
from mixhub.spec import catalog
from mixhub.spec.family import Family
from mixhub.workspace.manifest import Manifest, PackedDomain, Shard, SourceFile
from tests.benchmarks.memory import peak

SEEKS = 50
SAMPLES = 512
FILES = 30
EPOCHS = 1.5
_HASH = "0" * 64


def run() -> str:
    """Figures for the 12.8M sequences of human-1b in each order, each in a process of its own."""
    figures = []
    for kind in ("iid", "quota", "regmix"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            made, memory, seek = pool.apply(_measure, (kind,))
        figures.append(
            f"{kind} made in {made:.1f} s CPU and {memory:.0f} MB, {SAMPLES} samples anywhere in {seek:.1f} ms"
        )
    return "; ".join(figures)


def _measure(kind: str) -> tuple[float, float, float]:
    """Return seconds of CPU and MB of memory that the order takes, and the median milliseconds of a seek when warm."""
    family = catalog.get("human-1b")
    loader = family.training.loader if kind == "regmix" else None
    family = family.model_copy(
        update={"training": family.training.model_copy(update={"order": kind, "loader": loader, "order_seed": 1})}
    )
    manifest, before = _manifest(family), peak()
    started = time.process_time()
    order = order_of(family, family.runs()[0], manifest)
    made = time.process_time() - started
    memory, seeks = peak() - before, []
    starts = np.random.default_rng(0).integers(0, len(order) - SAMPLES, SEEKS).tolist()
    for start in starts * 2:  # the first time to warm up
        started = time.process_time()
        order.samples(start, start + SAMPLES)
        seeks.append(time.process_time() - started)
    return made, memory, 1000 * statistics.median(seeks[SEEKS:])


def _manifest(family: Family) -> Manifest:
    """17 domains in 30 files each, with so much text that each is read one and a half times."""
    tokens = np.random.default_rng(0).dirichlet(np.full(FILES, 20.0), 17)  # (17, files) shares
    domains = {}
    for parts, (key, share) in zip(tokens, family.runs()[0].mixture.shares.items(), strict=True):
        name = key.removeprefix(family.data.train_prefix)
        sizes = [int(part * share * family.training.tokens / EPOCHS) for part in parts]
        files = [f"{name}-{number}" for number in range(FILES)]
        domains[name] = PackedDomain(
            documents=1,
            tokens=sum(sizes),
            shards=tuple(
                Shard(file=f"train/{name}/{file}.ds", tokens=size, content_sha256=_HASH, ends_sha256=_HASH)
                for file, size in zip(files, sizes, strict=True)
            ),
            sources=tuple(
                SourceFile(name=f"train/{file}.jsonl", size=1, content_sha256=_HASH, documents=1, tokens=size)
                for file, size in zip(files, sizes, strict=True)
            ),
        )
    return Manifest(
        corpus=family.data.corpus,
        tokenizer=family.tokenizer,
        tokenizer_sha256=_HASH,
        dtype="uint16",
        eos_id=0,
        train=domains,
        valid={},
    )
