"""The order of a whole 1B run: how long it takes to make, how much it holds, and how fast any of it is read."""

import time

import numpy as np

from mixhub.data.orders.iid import IidOrder
from mixhub.spec import catalog

READS = 20_000


def run() -> str:
    """Figures for the 12.8M sequences of human-1b."""
    family = catalog.get("human-1b")
    assert family.mixture is not None
    samples = family.training.steps * family.training.global_batch_size
    shares = family.mixture.shares
    sequences = {domain: max(1, round(share * samples / 1.5)) for domain, share in shares.items()}  # 1.5 epochs
    before = time.process_time()
    order = IidOrder(shares, sequences, 2048, seed=1, samples=samples)
    made = time.process_time() - before
    starts = np.random.default_rng(0).integers(0, samples - 4, READS)
    before = time.process_time()
    for start in starts:
        order.samples(int(start), int(start) + 4)
    read = time.process_time() - before
    return f"{samples:,} samples made in {made:.1f} s CPU; {4 * READS / read:,.0f} samples/s read in batches of 4"
