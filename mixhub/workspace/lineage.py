"""The origin of an export: hashes, versions and seeds, where known."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from mixhub._version import __version__
from mixhub.errors import ExportError
from mixhub.files import read_json
from mixhub.spec.base import FrozenList, FrozenMap, Spec
from mixhub.spec.values import Count, Label, NonNegativeFloat, Origin, PositiveInt

UNKNOWN: Literal["unknown"] = "unknown"
"""Stands for unknown values of a run from another trainer."""

Unknown = Literal["unknown"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

LINEAGE_FILE = "lineage.json"


class DatasetPart(Spec):
    """How much of a dataset repo was downloaded and packed."""

    repo_id: str
    """The dataset repo."""
    files: Count
    """Files that were packed."""
    of: Count
    """Files that the dataset has of the same domains."""

    @property
    def is_whole(self) -> bool:
        """Whether all files were packed."""
        return self.files == self.of


class Lineage(Spec):
    """Where an export comes from, without paths and dates.

    The same run gives the same bytes, but for `device_hours` and `mfu`, which are measured.
    """

    format: Literal[1] = 1
    """Version of this file's layout."""
    family: str
    """Name of the family."""
    revision: str
    """Branch of the run."""
    kind: Literal["seed", "index"]
    """What distinguishes the family's runs."""
    number: Label
    """The seed or the index."""
    replicates: str | None = None
    """Published family whose recipe the run repeats."""
    seeds: Origin | Unknown | None = None
    """Of a replication, whether its seeds are published or chosen."""
    step: Count | Unknown
    """Updates made."""
    steps: Count | Unknown
    """Updates of the whole run."""
    tokens: Count | Unknown
    """Training tokens seen."""
    init_seed: Count | Unknown
    """Seed of the initial weights."""
    order_seed: Count | Unknown
    """Seed of the order of samples."""
    train_config_sha256: Sha256 | Unknown
    """Hash of the content of `train_config.yaml`."""
    corpus_sha256: Sha256 | Unknown
    """Hash of the part of the token shards' manifest that the family reads."""
    datasets: FrozenList[DatasetPart] | Unknown | None = None
    """Dataset repos from which the training text was downloaded by mixhub, and how many of their files were packed."""
    tokenizer_sha256: Sha256 | Unknown
    """Hash of `tokenizer.json`."""
    initial_weights_sha256: Sha256 | Unknown
    """`weights_sha256` at step 0; equal for runs with the same init_seed."""
    weights_sha256: Sha256
    """Hash of the weights (see `weights_sha256`)."""
    device: str
    """Kind of device that trained, such as `cpu` or `cuda`."""
    processes: PositiveInt | Unknown
    """Processes that trained together."""
    versions: FrozenMap[str, str]
    """Versions of the packages that trained."""
    device_name: str | None = None
    """Name of each GPU, or several names if the run went on with others; None of a CPU, or if unknown."""
    device_hours: NonNegativeFloat | None = None
    """Hours of the updates, times the processes; without validations, checkpoints and updates that were lost with a
    process. None if unknown."""
    mfu: NonNegativeFloat | None = None
    """Share of the devices' peak that the model's FLOPs in this time are; None if the peak or the time is unknown."""


def file_sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_sha256(folder: Path) -> str:
    """Return `combined_sha256` of a folder's safetensors files; raises ExportError if it has none."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ExportError(f"{folder}: no *.safetensors file", code="weights-missing", path=folder)
    return combined_sha256((path.name, file_sha256(path)) for path in files)


def combined_sha256(hashes: Iterable[tuple[str, str]]) -> str:
    """Return the sha256 of the sorted lines "name, NUL, sha256, newline"."""
    lines = sorted(f"{name}\0{digest}\n" for name, digest in hashes)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_lineage(export: Path) -> Lineage:
    """Read the lineage of an export folder; raises ExportError if it is missing, SpecError if it is malformed."""
    path = export / LINEAGE_FILE
    return Lineage.from_data(read_json(path, ExportError), str(path))


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of mixhub and of packages, without importing them; `unknown` if not installed."""
    from importlib import metadata

    installed = {"mixhub": __version__}
    for package in packages:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            installed[package] = UNKNOWN
    return installed
