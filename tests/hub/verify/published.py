"""Copies of the published families that the guide describes, on the embedded hub, with tiny weights."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from mixhub.hub.rules.revisions import BranchNames
from mixhub.hubserver.storage.names import repo_name
from mixhub.hubserver.storage.repo import MAIN, Repo
from mixhub.hubserver.storage.storage import Store
from mixhub.spec.base import parse_yaml, to_yaml
from mixhub.workspace.paths import Workspace
from tests.docs.blocks import blocks

PAGE = "docs/guides/published.md"
Weights = tuple[str, ...] | None
"""What the numbers of each shard are drawn from; None: the branch holds a model without weights."""
Copy = dict[str, dict[str, Weights]]
"""The weights of each branch, by repo_id and name."""

_KINDS = {"pythia-160m": "GPTNeoX", "polypythias-160m": "GPTNeoX", "olmo-2-7b": "Olmo2", "datadecide-dolma": "Llama"}
_SIZES = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def described(root: Path, name: str, **revisions: object) -> Workspace:
    """A workspace with a family of the page, with some changes to its revisions."""
    shown = [parse_yaml(block.text, block.where) for block in blocks(PAGE) if block.language == "yaml"]
    [data] = [data for data in shown if data["family"] == name]
    data["families"][name]["revisions"] |= revisions
    root.mkdir(parents=True, exist_ok=True)
    (root / "mixhub.yaml").write_text(to_yaml(data))
    return Workspace.open(root)


def clean(workspace: Workspace) -> Copy:
    """A copy of all branches, each with weights of its own; `main` as the family says."""
    copy: Copy = {}
    for part in workspace.family().parts():
        names = BranchNames(part)
        branches = [*names.runs, *(name for name, _ in names.expected())]
        weights: dict[str, Weights] = {name: _weights(f"{part.repo_id}@{name}") for name in branches}
        run = part.main_run or next(iter(names.runs.values()))
        weights[MAIN] = _weights("merged") if part.revisions.main_is_merged else weights[run.branch]
        copy[part.repo_id] = weights
    return copy


def _weights(source: str) -> Weights:
    return (f"{source} 1", f"{source} 2")


def publish(hub: Path, workspace: Workspace, copy: Copy) -> None:
    """Write a copy to the storage of a hub."""
    template = _Template.of(_KINDS[workspace.config.family])
    store = Store.open(hub)
    for repo_id, branches in copy.items():
        name = repo_name("model", repo_id)
        store.create(name)
        with store.repo(name) as repo:
            for branch, weights in branches.items():
                if branch != MAIN:
                    repo.create_ref("branch", branch, MAIN)
                puts = {path: repo.write_blob(content) for path, content in template.files.items()}
                puts |= _shards(store, repo, template, weights, hub / "shard")
                repo.commit(branch, puts, [], f"a step, {branch}")


def _shards(store: Store, repo: Repo, template: _Template, weights: Weights, scratch: Path) -> Mapping[str, str]:
    """Store the weights of a branch, and return their pointers."""
    pointers = {}
    for (path, (header, size)), source in zip(template.shards.items(), weights or (), strict=bool(weights)):
        numbers = np.random.default_rng(zlib.crc32(source.encode())).normal(size=size).astype("float32")
        scratch.write_bytes(header + numbers.tobytes())
        pointers[path] = repo.write_pointer(path, *store.blobs.add_file(scratch))
    return pointers


@dataclass(frozen=True)
class _Template:
    """A tiny model as Transformers saves it."""

    files: Mapping[str, bytes]
    """All but the weights."""
    shards: Mapping[str, tuple[bytes, int]]
    """Header of each shard, and how many numbers it has."""

    @staticmethod
    @cache
    def of(kind: str) -> _Template:
        """The model of a kind such as `GPTNeoX`."""
        alphabet = {token: number for number, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
        bpe = Tokenizer(models.BPE({"</s>": 256, **alphabet}, []))
        bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        config = getattr(transformers, f"{kind}Config")(**_SIZES, vocab_size=257, bos_token_id=256, eos_token_id=256)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            torch.manual_seed(0)
            getattr(transformers, f"{kind}ForCausalLM")(config).save_pretrained(folder, max_shard_size="10KB")
            tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="</s>", bos_token="</s>")
            tokenizer.save_pretrained(folder)
            (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n\n# A model\n")
            contents = {path.name: path.read_bytes() for path in folder.iterdir()}
        ends = {
            name: 8 + int.from_bytes(content[:8], "little")
            for name, content in sorted(contents.items())
            if name.endswith(".safetensors")
        }
        assert len(ends) == 2, ends
        shards = {name: (contents[name][:end], (len(contents[name]) - end) // 4) for name, end in ends.items()}
        return _Template({name: content for name, content in contents.items() if name not in shards}, shards)
