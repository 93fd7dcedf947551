"""The binary formats that Xet clients upload: xorbs (packs of chunks) and shards (how files are made of chunks).

The layout is that of https://huggingface.co/docs/xet. All integers are little-endian. A xorb is a row of chunks, each
after a header of 8 bytes: version, stored bytes (3), scheme, bytes (3); a footer may follow. A shard is a header and
then a row of records of 48 bytes each.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import lz4.frame
import numpy as np

from mixhub.hubserver.storage.refusals import BadRequest

XORB_MOST_BYTES = 64 * 2**20
"""The serialized size that a client may give a xorb, without its footer."""

_CHUNK_HEADER_BYTES = 8
_FOOTER_START = b"XETBLOB"
_PLAIN, _LZ4, _GROUPED_LZ4 = 0, 1, 2

_RECORD_BYTES = 48
_SHARD_TAG = b"HFRepoMetaData"
_END = b"\xff" * 32
_HAS_VERIFICATION = 1 << 31
_HAS_METADATA = 1 << 30


class CorruptUpload(BadRequest):
    """The bytes are no xorb or shard, or do not fit together."""


@dataclass(frozen=True)
class Chunk:
    """Where a chunk lies in a xorb."""

    offset: int
    stored: int
    """Bytes in the xorb."""
    scheme: int
    size: int
    """Bytes when decoded."""


@dataclass(frozen=True)
class Segment:
    """A run of chunks of one xorb."""

    xorb: str
    size: int
    """Bytes when decoded."""
    first: int
    end: int
    """One past the last chunk."""


@dataclass(frozen=True)
class Recipe:
    """How one file is made: its segments, one after another."""

    file_hash: str
    segments: tuple[Segment, ...]
    sha256: str | None
    """Of the whole file, when the client says so."""


class Xorb:
    """An open xorb, of which one chunk at a time is decoded.

    Args:
        file: the serialized xorb, seekable; the caller closes it.

    Raises:
        CorruptUpload: the chunks do not fill the file up to its end or footer.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.chunks = list(_scan(file))

    def decode(self, first: int, end: int) -> Iterator[bytes]:
        """Decodes the chunks [first, end); raises CorruptUpload when there are not so many or one is damaged."""
        check_run(first, end, len(self.chunks))
        for chunk in self.chunks[first:end]:
            self._file.seek(chunk.offset)
            yield decode_chunk(self._file.read(chunk.stored), chunk.scheme, chunk.size)


def check_run(first: int, end: int, count: int) -> None:
    """Raises CorruptUpload unless [first, end) are some of `count` chunks."""
    if not 0 <= first < end <= count:
        raise CorruptUpload(f"chunks {first} to {end} are wanted of a xorb that has {count}")


def decode_chunk(stored: bytes, scheme: int, size: int) -> bytes:
    """Decompresses a chunk to its `size` bytes; raises CorruptUpload for a scheme not known or a wrong size."""
    if scheme == _PLAIN:
        data = stored
    elif scheme == _LZ4:
        data = _decompress(stored, size)
    elif scheme == _GROUPED_LZ4:
        data = _ungroup(_decompress(stored, size))
    else:
        raise CorruptUpload(f"a chunk has the compression scheme {scheme}; 0, 1 and 2 are known")
    if len(data) != size:
        raise CorruptUpload(f"a chunk has {len(data)} bytes, its header says {size}")
    return data


def parse_shard(data: bytes) -> list[Recipe]:
    """The files that a shard describes, in its order; raises CorruptUpload."""
    if not data.startswith(_SHARD_TAG):
        raise CorruptUpload("the shard has no shard header")
    records = _Records(data)
    recipes = []
    while (header := records.next())[:32] != _END:
        flags, count = struct.unpack_from("<II", header, 32)
        segments = tuple(_segment(records.next()) for _ in range(count))
        if flags & _HAS_VERIFICATION:
            records.skip(count)
        sha256 = hash_hex(records.next()) if flags & _HAS_METADATA else None
        recipes.append(Recipe(hash_hex(header), segments, sha256))
    return recipes


def hash_hex(record: bytes) -> str:
    """The hash at the start of a record, in the hex of Xet: of four numbers of 64 bits, each little-endian."""
    return "".join(f"{number:016x}" for number in struct.unpack_from("<4Q", record))


class _Records:
    """The records of a shard, one after another; running past the end is a CorruptUpload."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = _RECORD_BYTES  # the header has the size of a record

    def next(self) -> bytes:
        record = self._data[self._offset : self._offset + _RECORD_BYTES]
        if len(record) < _RECORD_BYTES:
            raise CorruptUpload("the shard ends within the list of files")
        self._offset += _RECORD_BYTES
        return record

    def skip(self, count: int) -> None:
        self._offset += count * _RECORD_BYTES


def _segment(record: bytes) -> Segment:
    size, first, end = struct.unpack_from("<III", record, 36)
    return Segment(hash_hex(record), size, first, end)


def _scan(file: IO[bytes]) -> Iterator[Chunk]:
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


def _decompress(stored: bytes, size: int) -> bytes:
    decompressor = lz4.frame.LZ4FrameDecompressor()
    try:
        # The limit keeps a small chunk from growing beyond what its header says.
        data: bytes = decompressor.decompress(stored, max_length=size + 1)
    except (RuntimeError, ValueError, EOFError) as problem:
        raise CorruptUpload(f"a chunk cannot be decompressed: {problem}") from None
    return data


def _ungroup(grouped: bytes) -> bytes:
    # First all bytes whose place is 0 modulo 4, then 1, 2 and 3: the exponents of float32 lie together.
    source = np.frombuffer(grouped, np.uint8)
    plain = np.empty_like(source)
    start = 0
    for lane in range(4):
        stop = start + len(plain[lane::4])
        plain[lane::4] = source[start:stop]
        start = stop
    return plain.tobytes()
