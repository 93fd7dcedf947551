"""The files of an export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixhub.errors import ExportError
from mixhub.files import read_json
from mixhub.phrases import listed

WEIGHTS_FILE = "model.safetensors"
WEIGHTS_INDEX_FILE = "model.safetensors.index.json"
EXPORT_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "train_config.yaml",
    "lineage.json",
)
"""Required files beside the weights."""
TOKENIZER_EXTRAS = ("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja")
"""Optional files of a tokenizer."""

_HINT = "delete the folder, and export the newest checkpoint again: mixhub train --seed N (or --index N)"


@dataclass(frozen=True)
class WeightsIndex:
    """`model.safetensors.index.json`: which file holds which tensor."""

    weight_map: Mapping[str, str]
    """File by tensor."""
    total_size: int | None
    """Bytes of all tensors; None if not stated."""

    @property
    def shards(self) -> list[str]:
        """The files, sorted."""
        return sorted(set(self.weight_map.values()))

    @classmethod
    def read(cls, folder: Path) -> WeightsIndex:
        """Read the index of a folder; raises ExportError if it does not map each tensor to a file."""
        path = folder / WEIGHTS_INDEX_FILE
        data = read_json(path, ExportError)
        names = data.get("weight_map") if isinstance(data, Mapping) else None
        if not isinstance(names, Mapping) or not names or not all(isinstance(name, str) for name in names.values()):
            message = f"{path}: weight_map must map each tensor to its file"
            raise ExportError(message, code="index-malformed", hint=_HINT, path=path)
        metadata = data.get("metadata")
        total = metadata.get("total_size") if isinstance(metadata, Mapping) else None
        return cls(names, total if isinstance(total, int) else None)


def weight_files(export: Path) -> list[str]:
    """Return the names of an export's safetensors files: a single one, or the shards in its index.

    Raises:
        ExportError: it has neither or both, the index cannot be read, or a file is missing or does not belong to the
            weights.
    """
    has_index, has_single = (export / WEIGHTS_INDEX_FILE).is_file(), (export / WEIGHTS_FILE).is_file()
    if has_index and has_single:
        raise _incomplete(export, "weights-ambiguous", f"has both {WEIGHTS_FILE} and {WEIGHTS_INDEX_FILE}")
    if not has_index and not has_single:
        raise _incomplete(export, "weights-missing", f"has neither {WEIGHTS_FILE} nor {WEIGHTS_INDEX_FILE}")
    names = WeightsIndex.read(export).shards if has_index else [WEIGHTS_FILE]
    present = {path.name for path in export.glob("*.safetensors")}
    if missing := [name for name in names if name not in present]:
        raise _incomplete(export, "shard-missing", f"lacks {listed(missing)} of {WEIGHTS_INDEX_FILE}", missing)
    if extra := sorted(present.difference(names)):
        raise _incomplete(export, "shard-foreign", f"has {listed(extra)} beside the weights", extra)
    return names


def require_complete(export: Path) -> None:
    """Raise ExportError if files of an export are missing; their content is not read."""
    if not export.is_dir():
        hint = "train it: mixhub train --seed N"
        raise ExportError(f"{export}: no such export", code="export-missing", hint=hint, path=export)
    if missing := [name for name in EXPORT_FILES if not (export / name).is_file()]:
        raise _incomplete(export, "file-missing", f"lacks {listed(missing)}", missing)
    weight_files(export)


def _incomplete(export: Path, code: str, what: str, files: Sequence[str] = ()) -> ExportError:
    return ExportError(f"{export}: the export {what}", code=code, hint=_HINT, path=export, files=tuple(files))
