"""Xorbs and shards: decoding, and what is damaged."""

from __future__ import annotations

import hashlib
import io
import struct
from contextlib import suppress
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
from huggingface_hub import get_session
from hypothesis import given
from hypothesis import strategies as st

from mixhub.hubserver import RunningHub
from mixhub.hubserver.storage.chunks import Chunk, CorruptUpload, decode_chunk, hash_hex, parse_shard, scan_xorb
from mixhub.hubserver.storage.storage import Store
from mixhub.hubserver.storage.xorbs import Xorbs

PLAIN, LZ4, GROUPED = 0, 1, 2
TOKEN = {"Authorization": "Bearer x"}
XORB = "ab" * 32


def stored(data: bytes, scheme: int) -> bytes:
    """What a client sends for a chunk, by the format's description."""
    if scheme == GROUPED:
        data = b"".join(data[lane::4] for lane in range(4))
    return data if scheme == PLAIN else lz4.frame.compress(data)


def packed(*chunks: tuple[bytes, int], footer: bytes = b"") -> bytes:
    xorb = b""
    for data, scheme in chunks:
        body = stored(data, scheme)
        xorb += b"\0" + len(body).to_bytes(3, "little") + bytes([scheme]) + len(data).to_bytes(3, "little") + body
    return xorb + footer


def raw_hash(digits: str) -> bytes:
    return struct.pack("<4Q", *(int(digits[start : start + 16], 16) for start in range(0, 64, 16)))


def shard_of(*files: tuple[list[tuple[str, int, int, int]], str | None], verified: bool = True) -> bytes:
    """Files, each of segments (xorb, bytes, first, end) and perhaps a sha256."""
    records = [b"HFRepoMetaData".ljust(32, b"\0") + struct.pack("<QQ", 2, 0)]
    for segments, sha256 in files:
        flags = (verified << 31) | ((sha256 is not None) << 30)
        records.append(raw_hash("cd" * 32) + struct.pack("<IIQ", flags, len(segments), 0))
        records += [raw_hash(xorb) + struct.pack("<IIII", 0, *numbers) for xorb, *numbers in segments]
        records += [bytes(48)] * (len(segments) if verified else 0)
        records += [raw_hash(sha256) + bytes(16)] if sha256 is not None else []
    return b"".join(records) + b"\xff" * 32 + bytes(16)


chunk_data = st.binary(min_size=1, max_size=300) | st.binary(min_size=1, max_size=20).map(lambda data: data * 50)


@given(st.lists(st.tuples(chunk_data, st.sampled_from([PLAIN, LZ4, GROUPED])), min_size=1, max_size=6), st.booleans())
def test_a_xorb_decodes_to_what_was_packed(chunks: list[tuple[bytes, int]], footer: bool) -> None:
    file = io.BytesIO(packed(*chunks, footer=b"XETBLOB\1rest" if footer else b""))
    assert [chunk.read(file) for chunk in list(scan_xorb(file))] == [data for data, _ in chunks]


@given(st.lists(st.tuples(chunk_data, st.sampled_from([PLAIN, LZ4, GROUPED])), min_size=1, max_size=3), st.data())
def test_a_truncated_xorb_is_never_taken_for_a_whole_one(chunks: list[tuple[bytes, int]], data: st.DataObject) -> None:
    whole = packed(*chunks)
    cut = data.draw(st.integers(1, len(whole) - 1))
    try:
        scanned = list(scan_xorb(io.BytesIO(whole[:cut])))
    except CorruptUpload:
        return
    assert len(scanned) < len(chunks)  # cut exactly between two chunks


@given(st.binary(max_size=200))
def test_any_bytes_are_a_xorb_or_corrupt(data: bytes) -> None:
    with suppress(CorruptUpload):
        file = io.BytesIO(data)
        for chunk in list(scan_xorb(file)):
            chunk.read(file)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_shard_or_corrupt(data: bytes) -> None:
    with suppress(CorruptUpload):
        parse_shard(b"HFRepoMetaData".ljust(48, b"\0") + data)


def test_grouped_bytes_are_those_of_float32() -> None:
    numbers = np.linspace(-1, 1, 1001, dtype=np.float32).tobytes()
    assert decode_chunk(stored(numbers, GROUPED), GROUPED, len(numbers)) == numbers


@pytest.mark.parametrize(
    ("data", "scheme", "size"),
    [
        (b"abc", 3, 3),
        (b"abc", PLAIN, 4),
        (b"not lz4", LZ4, 7),
        (lz4.frame.compress(b"abc" * 99), LZ4, 296),
        (lz4.frame.compress(b"abc" * 99), GROUPED, 298),
        (lz4.frame.compress(b"abc" * 99)[:-9], LZ4, 297),
        (lz4.frame.compress(bytes(50_000_000)), LZ4, 10),
    ],
)
def test_a_damaged_chunk_is_refused(data: bytes, scheme: int, size: int) -> None:
    with pytest.raises(CorruptUpload):
        decode_chunk(data, scheme, size)


@pytest.mark.parametrize("verified", [True, False])
def test_a_shard_lists_its_files(verified: bool) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    shard = shard_of(([(XORB, 10, 0, 2), (XORB, 5, 7, 8)], digest), ([(XORB, 1, 1, 2)], None), verified=verified)
    first, second = parse_shard(shard)
    assert [(part.xorb, part.size, part.first, part.end) for part in first.segments] == [
        (XORB, 10, 0, 2),
        (XORB, 5, 7, 8),
    ]
    assert (first.sha256, second.sha256) == (digest, None)
    for cut in range(len(shard_of()), len(shard) - 48, 48):
        with pytest.raises(CorruptUpload):
            parse_shard(shard[:cut])


def test_a_hash_is_written_as_four_numbers() -> None:
    assert hash_hex(bytes(range(32))) == "07060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a1918"
    assert hash_hex(raw_hash("0123456789abcdef" * 4)) == "0123456789abcdef" * 4


def post(hub: RunningHub, path: str, data: bytes) -> tuple[int, str]:
    answer = get_session().post(
        f"{hub.url}/cas/{Store.open(hub.root).chunks_id}/v1/{path}", content=data, headers=TOKEN
    )
    return answer.status_code, answer.text


def test_a_shard_makes_files_of_chunks(fresh_hub: RunningHub) -> None:
    chunks = [b"one " * 50, b"two!" * 60, b"three" * 70]
    whole = chunks[1] + chunks[2] + chunks[0]
    digest = hashlib.sha256(whole).hexdigest()
    xorb = packed(*zip(chunks, (PLAIN, LZ4, GROUPED), strict=True))
    segments = [(XORB, 590, 1, 3), (XORB, 200, 0, 1)]
    assert post(fresh_hub, f"xorbs/default/{XORB}", xorb) == (200, '{"was_inserted":true}')
    assert post(fresh_hub, f"xorbs/default/{XORB}", xorb) == (200, '{"was_inserted":false}')
    assert post(fresh_hub, "shards", shard_of((segments, digest)))[0] == 200
    assert (fresh_hub.root / "blobs" / digest[:2] / digest[2:4] / digest).read_bytes() == whole
    assert [path.name for path in (fresh_hub.root / "xorbs" / XORB[:2]).iterdir()] == [f"{XORB}.json"]


def test_chunks_can_be_used_again_whether_their_xorb_is_folded_or_not(fresh_hub: RunningHub) -> None:
    chunks = [b"one " * 50, b"two!" * 60]
    post(fresh_hub, f"xorbs/default/{XORB}", packed(*((chunk, LZ4) for chunk in chunks)))
    folder = fresh_hub.root / "xorbs" / XORB[:2]
    for order, folded in (([0], False), ([0, 1], True), ([1, 0, 1], True)):
        whole = b"".join(chunks[number] for number in order)
        digest = hashlib.sha256(whole).hexdigest()
        segments = [(XORB, len(chunks[number]), number, number + 1) for number in order]
        assert post(fresh_hub, "shards", shard_of((segments, digest)))[0] == 200
        assert (fresh_hub.root / "blobs" / digest[:2] / digest[2:4] / digest).read_bytes() == whole
        assert [path.name for path in folder.iterdir()] == [f"{XORB}.json" if folded else XORB]
    assert post(fresh_hub, "shards", shard_of(([(XORB, 1, 2, 3)], None)))[0] == 400


def test_a_damaged_upload_is_a_bad_request_and_leaves_nothing(fresh_hub: RunningHub) -> None:
    good = packed((b"abc", PLAIN))
    assert post(fresh_hub, f"xorbs/default/{XORB}", good[:-1])[0] == 400
    assert post(fresh_hub, "xorbs/default/..%2f..%2fstore.json", good)[0] == 400
    assert post(fresh_hub, f"xorbs/default/{XORB}", good)[0] == 200
    digest = hashlib.sha256(b"abc").hexdigest()
    for shard in (
        b"",
        b"HFRepoMetaData",
        shard_of(([(XORB, 3, 0, 1)], digest))[:-60],
        shard_of(([("ef" * 32, 3, 0, 1)], digest)),
        shard_of(([(XORB, 4, 0, 1)], digest)),
        shard_of(([(XORB, 3, 0, 9)], digest)),
        shard_of(([(XORB, 3, 0, 2)], digest)),
        shard_of(([(XORB, 0, 0, 0)], digest)),
        shard_of(([(XORB, 3, 1, 0)], digest)),
        shard_of(([(XORB, 3, 5, 6)], digest)),
        shard_of(([(XORB, 3, 0, 1)], "00" * 32)),
    ):
        assert post(fresh_hub, "shards", shard)[0] == 400
    assert not (fresh_hub.root / "blobs").exists()
    assert list((fresh_hub.root / "uploads").iterdir()) == []


def test_chunks_go_to_their_own_store_and_need_a_token(hub: RunningHub) -> None:
    path = f"v1/xorbs/default/{XORB}"
    assert get_session().post(f"{hub.url}/cas/00000000/{path}", content=b"", headers=TOKEN).status_code == 404
    assert get_session().post(f"{hub.url}/cas/{Store.open(hub.root).chunks_id}/{path}", content=b"").status_code == 401


def test_a_xorb_may_be_folded_while_a_file_is_made_of_it(
    fresh_hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the list of its chunks and the first byte, another rebuild replaces the xorb by places in a blob."""
    chunks = [b"one " * 50, b"two!" * 60]
    store, whole = Store.open(fresh_hub.root), b"".join(chunks)
    post(fresh_hub, f"xorbs/default/{XORB}", packed(*((chunk, LZ4) for chunk in chunks)))
    read, turns = Xorbs.chunks, []

    def then_folded(self: Xorbs, xorb: str) -> list[tuple[Path, Chunk]]:
        places = read(self, xorb)
        if not turns:
            turns.append(xorb)
            (tmp := fresh_hub.root / "whole").write_bytes(whole)
            digest, _ = store.blobs.add_file(tmp)
            store.xorbs.fold(xorb, {0: (digest, 0, 200), 1: (digest, 200, 240)})
        return places

    monkeypatch.setattr(Xorbs, "chunks", then_folded)
    digest = hashlib.sha256(chunks[1]).hexdigest()
    assert post(fresh_hub, "shards", shard_of(([(XORB, 240, 1, 2)], digest))) == (200, '{"result":1}')
    assert store.blobs.path(digest).read_bytes() == chunks[1]
    assert turns == [XORB]
    assert not (fresh_hub.root / "xorbs" / XORB[:2] / XORB).exists()
