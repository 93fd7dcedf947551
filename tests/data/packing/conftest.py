"""A corpus in every format, and a family that reads it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixhub.spec import Family
from tests.tiny import tiny_family, write_tiny_corpus


def write_texts(path: Path, texts: Sequence[str], key: str = "text") -> Path:
    """Writes a file of a corpus in the format that its suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps({key: text}, ensure_ascii=False) + "\n" for text in texts).encode()
    if path.name.endswith(".jsonl.gz"):
        path.write_bytes(gzip.compress(lines))
    elif path.name.endswith(".jsonl.zst"):
        with pa.CompressedOutputStream(str(path), "zstd") as file:
            file.write(lines)
    elif path.name.endswith(".parquet"):
        pq.write_table(pa.table({"id": list(range(len(texts))), key: pa.array(texts, pa.string())}), path)
    else:
        path.write_bytes(lines)
    return path


@pytest.fixture
def prose() -> Family:
    """A family that reads one domain."""
    return tiny_family(mixture={"train_prose": 1.0}, validation={"valid_prose": 1.0})


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A copy of the tiny corpus that the test may change."""
    return write_tiny_corpus(tmp_path / "data" / "words")
