"""Compares cells with lm-eval's own backend, which scores a random sample of their requests again."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixhub.errors import ResultsError
from mixhub.evaluation.harness import choose_device, choose_dtype, load_model
from mixhub.evaluation.options import DEFAULT_OPTIONS, Options, bad_option
from mixhub.workspace.cells import Cell

TOLERANCE = 1e-3
"""Largest difference in float32, in nats, that counts as rounding; smaller dtypes have no such bound."""


@dataclass(frozen=True)
class Crosscheck:
    """The result of a comparison."""

    requests: int
    """Requests scored again."""
    cells: int
    """Cells that they belong to."""
    largest: float
    """Largest difference of a log-likelihood, in nats."""
    where: str
    """The request with that difference."""
    flips: int
    """Requests whose `is_greedy` differs."""


@dataclass(frozen=True)
class _Request:
    cell: Cell
    where: str
    pair: tuple[str, str]
    log_likelihood: float
    greedy: bool


def crosscheck(
    folder: Path,
    cells: Sequence[Cell],
    requests: int,
    options: Options = DEFAULT_OPTIONS,
    *,
    seed: int | None = None,
) -> Crosscheck:
    """Score requests of cells on disk with lm-eval's own backend, and compare.

    Args:
        folder: the model that the cells were measured on.
        cells: cells that were measured on it, in the same dtype.
        requests: how many requests, drawn uniformly over all documents of all cells.
        options: those of `evaluate`, for device and dtype.
        seed: of the draw; None: random.

    Raises:
        UsageError: fewer than one request.
        ResultsError: in float32, a log-likelihood differs by more than rounding; or no cell has log-likelihoods.
    """
    if requests < 1:
        raise bad_option("--check", requests, "must be at least 1 request")
    drawn = list(_draw(cells, requests, random.Random(seed)))
    if not drawn:
        hint = "evaluate multiple-choice tasks first"
        raise ResultsError("there are no log-likelihoods to check", code="crosscheck-empty", hint=hint)
    answers = _score(folder, drawn, options)
    differences = [abs(one.log_likelihood - answer[0]) for one, answer in zip(drawn, answers, strict=True)]
    worst = max(range(len(drawn)), key=differences.__getitem__)
    request = drawn[worst]
    if differences[worst] > TOLERANCE and request.cell.dtype == "float32":
        both = f"{request.log_likelihood:.6f} on disk, {answers[worst][0]:.6f} by lm-eval's own backend"
        message = f"{request.cell.path}: {request.where}: the log-likelihood differs: {both}"
        hint = "measure the cell with --backend stock, and report the difference"
        raise ResultsError(message, code="crosscheck-differs", hint=hint, path=request.cell.path)
    return Crosscheck(
        requests=len(drawn),
        cells=len({one.cell.path for one in drawn}),
        largest=differences[worst],
        where=request.where,
        flips=sum(one.greedy != bool(answer[1]) for one, answer in zip(drawn, answers, strict=True)),
    )


def _score(folder: Path, drawn: Sequence[_Request], options: Options) -> Sequence[Any]:
    """Return log-likelihood and whether it is greedy, by lm-eval's own backend."""
    from mixhub.evaluation.lm_eval_private import Instance, quiet

    device = choose_device(options.device, options.device_map)
    fields: dict[str, Any] = {"request_type": "loglikelihood", "doc": {}, "idx": 0, "metadata": ("check", 0, 1)}
    with quiet():
        lm = load_model(folder, device, choose_dtype(options.dtype, device), "stock", options.device_map)
        answers: Sequence[Any] = lm.loglikelihood([Instance(arguments=one.pair, **fields) for one in drawn])
    return answers


def _draw(cells: Sequence[Cell], requests: int, draws: random.Random) -> Iterator[_Request]:
    """Draw documents uniformly without replacement, and one request of each."""
    documents = [(cell, line) for cell in cells for line in range(cell.documents)]
    lines: dict[Path, set[int]] = {}
    for cell, line in draws.sample(documents, min(requests, len(documents))):
        lines.setdefault(cell.path, set()).add(line)
    for cell in cells:
        with cell.samples.open(encoding="utf-8") as file:
            for number, text in enumerate(file):
                if number in lines.get(cell.path, ()) and (request := _request(cell, json.loads(text), draws)):
                    yield request


def _request(cell: Cell, sample: dict[str, Any], draws: random.Random) -> _Request | None:
    choice = draws.randrange(len(sample["resps"]))
    arguments = list(sample["arguments"][f"gen_args_{choice}"].values())
    answer = sample["resps"][choice][0]
    if len(arguments) != 2 or not isinstance(arguments[1], str) or len(answer) != 2:
        return None
    where = f"{cell.task} {cell.num_fewshot}-shot, document {sample['doc_id']}, choice {choice}"
    return _Request(cell, where, (arguments[0], arguments[1]), float(answer[0]), str(answer[1]) == "True")
