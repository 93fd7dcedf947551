"""Tiny models as others save them."""

import json
from pathlib import Path

import transformers

SIZES = {"vocab_size": 320, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
WIDE = {**SIZES, "intermediate_size": 64}
T5 = {"vocab_size": 320, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2}


def saved(folder: Path, model: str, config: str, **values) -> Path:
    made = getattr(transformers, model)(getattr(transformers, config)(**values))
    made.save_pretrained(folder)
    return folder


def edited(folder: Path, **values) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return folder
