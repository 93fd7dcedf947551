"""Results and samples as lm-eval 0.4.13 writes them, from values that a test chooses."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

DATE = 1_790_000_000.0


def write_results(
    folder: Path,
    values: Mapping[str, Sequence[float]],
    *,
    num_fewshot: int = 0,
    model: str = "org/model",
    revision: str = "seed-1",
    date: float = DATE,
    samples: bool = True,
    metric: str = "acc",
    documents: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """One results file, and a samples file a task.

    Args:
        folder: lm-eval's output path.
        values: by task, 0 or 1 for each document.
        num_fewshot: shots.
        model: its repo_id.
        revision: its branch.
        date: seconds since 1970.
        samples: whether they are kept.
        metric: `acc` or `acc_norm`.
        documents: by task, the documents, where the test looks into them.
        changes: keys to set in the file.
    """
    name = f"2026-11-22T10-00-00.{revision}{num_fewshot}{date:.0f}".replace("-", "")
    stamp = f"2026-11-22T10-00-00.{int(hashlib.sha256(name.encode()).hexdigest()[:10], 16)}"
    path = folder / model.replace("/", "__") / f"results_{stamp}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    results, hashes = {}, {}
    for task, own in values.items():
        mean = float(np.mean(own))
        stderr = math.sqrt(mean * (1 - mean) / (len(own) - 1)) if len(own) > 1 else "N/A"
        results[task] = {"alias": task, f"{metric},none": mean, f"{metric}_stderr,none": stderr}
        hashes[task] = _digest(f"{task} {num_fewshot} {len(own)}")
        if samples:
            write_samples(path.parent / f"samples_{task}_{stamp}.jsonl", own, metric, (documents or {}).get(task))
    data = {
        "results": results,
        "group_subtasks": {task: [] for task in values},
        "configs": {task: {"task": task, "dataset_path": f"org/{task}", "num_fewshot": num_fewshot} for task in values},
        "versions": dict.fromkeys(values, 1.0),
        "n-shot": dict.fromkeys(values, num_fewshot),
        "higher_is_better": {task: {metric: True} for task in values},
        "n-samples": {task: {"original": len(own), "effective": len(own)} for task, own in values.items()},
        "config": {
            "model": "hf",
            "model_args": {"pretrained": model, "revision": revision, "dtype": "float32"},
            "model_dtype": "torch.float32",
            "model_revision": revision,
            "model_sha": _digest(f"{model} {revision}")[:40],
            "batch_size": "8",
            "device": "cpu",
            "limit": None,
            "fewshot_seed": 1234,
        },
        "date": date,
        "task_hashes": hashes if samples else {},
        "lm_eval_version": "0.4.13",
        **dict.fromkeys(("system_instruction_sha", "fewshot_as_multiturn", "chat_template_sha")),
        "transformers_version": "5.23.0",
        "total_evaluation_time_seconds": "12.5",
        **(changes or {}),
    }
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def write_samples(
    path: Path, values: Sequence[float], metric: str = "acc", documents: Sequence[Mapping[str, Any]] | None = None
) -> None:
    """Samples with two choices each, of which the model chose the right one where the value is 1."""
    with path.open("w", encoding="utf-8") as file:
        for number, value in enumerate(values):
            document = {
                "question": f"question {number}",
                "label": number % 2,
                **(documents[number] if documents else {}),
            }
            labels = document.get("choices", [" no", " yes"])
            chosen = document["label"] if value else 1 - document["label"]
            responses = [["-1.5" if choice == chosen else "-2.5", "False"] for choice in range(len(labels))]
            line = {
                "doc_id": number,
                "doc": document,
                "target": str(document["label"]),
                "arguments": {
                    f"gen_args_{choice}": {"arg_0": f"question {number}", "arg_1": text}
                    for choice, text in enumerate(labels)
                },
                "resps": [[response] for response in responses],
                "filtered_resps": responses,
                "filter": "none",
                "metrics": [metric],
                "doc_hash": _digest(json.dumps(document)),
                "prompt_hash": _digest(f"prompt {number}"),
                "target_hash": _digest(str(number)),
                "acc": float(value),
                metric: float(value),
            }
            file.write(json.dumps(line) + "\n")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
