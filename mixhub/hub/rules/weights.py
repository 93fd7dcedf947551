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
MOST_HEADER = 100_000_000
"""Bytes of a header, as safetensors itself allows."""
_EDGE = 4096
"""Bytes at either end of a tensor by which two are told apart."""
_FIRST = 64
"""Numbers of a tensor by which two of unlike dtypes are compared."""
FLOATS = ("F64", "F32", "F16", "BF16")
"""Dtypes of weights that load without conversion."""
_BITS = {
    "F64": (np.uint64, 0x7FF0_0000_0000_0000),
    "F32": (np.uint32, 0x7F80_0000),
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
    "F8_E5M2": (np.uint8, 0x7C),
}
"""By dtype: an unsigned integer as wide, and the bits of the exponent, which are all set in what is not finite."""
WIDTHS = {
    "F8_E4M3": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1, "F8_E8M0": 1, "C64": 8,
    "BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "U32": 4, "I32": 4, "U64": 8, "I64": 8,
    **{name: np.dtype(kind).itemsize for name, (kind, _) in _BITS.items()},
}  # fmt: skip
"""Bytes of an element, by dtype."""
_PACKED = ("F4", "F6_E2M3", "F6_E3M2")
"""Dtypes of which several elements share a byte; those of safetensors are these and the keys of `WIDTHS`."""


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
            raw = file.read(length) if 8 + length <= size and length <= MOST_HEADER else b""
            places = _places(path, size, head, raw)
            digest.update(head + raw)
            counts = {name: _read_tensor(file, tensor, length, digest) for name, (tensor, length) in places.items()}
            tensors = {name: tensor for name, (tensor, _) in places.items()}
            not_finite = {name: count for name, count in counts.items() if count}
            return Scanned(digest.hexdigest(), size, tensors, not_finite)
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror}", code="file-unreadable", path=path) from None


def header_end(start: bytes) -> int:
    """Where the header of a file ends, by its first 8 bytes."""
    return 8 + int.from_bytes(start[:8], "little")


def header_tensors(name: str, size: int, start: bytes) -> dict[str, Tensor]:
    """The tensors that a file says that it holds, in their order, from its first bytes.

    Args:
        name: of the file, for errors.
        size: bytes of the whole file.
        start: its first bytes, up to `header_end` at least.

    Raises:
        ExportError: it is cut short, or is no safetensors file.
    """
    places = _places(Path(name), size, start[:8], start[8 : header_end(start)])
    return {name: tensor for name, (tensor, _) in places.items()}


@dataclass(frozen=True)
class Fingerprint:
    """What tells one tensor from another, without reading all of it."""

    tensor: Tensor
    edges: bytes
    """sha256 of the bytes at both ends."""
    varies: bool
    """Whether the numbers at its ends are not all the same, as those of a norm that was never trained are."""
    first: np.ndarray
    """The first numbers, float32, shape (at most 64,); none of a dtype that is no plain float."""

    def is_alike(self, other: Fingerprint) -> bool:
        """Whether the two are the same numbers, as far as is seen; one may be a cast of the other."""
        if self.tensor.dtype == other.tensor.dtype:
            return self.edges == other.edges
        if not (self.first.size and self.first.size == other.first.size):
            return False
        return bool(np.allclose(self.first, other.first, rtol=2**-7, atol=1e-7, equal_nan=True))  # as exact as bfloat16


def fingerprints(folder: Path) -> dict[str, Fingerprint]:
    """Both ends and the first numbers of all tensors of a folder, by name; empty where they cannot be read.

    It reads some kilobytes a tensor.
    """
    found = {}
    try:
        for path in sorted(folder.glob("*.safetensors")):
            with path.open("rb") as file:
                head = file.read(8)
                length = int.from_bytes(head, "little")
                raw = file.read(min(length, MOST_HEADER))
                start = 8 + length
                for name, (tensor, size) in _places(path, path.stat().st_size, head, raw).items():
                    file.seek(start)
                    edges = file.read(min(_EDGE, size))
                    first = _floats(tensor.dtype, edges)
                    file.seek(max(start, start + size - _EDGE))
                    edges += file.read(min(_EDGE, size))
                    found[name] = Fingerprint(
                        tensor, hashlib.sha256(edges).digest(), _varies(tensor.dtype, edges), first
                    )
                    start += size
    except (OSError, ExportError):
        return {}
    return found


def shared_tensors(one: Mapping[str, Fingerprint], other: Mapping[str, Fingerprint]) -> list[str]:
    """Matrices that two folders have alike, and that are no constants: no two trainings that began apart have any."""
    return [
        name
        for name, own in one.items()
        if name in other
        and len(own.tensor.shape) > 1
        and own.tensor.shape == other[name].tensor.shape
        and own.varies
        and own.is_alike(other[name])
    ]


def _varies(dtype: str, edges: bytes) -> bool:
    width = WIDTHS.get(dtype, 1)
    return len(edges) > width and edges != edges[:width] * (len(edges) // width)


def are_same_tensors(one: Mapping[str, Fingerprint], other: Mapping[str, Fingerprint]) -> bool:
    """Whether two folders hold the same tensors, however they are divided into files, and in whichever dtype.

    Two trainings do not, since a step of training changes every tensor. A tensor that one of them lacks, as the head
    of tied embeddings, does not count; most must be in both.
    """
    common = [name for name in one if name in other and one[name].tensor.shape == other[name].tensor.shape]
    return 2 * len(common) > max(len(one), len(other)) and all(one[name].is_alike(other[name]) for name in common)


def _floats(dtype: str, data: bytes) -> np.ndarray:
    """The first numbers of a tensor as float32; none where the dtype is no plain float."""
    if dtype not in FLOATS:
        return np.empty(0, np.float32)
    kind = np.dtype({"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}[dtype])
    numbers = np.frombuffer(data[: _FIRST * kind.itemsize], kind)
    if dtype == "BF16":
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):  # a float64 beyond float32
        return numbers.astype(np.float32)


def _places(path: Path, size: int, head: bytes, raw: bytes) -> dict[str, tuple[Tensor, int]]:
    """Tensors with their bytes, in the order of the file; refuses holes, overlaps and a file of another size."""
    length = int.from_bytes(head, "little")
    if len(head) < 8 or len(raw) < length or not raw.startswith(b"{"):
        raise _broken(path, "length", f"no safetensors file, or cut short ({size} bytes)")
    try:
        header = json.loads(raw)
        found = sorted(_offsets(header), key=lambda place: place[2:])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _broken(path, "header", f"its header cannot be read ({type(error).__name__}: {error})") from None
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise _broken(path, "metadata", "__metadata__ of its header must map names to texts")
    end = 0
    for name, tensor, start, stop in found:
        width = WIDTHS.get(tensor.dtype)
        if start != end or stop < start or (width and stop - start != width * math.prod(tensor.shape)):
            raise _broken(path, "offsets", f"tensor {name} does not lie where its header says")
        end = stop
    if 8 + length + end != size:
        raise _broken(path, "size", f"has {size} bytes, and its header says {8 + length + end}")
    return {name: (tensor, stop - start) for name, tensor, start, stop in found}


def _offsets(header: Mapping[str, Any]) -> Iterator[tuple[str, Tensor, int, int]]:
    for name, entry in header.items():
        if name != "__metadata__":
            start, stop = entry["data_offsets"]
            shape, dtype = entry["shape"], entry["dtype"]
            if not isinstance(shape, list) or not all(_is_count(number) for number in (*shape, start, stop)):
                raise ValueError(f"{name}: shape and data_offsets must be whole numbers")
            if not isinstance(dtype, str) or (dtype not in WIDTHS and dtype not in _PACKED):
                raise ValueError(f"{name}: dtype {dtype!r} is none of safetensors")
            yield name, Tensor(dtype, tuple(shape)), start, stop


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


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


def _broken(path: Path, fault: str, what: str) -> ExportError:
    hint = "copy it again from where it was made, or make it again"
    return ExportError(f"{path}: {what}", code="weights-malformed", hint=hint, path=path, fault=fault)
