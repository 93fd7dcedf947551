"""All 13 tasks end to end: every prompt, log-likelihood, greedy flag, metric and standard error is lm-eval's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mixhub.evaluation.datasets import Datasets
from mixhub.evaluation.options import Options, Storage
from mixhub.evaluation.provenance import ModelUnderTest
from mixhub.evaluation.sweep import evaluate
from mixhub.spec import Evaluation
from tests.evaluation.making import CopyFetch, family, write_export
from tests.evaluation.stock import stock_results
from tests.evaluation.suite_documents import TASKS, write_dataset_repos

SHOTS = (0, 1, 5)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export whose context is short enough for truncation, and all cells measured on it."""
    root = tmp_path_factory.mktemp("suite")
    of = family()
    write_export(root / "export", of, of.runs()[0])
    repos = write_dataset_repos(root / "repos")
    tasks = [{"name": name, "title": name} for name in TASKS]
    cells = evaluate(
        ModelUnderTest.of_folder(root / "export", "tiny", "seed-1"),
        Evaluation.from_data({"tasks": tasks, "num_fewshot": list(SHOTS)}, "suite"),
        results=root / "results",
        storage=Storage(Datasets(root / "datasets", CopyFetch(repos)), root / "requests"),
        options=Options(device="cpu"),
    )
    assert len(cells) == len(TASKS) * len(SHOTS)
    return root


@pytest.fixture(scope="module")
def stock(root: Path) -> Mapping[int, Mapping[str, Any]]:
    """What lm-eval's `simple_evaluate` finds by itself, by shot count."""
    return stock_results(root / "export", TASKS, SHOTS, root / "repos", root / "stock-tasks")


@pytest.mark.parametrize("shots", SHOTS)
@pytest.mark.parametrize("task", TASKS)
def test_every_request_is_answered_as_by_lm_eval(root: Path, stock: Mapping[int, Mapping[str, Any]], task, shots):
    lines = (root / "results" / f"{task}.{shots}shot.samples.jsonl").read_text().splitlines()
    ours, theirs = [json.loads(line) for line in lines], stock[shots]["samples"][task]
    assert len(ours) == len(theirs) == 10
    for one, other in zip(ours, theirs, strict=True):
        for key in ("doc_id", "doc", "doc_hash", "prompt_hash", "target_hash"):
            assert one[key] == other[key], key
        assert [list(request.values()) for request in one["arguments"].values()] == [
            list(request) for request in other["arguments"]
        ]
        for ((likelihood, greedy),), ((their_likelihood, their_greedy),) in zip(
            one["resps"], other["resps"], strict=True
        ):
            assert float(likelihood) == pytest.approx(their_likelihood, abs=1e-4)
            assert greedy == str(their_greedy)


@pytest.mark.parametrize("shots", SHOTS)
@pytest.mark.parametrize("task", TASKS)
def test_every_metric_is_lm_evals(root: Path, stock: Mapping[int, Mapping[str, Any]], task, shots):
    ours = json.loads((root / "results" / f"{task}.{shots}shot.json").read_text())
    for key, value in stock[shots]["results"][task].items():
        if "_stderr" not in key:
            assert ours["results"][task][key] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-5))
    for key in ("versions", "n-shot", "higher_is_better", "n-samples"):
        assert ours[key][task] == stock[shots][key][task], key
