"""The unchanged libraries, in processes that know the hub by HF_ENDPOINT only."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import HfApi

from mixhub.hubserver import RunningHub, import_folder, serve

PUSH_AND_LOAD = """
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
torch.manual_seed(1)
config = LlamaConfig(
    vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
    num_key_value_heads=2,
)
pushed = LlamaForCausalLM(config)
pushed.push_to_hub("demo/tiny", revision="seed-1")
loaded = AutoModelForCausalLM.from_pretrained("demo/tiny", revision="seed-1").state_dict()
for name, weight in pushed.state_dict().items():
    assert torch.equal(loaded.pop(name), weight), name
assert not loaded
"""

ROWS = """
import json
from datasets import load_dataset
rows = load_dataset("acme/words", split="train")
stream = load_dataset("acme/words", split="train", streaming=True)
print(json.dumps([rows["word"][:], [row["word"] for row in stream]]))
"""


def test_transformers_pushes_and_loads_a_branch(
    api: HfApi, hub: RunningHub, repo: str, child: Callable[..., str]
) -> None:
    child(PUSH_AND_LOAD, HF_ENDPOINT=hub.url)
    assert "model.safetensors" in api.list_repo_files(repo, revision="seed-1")
    assert "model.safetensors" not in api.list_repo_files(repo)


def test_datasets_loads_and_streams_an_imported_folder(child: Callable[..., str], tmp_path: Path) -> None:
    words = [f"word {number}" for number in range(500)]
    file = tmp_path / "source/acme/words/data/train-0.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps({"word": word}) + "\n" for word in words))
    import_folder(tmp_path / "source", tmp_path / "hub", "dataset")
    with serve(tmp_path / "hub") as hub:
        assert json.loads(child(ROWS, HF_ENDPOINT=hub.url)) == [words, words]
