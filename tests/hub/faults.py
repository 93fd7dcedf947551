"""Faults to plant in the files of a model, and what finds each: the rows of the table in docs/concepts/checks.md."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from mixhub.workspace.lineage import weights_sha256

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")

Plant = Callable[[Path, Path], object]
"""Plants a fault in a folder; the second one is that of another seed, which it may change too."""


def edit(folder: Path, name: str, **changes: object) -> None:
    data = json.loads((folder / name).read_text())
    data.update(changes)
    (folder / name).write_text(json.dumps(data))


def weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(folder / WEIGHTS).items()}
    change(tensors)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})


def shard(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    names = sorted(tensors)
    halves = dict(zip(SHARDS, (names[:9], names[9:]), strict=True))
    for file, own in halves.items():
        save_file({name: tensors[name] for name in own}, folder / file, {"format": "pt"})
    (folder / WEIGHTS).unlink()
    weight_map = {name: file for file, own in halves.items() for name in own}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def missing_shard(folder: Path, _: Path) -> None:
    shard(folder)
    (folder / SHARDS[1]).unlink()


def missing_index(folder: Path, _: Path) -> None:
    shard(folder)
    (folder / INDEX).unlink()


def single_beside_index(folder: Path, other: Path) -> None:
    kept = (folder / WEIGHTS).read_bytes()
    shard(folder)
    (folder / WEIGHTS).write_bytes(kept)
    weights(folder, lambda tensors: [tensor.mul_(1.5) for tensor in tensors.values()])


def extra_shard(folder: Path, _: Path) -> None:
    shard(folder)
    save_file({"a": torch.ones(2)}, folder / "model-00003-of-00003.safetensors", {"format": "pt"})


def truncated(folder: Path, _: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-500])


def not_finite(folder: Path, _: Path) -> None:
    weights(folder, lambda tensors: tensors["model.norm.weight"].fill_(float("nan")))


def other_shape(folder: Path, _: Path) -> None:
    edit(folder, "config.json", vocab_size=310)


def no_head(folder: Path, _: Path) -> None:
    weights(folder, lambda tensors: tensors.pop("lm_head.weight"))


def tied_head(folder: Path, _: Path) -> None:
    edit(folder, "config.json", tie_word_embeddings=True)


def rebuilt_tokenizer(folder: Path, _: Path) -> None:
    plain = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": False}
    edit(folder, "tokenizer.json", pre_tokenizer=plain)
    edit(folder, "tokenizer_config.json", tokenizer_class="GPT2Tokenizer")


def other_end(folder: Path, _: Path) -> None:
    edit(folder, "config.json", eos_token_id=5)


def other_padding(folder: Path, _: Path) -> None:
    edit(folder, "tokenizer_config.json", pad_token="<|endoftext|>")
    edit(folder, "config.json", pad_token_id=7)


def other_dtype(folder: Path, _: Path) -> None:
    edit(folder, "config.json", dtype="float16")


def dtype_of_one_seed(folder: Path, _: Path) -> None:
    weights(folder, lambda tensors: tensors.update({k: v.to(torch.bfloat16) for k, v in tensors.items()}))
    edit(folder, "config.json", dtype="bfloat16")


def pickle(folder: Path, _: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"x")


def custom_code(folder: Path, _: Path) -> None:
    edit(folder, "config.json", auto_map={"AutoModelForCausalLM": "a/b--model.Own"})


def copied_weights(folder: Path, other: Path) -> None:
    shutil.copyfile(other / WEIGHTS, folder / WEIGHTS)


def copied_shard(folder: Path, other: Path) -> None:
    shard(folder)
    shard(other)
    shutil.copyfile(other / SHARDS[0], folder / SHARDS[0])


def copied_in_shards(folder: Path, other: Path) -> None:
    copied_weights(folder, other)
    shard(folder)


def copied_matrix(folder: Path, other: Path) -> None:
    theirs = load_file(other / WEIGHTS)
    name = "model.layers.0.mlp.up_proj.weight"
    weights(folder, lambda tensors: tensors.update({name: theirs[name]}))


def told(plant: Plant) -> Plant:
    """Plants a fault, and writes the hashes of what is there then into both lineages."""

    def planted(folder: Path, other: Path) -> None:
        plant(folder, other)
        for one in (folder, other):
            edit(one, "lineage.json", weights_sha256=weights_sha256(one))

    return planted


@dataclass(frozen=True)
class Fault:
    """A row of the table."""

    what: str
    plant: Plant
    found: tuple[str, str, str, str, str]
    """By `check` and `push`, `verify` and `load` in mixhub's own repos, and by `verify` and `load` in other repos."""


ERROR, WARNING, DEEP, NOTHING = "error", "warning", "`--deep`", ""
FAULTS = (
    Fault("a missing shard", missing_shard, (ERROR, ERROR, ERROR, ERROR, ERROR)),
    Fault("shards without their index", told(missing_index), (ERROR, ERROR, ERROR, ERROR, ERROR)),
    Fault(
        "`model.safetensors` beside the index of other shards",
        told(single_beside_index),
        (ERROR, ERROR, ERROR, ERROR, WARNING),
    ),
    Fault(
        "an extra shard, which Transformers does not open", told(extra_shard), (ERROR, ERROR, ERROR, WARNING, NOTHING)
    ),
    Fault("a truncated file of weights", truncated, (ERROR, ERROR, ERROR, ERROR, ERROR)),
    Fault("NaN or infinite weights", told(not_finite), (ERROR, DEEP, NOTHING, DEEP, NOTHING)),
    Fault("a config with another vocabulary or other shapes", other_shape, (ERROR, ERROR, ERROR, ERROR, ERROR)),
    Fault("a tensor that is missing, such as the head", told(no_head), (ERROR, ERROR, ERROR, ERROR, ERROR)),
    Fault(
        "a head that differs from the embedding it is tied to",
        tied_head,
        (ERROR, ERROR, NOTHING, WARNING, NOTHING),
    ),
    Fault(
        "a tokenizer of which Transformers makes another", rebuilt_tokenizer, (ERROR, ERROR, WARNING, ERROR, WARNING)
    ),
    Fault("a config with another bos or eos than the tokenizer", other_end, (ERROR, ERROR, WARNING, WARNING, WARNING)),
    Fault(
        "a config with another padding than the tokenizer", other_padding, (WARNING, WARNING, NOTHING, WARNING, NOTHING)
    ),
    Fault("a config with another dtype than the weights", other_dtype, (ERROR, ERROR, NOTHING, WARNING, NOTHING)),
    Fault("seeds in different dtypes", told(dtype_of_one_seed), (WARNING, WARNING, NOTHING, WARNING, NOTHING)),
    Fault("a pickle beside the weights", pickle, (ERROR, ERROR, NOTHING, WARNING, NOTHING)),
    Fault(
        "a config that asks for custom code, which is not run", custom_code, (ERROR, ERROR, NOTHING, WARNING, NOTHING)
    ),
    Fault("the weights of another seed or step", told(copied_weights), (ERROR, ERROR, NOTHING, ERROR, NOTHING)),
    Fault("a weight file of another seed or step", told(copied_shard), (ERROR, ERROR, NOTHING, ERROR, NOTHING)),
    Fault(
        "… in other shards, under another header, or cast",
        told(copied_in_shards),
        (ERROR, DEEP, NOTHING, DEEP, NOTHING),
    ),
    Fault("some matrices of another seed or step", told(copied_matrix), (ERROR, DEEP, NOTHING, DEEP, NOTHING)),
)
HEADER = (
    "| what goes wrong | `check`, `push` | `verify` | `load` | `verify`, other repos | `load`, other repos |\n"
    "|---|---|---|---|---|---|\n"
)


def table() -> str:
    """The table, as the page has it."""
    return HEADER + "".join(f"| {' | '.join((fault.what, *fault.found))} |\n".replace("  ", " ") for fault in FAULTS)
