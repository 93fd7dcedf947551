"""Files of weights, read once: their hash, their tensors, and what in them is not a number."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mixhub.errors import ExportError

_BLOCK = 1 << 20
"""Bytes that are hashed and looked at together: they stay in a core's cache."""
_MOST_HEADER = 100_000_000
"""Bytes of a header, as safetensors itself allows."""
_EDGE = 4096
"""Bytes at either end of a tensor by which two are told apart."""
_BITS = {
    "F64": (np.uint64, 0x7FF0_0000_0000_0000),
    "F32": (np.uint32, 0x7F80_0000),
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
    "F8_E5M2": (np.uint8, 0x7C),
}
"""By dtype: an unsigned integer as wide, and the bits of the exponent, which are all set in what is not finite."""
WIDTHS = {
    "F8_E4M3": 1, "BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "U32": 4, "I32": 4, "U64": 8, "I64": 8,
    **{name: np.dtype(kind).itemsize for name, (kind, _) in _BITS.items()},
}  # fmt: skip
"""Bytes of an element, by dtype."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of a safetensors file."""

    dtype: str
    """As safetensors names it: `F32`, `BF16`."""
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Scanned:
    """A safetensors file that was read from its first byte to its last."""

    sha256: str
    size: int
    tensors: Mapping[str, Tensor]
    not_finite: Mapping[str, int]
    """How many elements of a tensor are NaN or infinite; those that have none are left out."""


def scan(path: Path) -> Scanned:
    """Reads a safetensors file once: hashes it, and looks at every number of it.

    Raises:
        ExportError: it cannot be read, is cut short, or is no safetensors file.
    """
    try:
        with path.open("rb", buffering=0) as file:
            size = path.stat().st_size
            digest = hashlib.sha256()
            head = file.read(8)
            length = int.from_bytes(head, "little")
            raw = file.read(length) if 8 + length <= size and length <= _MOST_HEADER else b""
            places = _places(path, size, head, raw)
            digest.update(head + raw)
            counts = {name: _read_tensor(file, tensor, length, digest) for name, (tensor, length) in places.items()}
            tensors = {name: tensor for name, (tensor, _) in places.items()}
            not_finite = {name: count for name, count in counts.items() if count}
            return Scanned(digest.hexdigest(), size, tensors, not_finite)
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror}", path=path) from None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors that a file says that it holds, in their order; raises as `scan`, and reads no weights."""
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(8)
            length = int.from_bytes(head, "little")
            size = path.stat().st_size
            raw = file.read(length) if 8 + length <= size and length <= _MOST_HEADER else b""
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror}", path=path) from None
    return {name: tensor for name, (tensor, _) in _places(path, size, head, raw).items()}


def edges_sha256(folder: Path) -> str | None:
    """A hash of the names, dtypes, shapes and both ends of all tensors of a folder; None where they cannot be read.

    Two folders that hold the same tensors have the same, however they are divided into files; two trainings do not,
    since a step of training changes every tensor. It reads some kilobytes a tensor.
    """
    lines = []
    try:
        for path in sorted(folder.glob("*.safetensors")):
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                raw = file.read(min(length, _MOST_HEADER))
                start = 8 + length
                for name, (tensor, size) in _places(
                    path, path.stat().st_size, length.to_bytes(8, "little"), raw
                ).items():
                    file.seek(start)
                    edges = file.read(min(_EDGE, size))
                    file.seek(max(start, start + size - _EDGE))
                    edges += file.read(min(_EDGE, size))
                    lines.append(f"{name}\0{tensor.dtype} {tensor.shape}\0{hashlib.sha256(edges).hexdigest()}\n")
                    start += size
    except (OSError, ExportError):
        return None
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest() if lines else None


def _places(path: Path, size: int, head: bytes, raw: bytes) -> dict[str, tuple[Tensor, int]]:
    """Tensors with their bytes, in the order of the file; refuses holes, overlaps and a file of another size."""
    length = int.from_bytes(head, "little")
    if len(head) < 8 or len(raw) < length or not raw.startswith(b"{"):
        raise _broken(path, f"no safetensors file, or cut short ({size} bytes)")
    try:
        header = json.loads(raw)
        found = sorted(_offsets(header), key=lambda place: place[2])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _broken(path, f"its header cannot be read ({type(error).__name__}: {error})") from None
    end = 0
    for name, tensor, start, stop in found:
        width = WIDTHS.get(tensor.dtype)
        if start != end or stop < start or (width and stop - start != width * math.prod(tensor.shape)):
            raise _broken(path, f"tensor {name} does not lie where its header says")
        end = stop
    if 8 + length + end != size:
        raise _broken(path, f"has {size} bytes, and its header says {8 + length + end}")
    return {name: (tensor, stop - start) for name, tensor, start, stop in found}


def _offsets(header: Mapping[str, Any]) -> Iterator[tuple[str, Tensor, int, int]]:
    for name, entry in header.items():
        if name != "__metadata__":
            start, stop = entry["data_offsets"]
            shape = tuple(int(length) for length in entry["shape"])
            yield name, Tensor(str(entry["dtype"]), shape), int(start), int(stop)


def _read_tensor(file: BinaryIO, tensor: Tensor, length: int, digest: Any) -> int:
    bad, left = 0, length
    buffer = bytearray(min(_BLOCK, length))
    while left:
        view = memoryview(buffer)[: min(_BLOCK, left)]
        filled = 0
        while filled < len(view):  # an unbuffered read may give less than was asked for
            if not (got := file.readinto(view[filled:])):  # type: ignore[attr-defined]  # a raw file has it
                raise OSError(0, "the file became shorter while it was read")
            filled += got
        digest.update(view)
        left -= len(view)
        bad += _count_not_finite(tensor.dtype, view)
    return bad


def _count_not_finite(dtype: str, view: memoryview) -> int:
    if dtype == "F8_E4M3":  # has no infinity
        return int(np.count_nonzero((np.frombuffer(view, np.uint8) & 0x7F) == 0x7F))
    if dtype not in _BITS:
        return 0
    kind, exponent = _BITS[dtype]
    bits = np.frombuffer(view, kind) & kind(exponent)
    return int(np.count_nonzero(bits == exponent)) if bits.max(initial=0) == exponent else 0


def _broken(path: Path, what: str) -> ExportError:
    return ExportError(f"{path}: {what}", hint="copy it again from where it was made, or make it again", path=path)
