"""A family and a corpus as small as can be, for the tests of every wing."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixhub.spec.base import to_yaml
from mixhub.spec.family import Family
from mixhub.workspace.paths import Workspace

WORDS = ["the", "a", "cat", "dog", "bird", "sat", "ran", "flew", "on", "under", "mat", "tree", "house", "and", "then"]


def tiny_data(**changes: Mapping[str, Any] | Any) -> dict[str, Any]:
    """Plain data of the tiny family; a mapping changes keys of that part, anything else replaces it."""
    data: dict[str, Any] = {
        "name": "tiny",
        "repo_id": "tester/tiny",
        "revisions": {"pattern": "seed-{seed}", "seeds": "1-3"},
        "architecture": {
            "model_name": "tiny",
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 32,
            "vocab_size": 320,
        },
        "tokenizer": {"name": "bpe300", "vocab_size": 300},
        "data": {"corpus": "words"},
        "mixture": {"train_prose": 0.5, "train_sums": 0.3, "train_two-part": 0.2, "train_unsampled": 0.0},
        "validation": {"valid_prose": 1.0, "valid_sums": 1.0},
        "training": {
            "sequence_length": 16,
            "global_batch_size": 8,
            "micro_batch_size": 4,
            "steps": 12,
            "learning_rate": 0.01,
            "min_learning_rate": 0.001,
            "warmup_steps": 2,
            "validation_interval": 6,
            "validation_sequences": 6,
            "checkpoint_interval": 5,
            "keep_checkpoints": 2,
        },
        "evaluation": {"tasks": [{"name": "arc_easy", "title": "ARC Easy"}], "num_fewshot": [0, 1]},
        "card": {"title": "Tiny", "summary": "A family for tests.", "license": "mit"},
    }
    for part, change in changes.items():
        replaced = part not in data or not isinstance(change, Mapping) or part in ("mixture", "validation")
        data[part] = change if replaced else {**data[part], **change}
    return {part: value for part, value in data.items() if value is not None}


def tiny_family(**changes: Mapping[str, Any] | Any) -> Family:
    """The tiny family, changed as by `tiny_data`: `tiny_family(training={"steps": 3})`."""
    return Family.from_data(tiny_data(**changes), "tiny.yaml")


def tiny_workspace_yaml(**changes: Mapping[str, Any] | Any) -> str:
    """A `mixhub.yaml` whose family is the tiny one, on the local hub."""
    data = tiny_data(**changes)
    name = data.pop("name")
    return to_yaml({"format": 1, "family": name, "hub": "local", "families": {name: data}})


def write_tiny_corpus(folder: Path, documents: int = 60) -> Path:
    """Writes a corpus for the tiny family to `folder`; the same text each time."""
    draws = random.Random(7)
    for domain in ("prose", "sums", "two-part"):
        write_rows(folder / "train" / f"{domain}-1.jsonl", [_document(domain, draws) for _ in range(documents)])
        write_rows(folder / "train" / f"{domain}-2.jsonl", [_document(domain, draws) for _ in range(documents // 4)])
        write_rows(folder / "valid" / f"{domain}-1.jsonl", [_document(domain, draws) for _ in range(documents // 4)])
    return folder


def tiny_workspace(root: Path, **changes: Mapping[str, Any] | Any) -> Workspace:
    """Makes a workspace with the tiny family, changed as in `tiny_data`, and its corpus, not packed."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "mixhub.yaml").write_text(tiny_workspace_yaml(**changes))
    workspace = Workspace.open(root)
    write_tiny_corpus(workspace.corpus(workspace.family()))
    return workspace


def write_rows(path: Path, texts: list[str]) -> None:
    """Writes one file of a corpus."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts), encoding="utf-8")


def _document(domain: str, draws: random.Random) -> str:
    if domain == "sums":
        pairs = [(draws.randint(0, 9), draws.randint(0, 9)) for _ in range(8)]
        return "\n".join(f"{a} + {b} = {a + b}" for a, b in pairs)
    words = [draws.choice(WORDS) for _ in range(draws.randint(12, 30))]
    return (" ".join(words).capitalize() + ".") if domain == "prose" else " – ".join(words) + " ☂"
