"""A workspace with two finished runs, to break one of them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from mixhub.hub.check.run import RunCheck, check_run
from mixhub.spec.family import Family
from mixhub.workspace.lineage import weights_sha256
from mixhub.workspace.paths import Workspace
from tests.hub.seen import seen

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@dataclass
class Bench:
    """A workspace to break, and how to look at it."""

    workspace: Workspace
    family: Family

    def export(self, seed: int = 1) -> Path:
        return self.workspace.export(self.family.run(seed=seed), self.family.training.steps)

    def check(self, seed: int = 1, **options) -> RunCheck:
        return check_run(self.workspace, self.family, self.family.run(seed=seed), **options)

    def seen(self, seed: int = 1, **options) -> list[str]:
        """What is found of a run, as `tests.hub.seen` gives it; every finding is of the branch that it goes to."""
        checked = self.check(seed, **options)
        found = seen(checked.findings, checked.branch)
        assert len(found) == len(checked.findings)
        return found

    def edit(self, name: str, change: Callable[[dict], object], seed: int = 1) -> None:
        """Changes a JSON file of an export."""
        path = self.export(seed) / name
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))

    def header(self, change: Callable[[dict], object]) -> None:
        """Changes the header of the weights, and leaves the rest of the file as it is."""
        change_header(self.export() / WEIGHTS, change)

    def weights(self, change: Callable[[dict[str, torch.Tensor]], object], seed: int = 1, *, told: bool = True) -> None:
        """Changes the weights of an export, and the hash in its lineage."""
        path = self.export(seed) / WEIGHTS
        tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
        change(tensors)
        save_file(tensors, path, {"format": "pt"})
        if told:
            self.tell_weights(seed)

    def tell_weights(self, seed: int = 1) -> None:
        """Writes the hash of the weights into the lineage."""
        digest = weights_sha256(self.export(seed))
        self.edit("lineage.json", lambda lineage: lineage.update(weights_sha256=digest), seed)

    def shard(self, seed: int = 1) -> None:
        """Divides the weights of an export into two files."""
        export = self.export(seed)
        tensors = load_file(export / WEIGHTS)
        names = sorted(tensors)
        files = dict(zip(SHARDS, (names[: len(names) // 2], names[len(names) // 2 :]), strict=True))
        for file, own in files.items():
            save_file({name: tensors[name] for name in own}, export / file, {"format": "pt"})
        (export / WEIGHTS).unlink()
        total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        weight_map = {name: file for file, own in files.items() for name in own}
        (export / INDEX).write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}))
        self.tell_weights(seed)


def change_header(path: Path, change: Callable[[dict], object]) -> None:
    """Changes the header of a safetensors file, and leaves the rest of it as it is."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    change(header)
    raw = json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + content[end:])
