"""Whether cells hold what lm-eval's own backend finds: a random sample of their requests, scored by it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixhub.errors import ResultsError, UsageError
from mixhub.evaluation.harness import choose_device, choose_dtype, load_model
from mixhub.workspace.cells import Cell

TOLERANCE = 1e-3
"""Largest difference in float32, in nats, that is rounding; smaller dtypes have no such bound."""


@dataclass(frozen=True)
class Crosscheck:
    """What a comparison found."""

    requests: int
    """Requests that were scored again."""
    cells: int
    """Cells that they belong to."""
    largest: float
    """Largest difference of a log-likelihood, in nats."""
    where: str
    """The request that has it."""
    flips: int
    """Requests whose `is_greedy` differs."""


@dataclass(frozen=True)
class _Recorded:
    cell: Cell
    where: str
    pair: tuple[str, str]
    log_likelihood: float
    greedy: bool


def crosscheck(
    folder: Path,
    cells: Sequence[Cell],
    requests: int,
    *,
    device: str | None = None,
    dtype: str | None = None,
    seed: int | None = None,
) -> Crosscheck:
    """Scores requests of cells on disk with lm-eval's own backend, and compares.

    Args:
        folder: the model that the cells were measured on.
        cells: cells that were measured on it, in the same dtype.
        requests: how many, drawn over all documents of all cells alike.
        device: as for `evaluate`.
        dtype: as for `evaluate`.
        seed: of the draw; None: another one each time.

    Raises:
        UsageError: fewer than one request.
        ResultsError: in float32, a log-likelihood differs by more than rounding; or no cell has log-likelihoods.
    """
    if requests < 1:
        raise UsageError(
            f"check = {requests}: must be at least 1 request", code="option-value", option="--check", value=requests
        )
    draws = random.Random(seed)
    recorded = list(_drawn(cells, requests, draws))
    if not recorded:
        raise ResultsError(
            "there is no log-likelihood to check",
            code="crosscheck-empty",
            hint="evaluate tasks of multiple choice first",
        )
    answers = _answers(folder, recorded, device, dtype)
    differences = [abs(one.log_likelihood - answer[0]) for one, answer in zip(recorded, answers, strict=True)]
    worst = max(range(len(recorded)), key=differences.__getitem__)
    if differences[worst] > TOLERANCE and recorded[worst].cell.dtype == "float32":
        raise _differs(recorded[worst], answers[worst][0])
    return Crosscheck(
        requests=len(recorded),
        cells=len({one.cell.path for one in recorded}),
        largest=differences[worst],
        where=recorded[worst].where,
        flips=sum(one.greedy != bool(answer[1]) for one, answer in zip(recorded, answers, strict=True)),
    )


def _differs(one: _Recorded, log_likelihood: float) -> ResultsError:
    return ResultsError(
        f"{one.cell.path}: {one.where}: the log-likelihood on disk is {one.log_likelihood:.6f}, and lm-eval's own "
        f"backend finds {log_likelihood:.6f}",
        code="crosscheck-differs",
        hint="measure it with lm-eval's own backend: --backend stock; and tell us",
        path=one.cell.path,
        where=one.where,
    )


def _answers(folder: Path, recorded: Sequence[_Recorded], device: str | None, dtype: str | None) -> Sequence[Any]:
    """What lm-eval's own backend answers: log-likelihood, and whether it is greedy."""
    from mixhub.evaluation.lm_eval_private import Instance, quiet

    device = choose_device(device)
    with quiet():
        lm = load_model(folder, device, choose_dtype(dtype, device), "stock")
        answers: Sequence[Any] = lm.loglikelihood(
            [
                Instance(request_type="loglikelihood", doc={}, arguments=one.pair, idx=0, metadata=("check", 0, 1))
                for one in recorded
            ]
        )
    return answers


def _drawn(cells: Sequence[Cell], requests: int, draws: random.Random) -> Iterator[_Recorded]:
    """Requests of documents that are drawn without replacement, each document as likely as any other."""
    documents = [(cell, line) for cell in cells for line in range(cell.documents)]
    wanted: dict[Path, tuple[Cell, set[int]]] = {}
    for cell, line in draws.sample(documents, min(requests, len(documents))):
        wanted.setdefault(cell.path, (cell, set()))[1].add(line)
    for cell, lines in wanted.values():
        with cell.samples.open(encoding="utf-8") as file:
            for number, text in enumerate(file):
                if number in lines and (recorded := _recorded(cell, json.loads(text), draws)):
                    yield recorded


def _recorded(cell: Cell, sample: dict[str, Any], draws: random.Random) -> _Recorded | None:
    choice = draws.randrange(len(sample["resps"]))
    arguments = list(sample["arguments"][f"gen_args_{choice}"].values())
    answer = sample["resps"][choice][0]
    if len(arguments) != 2 or not isinstance(arguments[1], str) or len(answer) != 2:
        return None
    return _Recorded(
        cell=cell,
        where=f"{cell.task} {cell.num_fewshot}-shot, document {sample['doc_id']}, choice {choice}",
        pair=(arguments[0], arguments[1]),
        log_likelihood=float(answer[0]),
        greedy=str(answer[1]) == "True",
    )
