"""`workflow.inspect_data` and `mixhub data inspect`: what a run reads of each domain, before and after packing."""

import json
import shutil

import numpy as np
import pytest

from mixhub import workflow
from mixhub.card.plots.plot import drawn_sha256
from mixhub.data.orders.choice import order_of
from mixhub.errors import CorpusError, UsageError
from mixhub.phrases import magnitude
from mixhub.workspace.manifest import read_manifest
from tests.tiny import tiny_workspace, write_rows


@pytest.fixture
def fresh(tmp_path):
    return tiny_workspace(tmp_path / "fresh", training={"steps": 100})


@pytest.fixture
def packed(fresh):
    workflow.pack(fresh)
    return fresh


def codes(inspection):
    return {(finding.code, finding.where) for finding in inspection.findings}


def test_before_packing_files_and_weights_are_known(fresh):
    inspection = workflow.inspect_data(fresh)
    assert not inspection.is_packed
    prose, sums, two_part, *valid = inspection.domains
    assert (prose.split, prose.domain, prose.files) == ("train", "prose", 2)
    corpus = fresh.corpus(fresh.family())
    assert prose.size == sum((corpus / "train" / f"prose-{n}.jsonl").stat().st_size for n in (1, 2))
    assert [one.weight for one in (prose, sums, two_part)] == pytest.approx([0.5, 0.3, 0.2])
    assert [one.sequences for one in (prose, sums, two_part)] == [400, 240, 160]
    for one in inspection.domains:
        assert (one.documents, one.tokens, one.share, one.epochs, one.median_document) == (None,) * 5
    assert [(one.split, one.domain, one.sequences) for one in valid] == [
        ("valid", "prose", None),
        ("valid", "sums", None),
    ]
    assert codes(inspection) == set()


def test_after_packing_tokens_documents_and_epochs_are_those_of_the_shards(packed):
    inspection = workflow.inspect_data(packed)
    assert inspection.is_packed
    assert (inspection.sequences, inspection.tokens) == (800, 12_800)
    tokens = packed.tokens(packed.family())
    manifest = read_manifest(tokens)
    for split in ("train", "valid"):
        domains = inspection.of_split(split)
        assert sum(one.share for one in domains) == pytest.approx(1)
        for one in domains:
            part = manifest.domains(split)[one.domain]
            assert (one.documents, one.tokens) == (part.documents, part.tokens)
            lengths = []
            for shard in part.shards:
                ids = np.fromfile(tokens / shard.file, "<u2")
                ends = np.flatnonzero(ids == manifest.eos_id) + 1
                lengths += np.diff(ends, prepend=0).tolist()
            assert one.longest_document == max(lengths)
            assert one.median_document == sorted(lengths)[(len(lengths) - 1) // 2]
            assert one.available == (part.tokens - 1) // 16
    for one in inspection.of_split("train"):
        assert one.epochs == one.sequences / one.available
    assert [one.sequences for one in inspection.of_split("valid")] == [6, 6]
    assert [one.epochs for one in inspection.of_split("valid")] == [None, None]


def test_a_named_run_has_its_samples_counted(packed):
    family = packed.family()
    inspection = workflow.inspect_data(packed, seed=2)
    assert inspection.revision == "seed-2"
    order = order_of(family, family.run(seed=2), read_manifest(packed.tokens(family)))
    numbers, _ = order.samples(0, len(order))
    for one in inspection.of_split("train"):
        assert one.sequences == np.count_nonzero(numbers == order.domains.index(f"train_{one.domain}"))
    assert inspection.domains != workflow.inspect_data(packed, seed=1).domains
    assert inspection.domains != workflow.inspect_data(packed).domains


def test_a_family_with_a_mixture_per_index_needs_the_index(tmp_path):
    mixtures = {1: {"train_prose": 1.0}, 2: {"train_sums": 1.0, "train_prose": 3.0}}
    revisions = {"pattern": "model-{index}", "seeds": [], "indices": "1-2"}
    workspace = tiny_workspace(tmp_path / "indexed", mixture=None, mixtures=mixtures, revisions=revisions)
    with pytest.raises(UsageError) as error:
        workflow.inspect_data(workspace)
    assert error.value.code == "option-missing"
    inspection = workflow.inspect_data(workspace, index=2)
    assert [(one.domain, one.weight) for one in inspection.of_split("train")] == [("sums", 0.25), ("prose", 0.75)]
    assert inspection.revision is None  # the seed of the runs is unknown, so no samples could be counted
    assert inspection.unused == ("two-part",)


def test_what_is_missing_light_repeated_or_too_small_is_found(tmp_path):
    mixture = {"train_prose": 98.0, "train_sum": 1.0, "train_word": 1.0}
    workspace = tiny_workspace(tmp_path / "wrong", mixture=mixture, training={"steps": 1000})
    corpus = workspace.corpus(workspace.family())
    write_rows(corpus / "train" / "word-1.jsonl", ["the"])
    write_rows(corpus / "train" / "sum-1.jsonl", ["1 + 1 = 2, and many more of them " * 9])
    workflow.pack(workspace)
    (corpus / "train" / "sum-1.jsonl").unlink()
    found = workflow.inspect_data(workspace)
    assert codes(found) == {
        ("domain-repeated", "train/prose"),
        ("domain-light", "train/sum"),
        ("domain-repeated", "train/sum"),
        ("domain-too-small", "train/word"),
        ("domain-light", "train/word"),
    }
    shutil.rmtree(workspace.tokens(workspace.family()))
    missing = [one for one in workflow.inspect_data(workspace).findings if one.code == "domains-missing"]
    assert [one.where for one in missing] == ["train/sum"]
    assert "sums" in missing[0].message


def regmix_workspace(root, chunk_sequences):
    loader = {"ranks": 4, "micro_batch_size": 2, "chunk_sequences": chunk_sequences}
    workspace = tiny_workspace(root, training={"steps": 100, "order": "regmix", "loader": loader})
    for number in (1, 2):
        write_rows(workspace.corpus(workspace.family()) / "train" / f"sums-{number}.jsonl", ["1 + 1 = 2"] * 9)
    workflow.pack(workspace)
    return workspace


def test_what_regmix_loader_skips_and_loses_is_reported_with_amounts(tmp_path):
    workspace = regmix_workspace(tmp_path / "regmix", chunk_sequences=20)
    inspection = workflow.inspect_data(workspace)
    chunk = 20 * 17
    sources = read_manifest(workspace.tokens(workspace.family())).train
    chunks = {name: sum((source.tokens - 1) // chunk for source in part.sources) for name, part in sources.items()}
    read = {name: count // 4 * 4 for name, count in chunks.items()}
    assert {one.domain: one.available for one in inspection.of_split("train")} == {
        name: 20 * count for name, count in read.items()
    }
    skipped = [name for name, count in read.items() if not count]
    assert skipped == ["sums"]
    assert [(one.weight, one.share) for one in inspection.loader] == [
        pytest.approx(pair) for pair in ((0.5, 5 / 7), (0.3, 0), (0.2, 2 / 7))
    ]
    assert [one.sequences for one in inspection.of_split("train")] == [571, 0, 229]
    assert {("domains-skipped", "train/sums"), ("tokens-unread", "train")} <= codes(inspection)
    assert {finding.level for finding in inspection.findings} == {"warning"}
    unread = sum(part.tokens - chunk * read[name] for name, part in sources.items() if read[name])
    assert f"{magnitude(unread)} tokens" in next(f for f in inspection.findings if f.code == "tokens-unread").message


def test_it_is_an_error_if_regmix_loader_skips_all_domains(tmp_path, mixhub_here):
    workspace = regmix_workspace(tmp_path / "regmix", chunk_sequences=2000)
    inspection = workflow.inspect_data(workspace)
    assert codes(inspection) == {("domains-skipped", f"train/{name}") for name in ("prose", "sums", "two-part")}
    assert [one.sequences for one in inspection.of_split("train")] == [0, 0, 0]
    done = mixhub_here("data", "inspect", "--output", "all.svg", cwd=workspace.root)
    assert done.returncode == 1
    assert (workspace.root / "all.svg").exists()


def test_tokens_are_enough_and_neither_text_nor_tokens_is_an_error(packed):
    shutil.rmtree(packed.corpus(packed.family()))
    assert workflow.inspect_data(packed).is_packed
    shutil.rmtree(packed.tokens(packed.family()))
    with pytest.raises(CorpusError) as error:
        workflow.inspect_data(packed)
    assert error.value.code == "corpus-missing"


def test_a_truncated_shard_is_an_error(packed):
    shard = next(packed.tokens(packed.family()).rglob("*.ds"))
    shard.write_bytes(shard.read_bytes()[:-2])
    with pytest.raises(CorpusError) as error:
        workflow.inspect_data(packed)
    assert error.value.code == "tokens-damaged"


def test_the_frame_has_a_row_per_domain(packed):
    frame = workflow.inspect_data(packed).frame()
    assert list(frame.domain) == ["prose", "sums", "two-part", "prose", "sums"]
    assert frame.query("split == 'train'").weight.sum() == pytest.approx(1)
    assert frame.epochs.notna().sum() == 3


def test_the_plot_shows_weight_packed_share_and_epochs(packed):
    inspection = workflow.inspect_data(packed)
    plot = inspection.plot()
    prose = next(one for one in inspection.of_split("train") if one.domain == "prose")
    row = plot.data["rows"][0]
    assert row["label"] == "prose"
    assert (row["weight"], row["read"]) == (50, 50)
    assert row["packed"] == pytest.approx(100 * prose.share, rel=1e-5)
    assert row["epochs"] == pytest.approx(prose.epochs, rel=1e-5)
    assert "Read most often: " in plot.alt


def test_the_command_fits_80_columns_and_writes_the_plot(packed, mixhub_here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for form, start in (("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF-")):
        done = mixhub_here("data", "inspect", "--output", f"data.{form}", cwd=packed.root)
        assert (done.returncode, done.stderr) == (0, "")
        assert max(map(len, done.stdout.splitlines())) <= 80
        content = (packed.root / f"data.{form}").read_bytes()
        assert content.startswith(start)
        assert drawn_sha256(content) == workflow.inspect_data(packed).plot().sha256


def test_the_command_prints_json_and_exits_with_1_if_a_domain_is_missing(fresh, mixhub_here):
    done = mixhub_here("data", "inspect", "--json", cwd=fresh.root)
    assert done.returncode == 0
    assert json.loads(done.stdout) == workflow.inspect_data(fresh).to_data()
    (fresh.corpus(fresh.family()) / "valid" / "sums-1.jsonl").unlink()
    done = mixhub_here("data", "inspect", cwd=fresh.root)
    assert done.returncode == 1
    assert "[domains-missing]" in done.stdout


def test_another_kind_of_file_is_refused_before_anything_is_written(packed, mixhub_here):
    done = mixhub_here("data", "inspect", "--output", "data.jpg", cwd=packed.root)
    assert done.returncode == 2
    assert not (packed.root / "data.jpg").exists()
