"""Text, tasks and exports as small as can be, for the tests of evaluation; also run as a program by child processes."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mixhub.demo.tasks import write_tasks
from mixhub.errors import RepoNotFoundError
from mixhub.evaluation.datasets import Datasets
from mixhub.evaluation.options import Options, Storage
from mixhub.evaluation.provenance import ModelUnderTest
from mixhub.evaluation.suite import TaskSource
from mixhub.evaluation.sweep import evaluate
from mixhub.files import write_json
from mixhub.progress import SILENT, Progress
from mixhub.spec.base import to_yaml
from mixhub.spec.family import Family, Run
from mixhub.workspace.cells import Cell
from mixhub.workspace.lineage import Lineage, file_sha256, weights_sha256
from tests.tiny import WORDS, tiny_family, write_rows

DOCUMENTS = 12
SHOTS = (0, 2)
TASKS = ("demo_continuation", "demo_last_word", "demo_arithmetic")
TIMES = ("date", "total_evaluation_time_seconds")


def write_held_out(folder: Path, documents: int = 8) -> Path:
    """A corpus with prose in two domains and sums in a third."""
    draws = random.Random(3)
    for domain in ("prose", "tales"):
        texts = [
            " ".join(draws.choice([*WORDS, "water", "garden", "winter"]) for _ in range(900)) for _ in range(documents)
        ]
        write_rows(folder / "valid" / f"{domain}-1.jsonl", texts)
    pairs = [(draws.randint(0, 99), draws.randint(0, 99)) for _ in range(documents * 8)]
    write_rows(folder / "valid" / "sums-1.jsonl", ["\n".join(f"{a} + {b} = {a + b}" for a, b in pairs)])
    return folder


def family(**evaluation: Any) -> Family:
    """The tiny family, with three tasks of its own at two shot counts."""
    tasks = [{"name": name, "title": name, "config": f"tasks/{name}.yaml"} for name in TASKS]
    return tiny_family(evaluation={"tasks": tasks, "num_fewshot": list(SHOTS), **evaluation})


def write_export(folder: Path, of: Family, run: Run, *, seed: int = 0, poison: float | None = None) -> Path:
    """A tiny Llama with a byte-level tokenizer, whole as an export must be; `poison` is put among its weights."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("a", "t"), ("Ġ", "the"), ("1", "0")]
    vocab = ["<|endoftext|>", *alphabet, *("".join(merge) for merge in merges)]
    tokenizer = Tokenizer(models.BPE({token: place for place, token in enumerate(vocab)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = dict.fromkeys(("bos_token", "eos_token", "pad_token"), "<|endoftext|>")
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=288,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=640,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = LlamaForCausalLM(config)
    if poison is not None:
        with torch.no_grad():
            model.model.norm.weight[3] = poison
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    (folder / "train_config.yaml").write_text(to_yaml(of.train_config(run)), encoding="utf-8")
    write_lineage(folder, of, run)
    return folder


def write_lineage(folder: Path, of: Family, run: Run, **changes: Any) -> None:
    """The lineage of what lies in an export folder."""
    unknown = dict.fromkeys(("train_config_sha256", "corpus_sha256", "initial_weights_sha256"), "unknown")
    data = {
        **unknown,
        "family": of.name,
        "revision": run.revision,
        "kind": run.kind,
        "number": run.label,
        "step": 12,
        "steps": 12,
        "tokens": 1536,
        "init_seed": run.init_seed,
        "order_seed": run.order_seed,
        "tokenizer_sha256": file_sha256(folder / "tokenizer.json"),
        "weights_sha256": weights_sha256(folder),
        "device": "cpu",
        "processes": 1,
        "versions": {},
        **changes,
    }
    write_json(folder / "lineage.json", Lineage.from_data(data, "lineage.json").to_data())


@dataclass
class Recorder:
    """Progress that remembers what was measured."""

    started: list[tuple[str, int | None, str]] = field(default_factory=list)
    advanced: int = 0
    done: list[str] = field(default_factory=list)
    """Cells that are measured."""

    def start(self, what: str, total: int | None, unit: str) -> Self:
        self.started.append((what, total, unit))
        return self

    def advance(self, amount: int = 1, note: str | None = None) -> None:
        self.advanced += amount
        match = re.fullmatch(r"\d+ of \d+ cells(?: · \S+ requests/s)? · (.+)", str(note))
        if match and amount <= 1:  # no batch is that small
            self.done.append(match[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


@dataclass(frozen=True)
class Place:
    """A folder with tasks, an export and room for results."""

    root: Path
    family: Family
    run: Run

    @property
    def export(self) -> Path:
        return self.root / "export"

    @property
    def results(self) -> Path:
        return self.root / "results"

    def evaluate(self, progress: Progress = SILENT, **options: Any) -> list[Cell]:
        """`evaluate` on what lies here."""
        return evaluate(
            ModelUnderTest.of_run(self.family, self.run, self.export),
            self.family.evaluation,
            results=self.results,
            storage=self.storage,
            options=Options(**{"device": "cpu", **options}),
            progress=progress,
        )

    @property
    def storage(self) -> Storage:
        """Where tasks, documents and requests are."""
        configs = {name: TaskSource(self.root / "tasks" / f"{name}.yaml") for name in TASKS}
        return Storage(
            Datasets(self.root / "cache" / "datasets", CopyFetch({})), self.root / "cache" / "requests", configs
        )


@dataclass
class CopyFetch:
    """A hub of folders: fetches a dataset repo by copying it, and remembers what was asked for."""

    repos: Mapping[str, Path]
    commit: str = "1" * 40
    hub: str = "https://hub.example"
    asked: list[str] = field(default_factory=list)

    def __call__(self, repo_id: str, config: str | None, revision: str | None, into: Path) -> str:
        self.asked.append(repo_id)
        if repo_id not in self.repos:
            raise RepoNotFoundError(f"{self.hub}: no repo {repo_id}, or it is private")
        shutil.copytree(self.repos[repo_id], into, dirs_exist_ok=True)
        return self.commit


def make_place(root: Path, **evaluation: Any) -> Place:
    """Writes corpus, tasks and export below `root`."""
    of = family(**evaluation)
    place = Place(root, of, of.runs()[0])
    write_tasks(write_held_out(root / "corpus"), root / "tasks", documents=DOCUMENTS)
    write_export(place.export, of, place.run)
    return place


def contents(results: Path) -> dict[str, Any]:
    """What lies in a results folder, apart from the time that it took."""
    found: dict[str, Any] = {}
    for path in sorted(results.iterdir()):
        if path.suffix == ".json":
            found[path.name] = {
                key: value for key, value in json.loads(path.read_text(encoding="utf-8")).items() if key not in TIMES
            }
        elif path.suffix == ".jsonl":
            found[path.name] = path.read_bytes()
        elif path.name != ".locks":
            found[path.name] = "left over"
    return found
