"""Tokens go to other tools and come back, and a run is trained on them as before."""

import errno
import json
import shutil
from pathlib import Path

import pytest

from mixhub import workflow
from mixhub.data.exchange import imports
from mixhub.errors import CorpusError
from mixhub.workspace.manifest import SPLITS, read_manifest
from mixhub.workspace.paths import Workspace
from tests.refusals import refused
from tests.tiny import tiny_workspace, tiny_workspace_yaml


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = tiny_workspace(tmp_path_factory.mktemp("packed"))
    workflow.pack(workspace)
    return workspace


@pytest.fixture
def other(tmp_path: Path) -> Workspace:
    """A workspace of the same family, without text and tokens."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mixhub.yaml").write_text(tiny_workspace_yaml())
    return Workspace.open(tmp_path / "other")


def losses(workspace: Workspace) -> list[dict[str, object]]:
    workflow.train(workspace, seed=1, options=workflow.TrainOptions(device="cpu"))
    run = workspace.family().run(seed=1)
    lines = [json.loads(line) for line in workspace.run_folder(run).metrics.read_text().splitlines()]
    return [{key: line[key] for key in line if "loss" in key} for line in lines]


def test_a_run_on_imported_tokens_is_the_run_on_the_packed_ones(packed, other, tmp_path, mixhub_here):
    """Megatron's file has all shards of a domain one after the other, so its stream is the same."""
    tokens = packed.tokens(packed.family())
    done = mixhub_here("data", "export", "--format", "megatron", "--to", tmp_path / "out", cwd=packed.root)
    assert done.returncode == 0, done.stderr
    for split in SPLITS:
        for path in sorted((tmp_path / "out" / split).glob("*.bin")):
            done = mixhub_here(
                *("data", "import", path, "--domain", path.stem, "--split", split, "--tokenizer", tokens / "tokenizer"),
                cwd=other.root,
            )
            assert done.returncode == 0, done.stderr
    ours, theirs = read_manifest(other.tokens(other.family())), read_manifest(tokens)
    assert ours.tokenizer_sha256 == theirs.tokenizer_sha256
    for split in SPLITS:
        counts = [
            {name: (part.documents, part.tokens) for name, part in manifest.domains(split).items()}
            for manifest in (ours, theirs)
        ]
        assert counts[0] == counts[1]
    assert "next: mixhub train --seed 1" in done.stdout
    other.corpus(other.family()).mkdir()
    assert workflow.verify_data(other).findings == ()
    assert str(other.root) not in json.dumps(ours.to_data())
    assert losses(other) == losses(packed)


def test_the_tokenizer_has_the_name_of_the_familys_or_is_a_folder(packed, other, tmp_path):
    tokens = packed.tokens(packed.family())
    workflow.export_tokens(packed, tmp_path / "out", format="datatrove")
    files = sorted((tmp_path / "out/train/prose").glob("*.ds"))
    with refused("tokens-differ", CorpusError, key="tokenizer"):
        workflow.import_tokens(other, files, domain="prose", tokenizer="gpt2")
    with refused("tokens-missing", CorpusError):
        workflow.import_tokens(other, files, domain="prose", tokenizer="bpe300")
    with refused("file-missing", CorpusError, path=tmp_path / "out" / "tokenizer.json"):
        workflow.import_tokens(other, files, domain="prose", tokenizer=tmp_path / "out")
    assert not other.tokens(other.family()).exists()
    imported = workflow.import_tokens(other, files, domain="prose", tokenizer=tokens / "tokenizer")
    assert imported.missing == ("train/sums", "train/two-part", "valid/prose", "valid/sums")
    part = workflow.import_tokens(
        other, sorted((tmp_path / "out/valid/prose").glob("*.ds")), domain="prose", split="valid", tokenizer="bpe300"
    ).domain
    assert [source.name for source in part.sources] == ["prose-1.ds"]


def test_a_first_import_that_fails_leaves_no_folder(packed, other, tmp_path):
    (tmp_path / "a.npy").write_bytes(b"\xff\xff")
    tokenizer = packed.tokens(packed.family()) / "tokenizer"
    with refused("ids-out-of-range", CorpusError):
        workflow.import_tokens(other, [tmp_path / "a.npy"], domain="prose", tokenizer=tokenizer)
    assert [path.name for path in other.path("data").iterdir()] == [".lock"]


def test_an_import_whose_manifest_cannot_be_written_leaves_nothing(packed, other, tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    tokens = other.tokens(other.family())
    (tmp_path / "a.npy").write_bytes(b"\1\0" * 40 + b"\0\0")
    options = {"tokenizer": packed.tokens(packed.family()) / "tokenizer"}
    workflow.import_tokens(other, [tmp_path / "a.npy"], domain="prose", **options)
    before = {path: path.read_bytes() for path in tokens.rglob("*") if path.is_file()}
    monkeypatch.setattr(imports, "write_json", full)
    with pytest.raises(OSError, match="No space"):
        workflow.import_tokens(other, [tmp_path / "a.npy"], domain="sums", **options)
    assert {path: path.read_bytes() for path in tokens.rglob("*") if path.is_file()} == before


def test_what_was_exported_is_printed(packed, tmp_path, mixhub_here):
    done = mixhub_here(
        "data", "export", "--format", "llm.c", "--to", tmp_path / "out", "--domain", "sums", cwd=packed.root
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["train", "sums", "2"] in [row[:3] for row in rows]
    assert any(row[:1] == ["note:"] for row in rows)
    shutil.rmtree(tmp_path / "out")
    done = mixhub_here("data", "export", "--format", "llm", "--to", tmp_path / "out", cwd=packed.root)
    assert done.returncode == 2
