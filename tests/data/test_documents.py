import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixhub.data.documents import DocumentEnds
from mixhub.errors import CorpusError
from mixhub.workspace.manifest import index_file, read_manifest
from tests.data.streams import write_tokens
from tests.refusals import refused

FILES = st.lists(st.lists(st.integers(0, 7), max_size=6), min_size=1, max_size=6)
"""Lengths of the documents of each file; files and imported documents may be empty."""


@given(data=st.data(), files=FILES)
def test_parts_are_the_documents_of_each_token(
    data: st.DataObject, files: list[list[int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("documents")
    write_tokens(folder, {"train": {"a": [[[1] * size for size in file] for file in files]}, "valid": {}})
    whose = [
        (f"train/a-{n}.jsonl", number, token, size)
        for n, file in enumerate(files)
        for number, size in enumerate(file, start=1)
        for token in range(size)
    ]
    ends = DocumentEnds(folder, read_manifest(folder))
    start = data.draw(st.integers(0, len(whose)))
    stop = data.draw(st.integers(start, len(whose)))
    parts = list(ends.parts("a", start, stop))
    assert all(part.tokens > 0 for part in parts)
    assert [
        (part.source.name, part.document, token, part.document_tokens)
        for part in parts
        for token in range(part.first, part.first + part.tokens)
    ] == whose[start:stop]
    assert len({(part.source.name, part.document) for part in parts}) == len(parts)


def made(folder: Path) -> Path:
    write_tokens(folder, {"train": {"a": [[[1, 2, 0], [3, 0]]]}, "valid": {}})
    return index_file(folder / "train/a/a-0.ds")


@pytest.mark.parametrize("content", [b"", b"\0", np.array([3, 4], "<u8").tobytes()])
def test_ends_that_do_not_fit_the_shard_are_named(tmp_path: Path, content: bytes) -> None:
    path = made(tmp_path / "tokens")
    path.write_bytes(content)
    ends = DocumentEnds(tmp_path / "tokens", read_manifest(tmp_path / "tokens"))
    with refused("tokens-damaged", CorpusError, path=path):
        list(ends.parts("a", 0, 4))


def test_domains_of_format_1_have_to_be_packed_again(tmp_path: Path) -> None:
    folder = tmp_path / "tokens"
    made(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["format"] = 1
    del manifest["train"]["a"]["shards"][0]["ends_sha256"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with refused("document-ends-missing", CorpusError, domain="train/a"):
        list(DocumentEnds(folder, read_manifest(folder)).parts("a", 0, 4))
