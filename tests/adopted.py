"""Models that another trainer made: folders in Transformers format, and workspaces that adopted them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from mixhub.spec import Architecture
from mixhub.workflow import adopt
from mixhub.workspace.paths import Workspace
from tests.tiny import WORDS, tiny_family, tiny_workspace_yaml

EOS = "<|endoftext|>"


def save_tokenizer(folder: Path) -> None:
    """Trains a byte-level BPE of 300 ids at most on a few words, and saves it as Transformers does."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=[EOS], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([" ".join(WORDS)] * 5, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=EOS, eos_token=EOS)
    wrapped.save_pretrained(folder)


def save_model(folder: Path, number: int, architecture: Architecture | None = None, **changes: Any) -> Path:
    """Saves a model of a shape (the tiny family's), its weights drawn by a number, with a tokenizer."""
    shape = architecture or tiny_family().architecture
    settings: dict[str, Any] = {
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.num_hidden_layers,
        "num_attention_heads": shape.num_attention_heads,
        "max_position_embeddings": shape.max_position_embeddings,
        "rms_norm_eps": shape.rms_norm_eps,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number)
        LlamaForCausalLM(LlamaConfig(**{**settings, **changes})).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def adopted_workspace(
    folder: Path, *, seeds: Sequence[int] = (), indices: Sequence[int] = (), changes: Mapping[str, Any] | None = None
) -> Workspace:
    """A workspace whose runs were all trained elsewhere; with indices, each has a mixture of its own, and one seed."""
    spec: dict[str, Any] = {"revisions": {"pattern": "seed-{seed}", "seeds": list(seeds)}}
    if indices:
        mixtures = {number: {"train_prose": 1.0, "train_sums": number / 100} for number in indices}
        revisions = {"pattern": "model-index-{index}", "seeds": None, "indices": list(indices)}
        revisions = {key: value for key, value in revisions.items() if value is not None}
        spec = {"revisions": revisions, "mixture": None, "mixtures": mixtures, "training": {"seed": 7}}
    root = folder / "ws"
    root.mkdir(parents=True)
    data = {**spec, **(changes or {})}
    (root / "mixhub.yaml").write_text(_workspace_yaml(data), encoding="utf-8")
    workspace = Workspace.open(root)
    family = workspace.family()
    for run in family.runs():
        source = save_model(folder / f"source-{run.label}", run.label, family.architecture)
        adopt(workspace, source, **{run.kind: run.label})
    return workspace


def _workspace_yaml(data: Mapping[str, Any]) -> str:
    from mixhub.spec.base import parse_yaml, to_yaml

    parsed = parse_yaml(tiny_workspace_yaml(**{key: value for key, value in data.items() if key != "revisions"}), "x")
    parsed["families"]["tiny"]["revisions"] = data["revisions"]
    return to_yaml(parsed)
