"""The binary formats that Xet clients upload: xorbs (packs of chunks) and shards (how files are made of chunks).

The layout is that of https://huggingface.co/docs/xet. All integers are little-endian. A xorb is a row of chunks, each
after a header of 8 bytes: version, stored bytes (3), scheme, bytes (3); a footer may follow. A shard is a header and
then a row of records of 48 bytes each.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO, NamedTuple

import lz4.frame
import numpy as np

from mixhub.hubserver.storage.refusals import BadRequest

MAX_XORB_BYTES = 64 * 2**20
"""The largest xorb that a client may send, without its footer."""
PLAIN = 0
"""The compression scheme of a chunk that is stored as it is."""

_LZ4, _GROUPED_LZ4 = 1, 2
_CHUNK_HEADER_BYTES = 8
_FOOTER_START = b"XETBLOB"

_RECORD_BYTES = 48
_SHARD_TAG = b"HFRepoMetaData"
_END = b"\xff" * 32
_HAS_VERIFICATION = 1 << 31
_HAS_METADATA = 1 << 30


class CorruptUpload(BadRequest):
    """The bytes are not a xorb or shard, or do not fit together."""


class Chunk(NamedTuple):
    """Position of a chunk in a file."""

    offset: int
    stored: int
    """Bytes in the file."""
    scheme: int
    size: int
    """Bytes when decoded."""

    def read(self, file: IO[bytes]) -> bytes:
        """Read and decode the chunk; raises CorruptUpload."""
        file.seek(self.offset)
        return decode_chunk(file.read(self.stored), self.scheme, self.size)


class Segment(NamedTuple):
    """A run of chunks of one xorb."""

    xorb: str
    size: int
    """Bytes when decoded."""
    first: int
    end: int
    """One past the last chunk."""


class FileRecipe(NamedTuple):
    """The segments that make up one file, in order."""

    file_hash: str
    segments: tuple[Segment, ...]
    sha256: str | None
    """Hash of the whole file, if the client sent it."""


def scan_xorb(file: IO[bytes]) -> Iterator[Chunk]:
    """Yield the chunks of a xorb; raises CorruptUpload unless they fill it up to its end or footer."""
    end = file.seek(0, 2)
    offset = 0
    while offset < end:
        file.seek(offset)
        header = file.read(_CHUNK_HEADER_BYTES)
        if header.startswith(_FOOTER_START):
            return
        if len(header) < _CHUNK_HEADER_BYTES or header[0] != 0:
            raise CorruptUpload(f"the xorb has no chunk header at byte {offset}")
        stored, size = int.from_bytes(header[1:4], "little"), int.from_bytes(header[5:8], "little")
        offset += _CHUNK_HEADER_BYTES
        if offset + stored > end:
            raise CorruptUpload(f"the xorb ends within the chunk at byte {offset}")
        yield Chunk(offset, stored, header[4], size)
        offset += stored


def decode_chunk(stored: bytes, scheme: int, size: int) -> bytes:
    """Decompress a chunk to its `size` bytes; raises CorruptUpload for an unknown scheme or a wrong size."""
    if scheme not in (PLAIN, _LZ4, _GROUPED_LZ4):
        raise CorruptUpload(f"a chunk has the unknown compression scheme {scheme}")
    data = stored
    if scheme != PLAIN:
        try:
            # The limit keeps a small chunk from growing beyond what its header says.
            data = lz4.frame.LZ4FrameDecompressor().decompress(stored, max_length=size + 1)
        except (RuntimeError, ValueError, EOFError) as problem:
            raise CorruptUpload(f"a chunk cannot be decompressed: {problem}") from None
    if len(data) != size:
        raise CorruptUpload(f"a chunk has {len(data)} bytes, and its header says {size}")
    return _ungroup(data) if scheme == _GROUPED_LZ4 else data


def parse_shard(data: bytes) -> list[FileRecipe]:
    """Return the files that a shard describes, in its order; raises CorruptUpload."""
    if not data.startswith(_SHARD_TAG):
        raise CorruptUpload("the shard has no shard header")
    offset = _RECORD_BYTES  # the header has the size of a record

    def next_record() -> bytes:
        nonlocal offset
        record = data[offset : offset + _RECORD_BYTES]
        if len(record) < _RECORD_BYTES:
            raise CorruptUpload("the shard ends within the list of files")
        offset += _RECORD_BYTES
        return record

    recipes = []
    while (header := next_record())[:32] != _END:
        flags, count = struct.unpack_from("<II", header, 32)
        parts = [next_record() for _ in range(count)]
        segments = tuple(Segment(hash_hex(part), *struct.unpack_from("<III", part, 36)) for part in parts)
        if flags & _HAS_VERIFICATION:
            offset += count * _RECORD_BYTES
        sha256 = hash_hex(next_record()) if flags & _HAS_METADATA else None
        recipes.append(FileRecipe(hash_hex(header), segments, sha256))
    return recipes


def hash_hex(record: bytes) -> str:
    """Return the hash at the start of a record in the hex of Xet: four little-endian numbers of 64 bits."""
    return "".join(f"{number:016x}" for number in struct.unpack_from("<4Q", record))


def _ungroup(grouped: bytes) -> bytes:
    # First all bytes at positions 0 modulo 4, then 1, 2 and 3, so that the exponents of float32 are together.
    source = np.frombuffer(grouped, np.uint8)
    plain = np.empty_like(source)
    ends = np.cumsum([len(plain[lane::4]) for lane in range(3)])
    for lane, part in enumerate(np.split(source, ends)):
        plain[lane::4] = part
    return plain.tobytes()
