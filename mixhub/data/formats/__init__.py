"""Formats of other tools for files of tokens: a module for each, and a table of all."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mixhub.data.formats import datatrove, litgpt, llmc, megatron, olmo, parquet
from mixhub.data.formats.base import Format
from mixhub.errors import CorpusError, UnknownNameError
from mixhub.workspace.manifest import TokenFormat

_ALL = (
    Format("megatron", True, megatron.read, megatron.write, unit="domain"),
    Format("datatrove", True, datatrove.read, datatrove.write),
    Format("parquet", True, parquet.read, parquet.write),
    Format("olmo", False, olmo.read, olmo.write),
    Format("llm.c", False, llmc.read, llmc.write),
    Format("litgpt", False, litgpt.read, litgpt.write, unit="chunks"),
    Format("regmix", False, litgpt.read, litgpt.write_full, unit="chunks"),
)
FORMATS = {one.name: one for one in _ALL}
"""Every format by its name."""

_BESIDE = {".idx": ".bin", ".ds.index": ".ds", ".ds.metadata": ".ds"}
"""Files that belong to a file of tokens, by their suffixes."""


def format_named(name: str) -> Format:
    """Return a format; raises UnknownNameError if there is no such format."""
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    return FORMATS[name]


def token_file(path: Path) -> Path:
    """Return the file of tokens that a file belongs to, such as the `.bin` of an `.idx` or of Megatron's prefix."""
    for suffix, other in _BESIDE.items():
        if path.name.endswith(suffix):
            return path.with_name(path.name.removesuffix(suffix) + other)
    prefixed = path.with_name(f"{path.name}.bin")
    return prefixed if not path.exists() and prefixed.exists() else path


def guess_format(path: Path) -> Format:
    """Return the format of a file by its name and first bytes; raises CorpusError if they fit none."""
    with path.open("rb") as file:
        start = file.read(8)
    name: TokenFormat
    if path.suffix == ".parquet":
        name = "parquet"
    elif start.startswith(litgpt.MAGIC):
        name = "litgpt"
    elif len(start) == 8 and tuple(np.frombuffer(start, "<i4").tolist()) in llmc.KINDS:
        name = "llm.c"
    elif path.suffix == ".ds":
        name = "datatrove"
    elif path.suffix == ".npy":
        name = "olmo"
    elif path.suffix == ".bin" and megatron.index_of(path).is_file():
        name = "megatron"
    else:
        hint = f"pass --format: {', '.join(FORMATS)}"
        message = f"{path}: its name and first bytes fit no format"
        raise CorpusError(message, code="format-unclear", hint=hint, path=path)
    return FORMATS[name]
