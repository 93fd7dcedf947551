"""Tiny models of many architectures, as Transformers and its Trainer save them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.adopted import save_tokenizer

TOKENS = {"vocab_size": 320, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
SIZES = {**TOKENS, "hidden_size": 32, "num_hidden_layers": 2}
HEADS = {**SIZES, "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 512}
GROUPED = {**HEADS, "num_key_value_heads": 2}


@dataclass(frozen=True)
class Kind:
    """A kind of model, and how it is saved."""

    model: str
    """Its class in Transformers."""
    config: str
    values: Mapping[str, Any]
    dtype: torch.dtype = torch.float32
    saved_as: Mapping[str, Any] = field(default_factory=dict)
    """Options of `save_pretrained`."""
    trained: bool = False
    """Whether the folder is a checkpoint of the Trainer of Transformers, after two steps."""


def _of(name: str, values: Mapping[str, Any], **options: Any) -> Kind:
    return Kind(f"{name}ForCausalLM", f"{name}Config", values, **options)


MAMBA2 = {"state_size": 8, "num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 16}
HYBRID = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_chunk_size": 16}
GEMMA = {"head_dim": 8, "sliding_window": 64, "layer_types": ["sliding_attention", "full_attention"]}
OLMO3 = {"sliding_window": 64, "layer_types": ["sliding_attention", "full_attention"]}
ROPE = {"rope_type": "llama3", "factor": 8.0, "rope_theta": 5e5, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
SCALED = {"rope_parameters": {**ROPE, "original_max_position_embeddings": 64}}

KINDS: Mapping[str, Kind] = {
    "gpt_neox": _of("GPTNeoX", HEADS, saved_as={"max_shard_size": "60KB"}),
    "gpt2": Kind("GPT2LMHeadModel", "GPT2Config", {**TOKENS, "n_embd": 32, "n_layer": 2, "n_head": 4}),
    "olmo2": _of("Olmo2", HEADS, dtype=torch.bfloat16),
    "qwen3": _of("Qwen3", {**GROUPED, "head_dim": 16}, trained=True),
    "mixtral": _of("Mixtral", {**GROUPED, "num_local_experts": 4}),
    "mamba2": _of("Mamba2", {**SIZES, **MAMBA2}),
    "llama": _of("Llama", {**GROUPED, "tie_word_embeddings": True}),
    "llama_scaled": _of("Llama", {**HEADS, **SCALED}),
    "olmo3": _of("Olmo3", {**GROUPED, **OLMO3}),
    "qwen2": _of("Qwen2", GROUPED),
    "gemma3_text": _of("Gemma3", {**GROUPED, **GEMMA}),
    "mistral": _of("Mistral", GROUPED),
    "mamba": _of("Mamba", {**SIZES, "state_size": 4}),
    "falcon_h1": _of("FalconH1", {**GROUPED, **HYBRID}),
    "bloom": _of("Bloom", {**TOKENS, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "mpt": _of("Mpt", {**TOKENS, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 512}),
    "phi": _of("Phi", HEADS),
    "smollm3": _of("SmolLM3", GROUPED),
    "apertus": _of("Apertus", {**GROUPED, **SCALED}),
}
CLASSES: Mapping[str, str] = {"gemma3_text": "Gemma3TextConfig"}
"""Classes of configs that are not named after the model's."""


def save(name: str, folder: Path) -> Path:
    """Save a model of a kind, its weights drawn by a seed, with a tokenizer; return its folder."""
    kind = KINDS[name]
    config = getattr(transformers, CLASSES.get(name, kind.config))(**kind.values)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = getattr(transformers, kind.model)(config).to(kind.dtype)
        if kind.trained:
            return _train(model, folder)
    model.save_pretrained(folder, **kind.saved_as)
    _save_tokenizer(folder)
    return folder


def _save_tokenizer(folder: Path) -> Any:
    """Save a tokenizer as Transformers opens it, which for Qwen2 is another one."""
    save_tokenizer(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return tokenizer


def _train(model: Any, folder: Path) -> Path:
    """Train two steps with the Trainer of Transformers; return the folder of its checkpoint."""
    folder.mkdir()
    tokenizer = _save_tokenizer(folder / "tokenizer")
    rows = [{"input_ids": [1, 2, 3, 4], "labels": [1, 2, 3, 4]}] * 4
    options = transformers.TrainingArguments(
        str(folder), max_steps=2, save_steps=2, per_device_train_batch_size=2, report_to=[], use_cpu=True,
        disable_tqdm=True,
    )  # fmt: skip
    collator = transformers.default_data_collator  # the tokenizer has no token that pads
    transformers.Trainer(model, options, collator, train_dataset=rows, processing_class=tokenizer).train()
    return folder / "checkpoint-2"
