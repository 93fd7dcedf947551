"""Safetensors files, read once: hash, tensors, and numbers that are not finite."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mixhub.errors import ExportError

if TYPE_CHECKING:
    import numpy as np

_BLOCK = 1 << 20
"""Bytes that are hashed and checked together; they fit into the cache of a core."""
MAX_HEADER = 100_000_000
"""Longest header in bytes that safetensors itself accepts."""
_HEADER_ALONE = re.compile(r"incomplete metadata|MetadataIncompleteBuffer")
"""How safetensors, by version, reports a header that is right, without the tensors that it describes."""
_EDGE = 4096
"""Bytes at each end of a tensor that its fingerprint covers."""
_FIRST = 64
"""Numbers of a tensor by which different dtypes are compared."""
FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Dtypes of weights that load without conversion, with their names in torch."""
_EXPONENTS = {
    "F64": ("uint64", 0x7FF0_0000_0000_0000),
    "F32": ("uint32", 0x7F80_0000),
    "F16": ("uint16", 0x7C00),
    "BF16": ("uint16", 0x7F80),
    "F8_E5M2": ("uint8", 0x7C),
}
"""By dtype: an unsigned integer of its width, and the bits of the exponent, all set in a number that is not finite."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of a safetensors file."""

    dtype: str
    """As safetensors names it: `F32`, `BF16`."""
    shape: tuple[int, ...]
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Scanned:
    """A safetensors file that was read from the first byte to the last."""

    sha256: str
    tensors: Mapping[str, Tensor]
    not_finite: Mapping[str, int]
    """Number of NaN or infinite elements by tensor; tensors without any are absent."""


def scan(path: Path) -> Scanned:
    """Read a safetensors file once: hash it, and look at every number.

    Raises:
        ExportError: it cannot be read, is truncated, or is not a safetensors file.
    """
    try:
        with path.open("rb") as file:
            header, tensors = _read_header(path)
            digest = hashlib.sha256(header)
            file.seek(len(header))
            counts = {name: _scan_tensor(file, tensor, digest) for name, tensor in tensors.items()}
    except OSError as error:
        reason = error.strerror or error
        raise ExportError(f"{path}: cannot be read: {reason}", code="file-unreadable", path=path) from None
    return Scanned(digest.hexdigest(), tensors, {name: count for name, count in counts.items() if count})


def header_end(start: bytes) -> int:
    """Return where the header of a file ends, from its first 8 bytes."""
    return 8 + int.from_bytes(start[:8], "little")


def header_tensors(name: str, size: int, start: bytes) -> dict[str, Tensor]:
    """Return the tensors of a file, in the order of their bytes, from its first bytes.

    Args:
        name: the file, for errors.
        size: bytes of the whole file.
        start: its first bytes, at least up to `header_end`.

    Raises:
        ExportError: it is truncated, or not a safetensors file.
    """
    from safetensors import SafetensorError, deserialize

    header = start[: header_end(start)]
    try:
        deserialize(header)  # type: ignore[no-untyped-call]  # checks the header first, then whether the tensors follow it
    except SafetensorError as error:
        if not _HEADER_ALONE.search(str(error)):
            raise _malformed(name, str(error)) from None
    entries = json.loads(header[8:])
    entries.pop("__metadata__", None)
    tensors = {}
    for tensor, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        tensors[tensor] = Tensor(entry["dtype"], tuple(entry["shape"]), end - begin)
    expected = len(header) + sum(tensor.size for tensor in tensors.values())
    if size != expected:
        raise _malformed(name, f"has {size:,} bytes, but its header describes {expected:,}")
    return tensors


def _malformed(name: str, why: str) -> ExportError:
    message = f"{name}: not a complete safetensors file: {why}"
    hint = "copy the file again, or export the model again"
    return ExportError(message, code="weights-malformed", hint=hint, path=Path(name))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, from its header; raises ExportError if it is malformed or truncated."""
    return _read_header(path)[1]


def _read_header(path: Path) -> tuple[bytes, dict[str, Tensor]]:
    """Return the bytes before the tensors, and the tensors in the order of the file."""
    with path.open("rb") as file:
        raw = file.read(8)
        raw += file.read(max(0, min(header_end(raw), MAX_HEADER) - 8))
        return raw, header_tensors(str(path), os.fstat(file.fileno()).st_size, raw)


def _scan_tensor(file: BinaryIO, tensor: Tensor, digest: Any) -> int:
    """Hash the bytes of a tensor, and count its numbers that are not finite."""
    bad = 0
    for start in range(0, tensor.size, _BLOCK):
        wanted = min(_BLOCK, tensor.size - start)
        block = file.read(wanted)
        if len(block) < wanted:
            raise OSError(0, "the file shrank while it was read")
        digest.update(block)
        bad += _count_not_finite(tensor.dtype, block)
    return bad


def _count_not_finite(dtype: str, block: bytes) -> int:
    import numpy as np

    if dtype == "F8_E4M3":  # has no infinity
        return int(np.count_nonzero((np.frombuffer(block, np.uint8) & 0x7F) == 0x7F))
    if dtype not in _EXPONENTS:
        return 0
    kind, exponent = _EXPONENTS[dtype]
    bits = np.frombuffer(block, kind) & np.dtype(kind).type(exponent)
    return int(np.count_nonzero(bits == exponent)) if bits.max(initial=0) == exponent else 0


@dataclass(frozen=True)
class Fingerprint:
    """Properties that distinguish tensors without reading all of them."""

    tensor: Tensor
    edges: bytes
    """sha256 of the bytes at both ends."""
    varies: bool
    """False if the ends hold at most two different numbers, as in a mask, or a norm that was never trained."""
    first: np.ndarray
    """The first numbers, float32, shape (at most 64,); empty unless the dtype is a plain float."""

    def matches(self, other: Fingerprint) -> bool:
        """Whether both seem to hold the same numbers; one may be a cast of the other."""
        if self.tensor.dtype == other.tensor.dtype:
            return self.edges == other.edges
        import numpy as np

        if not (self.first.size and self.first.size == other.first.size):
            return False
        return bool(np.allclose(self.first, other.first, rtol=2**-7, atol=1e-7, equal_nan=True))  # as exact as bfloat16


def fingerprints(folder: Path) -> dict[str, Fingerprint]:
    """Return the fingerprints of all tensors of a folder, by name; empty if they cannot be read.

    Reads a few kilobytes per tensor.
    """
    import numpy as np
    import torch

    prints = {}
    try:
        for path in sorted(folder.glob("*.safetensors")):
            header, tensors = _read_header(path)
            start = len(header)
            with path.open("rb") as file:
                for name, tensor in tensors.items():
                    length = min(_EDGE, tensor.size)
                    file.seek(start)
                    edges = file.read(length)
                    first = np.empty(0, np.float32)
                    if edges and tensor.dtype in FLOATS:
                        numbers = torch.frombuffer(bytearray(edges), dtype=getattr(torch, FLOATS[tensor.dtype]))
                        first = numbers[:_FIRST].float().numpy()
                    file.seek(start + tensor.size - length)
                    edges += file.read(length)
                    width = tensor.size // math.prod(tensor.shape) if tensor.size else 1
                    varies = len(edges) > width and _count_values(edges, width) > 2
                    prints[name] = Fingerprint(tensor, hashlib.sha256(edges).digest(), varies, first)
                    start += tensor.size
    except (OSError, ExportError):
        return {}
    return prints


def _count_values(edges: bytes, width: int) -> int:
    """Return how many different numbers of a width in bytes there are."""
    return len({edges[start : start + width] for start in range(0, len(edges), max(1, width))})


def equal_tensors(one: Path, other: Path, names: Mapping[str, str]) -> list[str]:
    """Return which tensors are equal in two folders, number by number; one may be a cast of the other.

    Args:
        one: a folder.
        other: a folder, maybe the same.
        names: by the name of a tensor in the first, that in the second.
    """
    import torch
    from safetensors import safe_open

    def read(folder: Path, name: str) -> torch.Tensor:
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, "pt") as file:
                if name in file.keys():  # noqa: SIM118 - not a mapping
                    tensor: torch.Tensor = file.get_tensor(name)
                    return tensor
        raise KeyError(name)

    def are_equal(name: str) -> bool:
        a, b = read(one, name), read(other, names[name])
        if a.dtype == b.dtype:
            return torch.equal(a.flatten().view(torch.uint8), b.flatten().view(torch.uint8))
        return torch.allclose(a.float(), b.float(), rtol=2**-7, atol=1e-7, equal_nan=True)

    return [name for name in names if are_equal(name)]


def shared_tensors(one: Mapping[str, Fingerprint], other: Mapping[str, Fingerprint]) -> list[str]:
    """Return the matrices, except constants, that two models share; runs with different initial weights share none."""
    return [
        name
        for name, tensor in one.items()
        if name in other
        and len(tensor.tensor.shape) > 1
        and tensor.tensor.shape == other[name].tensor.shape
        and tensor.varies
        and tensor.matches(other[name])
    ]


def are_same_tensors(one: Mapping[str, Fingerprint], other: Mapping[str, Fingerprint]) -> bool:
    """Whether two models hold the same tensors, in any division into files and any dtype.

    Two runs never do: a step of training changes every tensor. A tensor that one model lacks, such as the head of
    tied embeddings, does not count, but most must be in both.
    """
    common = [name for name in one if name in other and one[name].tensor.shape == other[name].tensor.shape]
    return 2 * len(common) > max(len(one), len(other)) and all(one[name].matches(other[name]) for name in common)
