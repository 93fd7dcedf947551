"""Exported files are those of the formats' own libraries, byte by byte, and their readers read them."""

import json
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mixhub.data.exchange.exports import export_tokens
from tests.data.formats.folders import EOS, export, write_folder
from tests.tiny import tiny_family

FILES = {"prose-1": [[5, 299, 7], [], [1]], "prose-2": [[42] * 40]}
STREAMS = {stem: [number for document in documents for number in (*document, EOS)] for stem, documents in FILES.items()}
LARGE = 65_537
"""The smallest vocabulary whose ids are uint32."""


def test_megatrons_layout_by_hand(tmp_path):
    export(write_folder(tmp_path / "tokens", FILES), tmp_path / "out", "megatron")
    ids = STREAMS["prose-1"] + STREAMS["prose-2"]
    assert (tmp_path / "out/train/prose.bin").read_bytes() == struct.pack("<48H", *ids)
    assert (tmp_path / "out/train/prose.idx").read_bytes() == (
        b"MMIDIDX\0\0"
        + struct.pack("<QBQQ", 1, 8, 4, 5)
        + struct.pack("<4i", 4, 1, 2, 41)
        + struct.pack("<4q", 0, 8, 10, 14)
        + struct.pack("<5q", 0, 1, 2, 3, 4)
    )


def test_llmcs_layouts_by_hand(tmp_path):
    """As `write_datafile` of `dev/data/data_common.py` writes it."""
    for size, numbers, code in ((300, (20240520, 1), "H"), (LARGE, (20240801, 7), "I")):
        export(write_folder(tmp_path / str(size), FILES, size), tmp_path / f"out{size}", "llm.c", size)
        for stem, ids in STREAMS.items():
            path = tmp_path / f"out{size}" / "train" / "prose" / f"{stem}_000000.bin"
            header = struct.pack("<256i", *numbers, len(ids), *[0] * 253)
            assert path.read_bytes() == header + struct.pack(f"<{len(ids)}{code}", *ids)


@pytest.mark.parametrize(("size", "code", "letter"), [(300, 8, "H"), (65_500, 4, "i"), (LARGE, 4, "i")])
def test_chunks_by_hand(tmp_path, size, code, letter):
    """As RegMix's preparation writes them, which writes a chunk when the next token arrives, and loses the rest."""
    chunk = 17 * 256
    documents = {"prose-1": [[7] * (chunk - 2), [8]], "prose-2": [[9] * (chunk - 1)], "prose-3": [[6] * chunk]}
    folder = write_folder(tmp_path / "tokens", documents, size)
    pads = {"prose-1": chunk - 1, "prose-2": 0, "prose-3": chunk - 1}
    for format in ("regmix", "litgpt"):
        exported = export(folder, tmp_path / format, format, size)
        names = []
        for number, (stem, (ids, *more)) in enumerate(documents.items()):
            stream = [*ids, EOS, *(each for document in more for each in (*document, EOS))]
            chunks = (len(stream) - 1) // chunk if format == "regmix" else -(-len(stream) // chunk)
            padded = stream + [EOS] * pads[stem]
            for part in range(chunks):
                name = f"train_{stem}_{number}_{part:010d}.bin"
                names.append(name)
                header = b"LITPKDS" + struct.pack("<QBQ", 1, code, chunk)
                content = padded[part * chunk : (part + 1) * chunk]
                assert (tmp_path / format / "train" / name).read_bytes() == (
                    header + struct.pack(f"<{chunk}{letter}", *content)
                )
        assert [path.name for path in exported.domains[0].files] == names
    assert [path.name for path in sorted((tmp_path / "regmix/train").iterdir())] == [
        "train_prose-1_0_0000000000.bin",
        "train_prose-3_2_0000000000.bin",
    ]


def test_the_size_of_chunks_is_the_recipes(tmp_path):
    """By default RegMix's: 2049 × 256 tokens for sequences of 2048."""
    folder = write_folder(tmp_path / "tokens", {"prose-1": [[7] * 100]})
    changes = {"order": "regmix", "loader": {"ranks": 1, "micro_batch_size": 1, "chunk_sequences": 2}}
    for training, tokens in (({"sequence_length": 2048}, 2049 * 256), (changes, 17 * 2)):
        architecture = {"max_position_embeddings": 2048, "vocab_size": 320}
        family = tiny_family(tokenizer={"vocab_size": 300}, architecture=architecture, training=training)
        exported = export_tokens(family, folder, tmp_path / str(tokens), format="litgpt")
        path = tmp_path / str(tokens) / exported.domains[0].files[0]
        assert path.stat().st_size == 24 + 2 * tokens
        assert len(exported.domains[0].files) == -(-101 // tokens)


def test_olmo_maps_the_file_as_it_is(tmp_path):
    for size, dtype in ((300, np.uint16), (LARGE, np.uint32)):
        export(write_folder(tmp_path / str(size), FILES, size), tmp_path / f"out{size}", "olmo", size)
        ids = np.memmap(tmp_path / f"out{size}" / "train" / "prose" / "prose-1.npy", mode="r", dtype=dtype)
        assert ids.tolist() == STREAMS["prose-1"]


@pytest.mark.parametrize("size", [300, LARGE])
def test_datasets_reads_the_rows_of_parquet(tmp_path, size):
    from datasets import Dataset

    export(write_folder(tmp_path / "tokens", FILES, size), tmp_path / "out", "parquet", size)
    rows = Dataset.from_parquet(str(tmp_path / "out/train/prose/prose-1.parquet"), cache_dir=str(tmp_path / "cache"))
    assert rows["input_ids"][:] == [[*document, EOS] for document in FILES["prose-1"]]
    assert str(rows.features["input_ids"].feature.dtype) == "int32"


@pytest.mark.parametrize("size", [300, LARGE])
def test_datatrove_writes_and_reads_the_same(tmp_path, size):
    datasets = pytest.importorskip("datatrove.utils.dataset", reason="needs mixhub[test-formats]")
    from datatrove.pipeline.tokens.tokenizer import TokenizedFile

    width = 2 if size == 300 else 4
    export(write_folder(tmp_path / "tokens", FILES, size), tmp_path / "out", "datatrove", size)
    for stem, documents in FILES.items():
        options = {"tokenizer_name_or_path": "bpe300", "save_final_metadata": True, "token_size": width}
        file = TokenizedFile(str(tmp_path / "theirs"), f"{stem}.ds", **options)
        for document in documents:
            file.write([*document, EOS], None)
        file.close()
        ours = tmp_path / "out" / "train" / "prose"
        for name in (f"{stem}.ds", f"{stem}.ds.index", f"{stem}.ds.metadata"):
            assert (ours / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes(), name
    path = str(tmp_path / "out/train/prose/prose-2.ds")
    read = datasets.DatatroveFileDataset(path, seq_len=40, token_size=width, return_positions=True)[0]
    assert read["input_ids"].tolist() == STREAMS["prose-2"]
    assert read["positions"].tolist() == list(range(41))


def test_counts_are_rounded_as_datatrove_rounds_them():
    metric = pytest.importorskip("humanize", reason="needs mixhub[test-formats]").metric
    from mixhub.data.formats.datatrove import _rounded

    for digits in range(1, 17):
        for count in (10**digits - 1, 10**digits, int(9.995 * 10**digits), int(1.2345 * 10**digits), 0):
            assert _rounded(count) == metric(count, unit="T"), count


MEGATRON = """
import json, sys, warnings
warnings.simplefilter("ignore")
import torch
from megatron.core.datasets.indexed_dataset import DType, IndexedDataset, IndexedDatasetBuilder
for theirs, ours, size, documents in json.loads(sys.argv[1]):
    builder = IndexedDatasetBuilder(theirs + ".bin", dtype=DType.optimal_dtype(size))
    for document in documents:
        builder.add_document(torch.tensor(document), [len(document)])
    builder.finalize(theirs + ".idx")
    read = IndexedDataset(ours)
    assert [read[number].tolist() for number in range(len(read))] == documents
"""


def test_megatron_writes_and_reads_the_same(tmp_path):
    if find_spec("megatron") is None:
        pytest.skip("needs mixhub[test-formats]")
    documents = [[*document, EOS] for each in FILES.values() for document in each]
    pairs = []
    for size in (300, 65_500, LARGE):
        root = tmp_path / str(size)
        export(write_folder(root / "tokens", FILES, size), root / "out", "megatron", size)
        pairs.append((str(root / "theirs"), str(root / "out" / "train" / "prose"), size, documents))
    done = subprocess.run(
        [sys.executable, "-c", MEGATRON, json.dumps(pairs)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for theirs, ours, *_ in pairs:
        for suffix in (".bin", ".idx"):
            assert Path(theirs + suffix).read_bytes() == Path(ours + suffix).read_bytes(), ours
