"""`workflow.seen_documents` and `mixhub data seen`: which documents some steps of a run read."""

import json
import re

import numpy as np
import pytest
from tokenizers import Tokenizer

from mixhub import workflow
from mixhub.data.batches import TrainingBatches
from mixhub.errors import CorpusError, RunError, UnknownNameError, UsageError
from mixhub.training import loop
from mixhub.workspace.manifest import MANIFEST_FILE
from tests.adopted import adopted_workspace
from tests.notices import Notices
from tests.refusals import refused
from tests.tiny import tiny_family, tiny_workspace, tiny_workspace_yaml, write_rows, write_tiny_corpus


def make_workspace(root, **changes):
    workspace = tiny_workspace(root, **changes)
    workflow.pack(workspace)
    return workspace


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A packed workspace; tests must not change it."""
    return make_workspace(tmp_path_factory.mktemp("seen") / "work")


def texts_of(workspace, file):
    lines = (workspace.corpus(workspace.family()) / file).read_text().splitlines()
    return [json.loads(line)["text"] for line in lines]


SMALL = {"ranks": 2, "micro_batch_size": 1, "chunk_sequences": 3}


@pytest.mark.parametrize("order", [{}, {"order": "quota"}, {"order": "regmix", "loader": SMALL}])
def test_the_parts_are_what_training_reads(packed, monkeypatch, order):
    rows = []
    plain = TrainingBatches.step

    def noting(self, step):
        batch = plain(self, step)
        rows.append(batch.tokens.reshape(-1, batch.tokens.shape[-1]))
        return batch

    monkeypatch.setattr(TrainingBatches, "step", noting)
    family = tiny_family(name=f"tiny-{order.get('order', 'iid')}", training=order)
    run = family.run(seed=2)
    loop.train(
        family,
        run,
        tokens=packed.tokens(family),
        folder=packed.run_folder(run),
        options=workflow.TrainOptions(device="cpu"),
    )
    seen = workflow.seen_documents(packed, family=family, seed=2, step=1, to=12, text=True)
    tokenizer = Tokenizer.from_file(str(packed.tokens(family) / "tokenizer" / "tokenizer.json"))
    parts = iter(seen.documents)
    for sample, row in enumerate(np.concatenate(rows)):
        read = 0
        while read < len(row):
            part = next(parts)
            assert (part.sample, part.step) == (sample, sample // 8 + 1)
            text = texts_of(packed, part.file)[part.document - 1] + "<|endoftext|>"
            ids = tokenizer.encode(text).ids
            assert part.document_tokens == len(ids)
            own = ids[part.first : part.first + part.tokens]
            assert own == row[read : read + part.tokens].tolist()
            assert part.text == tokenizer.decode(own, skip_special_tokens=False)
            read += part.tokens
        assert read == len(row)
    assert next(parts, None) is None


def test_totals_count_samples_documents_and_tokens(packed):
    seen = workflow.seen_documents(packed, seed=1, step=3, to=5)
    assert sorted({part.step for part in seen.documents}) == [3, 4, 5]
    frame = seen.frame()
    assert sum(total["samples"] for total in seen.totals.values()) == 24
    assert sum(total["tokens"] for total in seen.totals.values()) == 24 * 17 == frame.tokens.sum()
    for domain, total in seen.totals.items():
        own = frame[frame.domain == domain]
        assert total["documents"] == len(own[["file", "document"]].drop_duplicates())
    assert seen.totals.keys() == {"prose", "sums", "two-part"}


def test_steps_that_the_run_does_not_have_are_refused(packed):
    for step, to, option, value in (
        (0, None, "--step", 0),
        (13, None, "--step", 13),
        (5, 4, "--to", 4),
        (5, 13, "--to", 13),
    ):
        with refused("option-value", UsageError, option=option, value=value):
            workflow.seen_documents(packed, seed=1, step=step, to=to)
    assert workflow.seen_documents(packed, seed=1, step=12, to=12).documents
    with pytest.raises(UnknownNameError):
        workflow.seen_documents(packed, seed=9, step=1)


def test_a_missing_shard_is_named_and_missing_tokens_too(tmp_path):
    workspace = make_workspace(tmp_path / "work")
    tokens = workspace.tokens(workspace.family())
    for name in ("tokenizer.json", "nothing.json"):
        tokenizer = (tokens / "tokenizer" / "tokenizer.json").rename(tokens / "tokenizer" / name)
        tokenizer.write_text("{")
        with refused("file-malformed" if name == "tokenizer.json" else "file-missing", CorpusError):
            workflow.seen_documents(workspace, seed=1, step=1, text=True)
    for name in ("valid/sums/sums-1.ds.index", "train/prose/prose-2.ds.index", "train/sums/sums-1.ds"):
        kept = (tokens / name).read_bytes()
        for damage in (kept[:-1], kept[:8], b"", None):
            (tokens / name).unlink() if damage is None else (tokens / name).write_bytes(damage)
            for read in (workflow.seen_documents, workflow.inspect_data):
                options = {"step": 1} if read == workflow.seen_documents else {}
                with refused("tokens-damaged", CorpusError, path=tokens / name):
                    read(workspace, seed=1, **options)
        (tokens / name).write_bytes(kept)
    tokens.rename(tokens.with_name("elsewhere"))
    with refused("tokens-missing", CorpusError, path=tokens):
        workflow.seen_documents(workspace, seed=1, step=1)


@pytest.mark.parametrize("steps", [12, 5])
def test_a_run_on_other_tokens_or_with_another_recipe_is_refused(tmp_path, steps, monkeypatch):
    workspace = make_workspace(tmp_path / "work")

    class StopError(Exception):
        pass

    def stop(self):
        raise StopError

    if steps == 5:  # a checkpoint, and no export
        monkeypatch.setattr(loop._Trainer, "_export", stop)
        with pytest.raises(StopError):
            workflow.train(workspace, seed=1, options=workflow.TrainOptions(device="cpu"))
    else:
        workflow.train(workspace, seed=1, options=workflow.TrainOptions(device="cpu"))
    before = workflow.seen_documents(workspace, seed=1, step=1)
    assert before.documents
    corpus, tokens = workspace.corpus(workspace.family()), workspace.tokens(workspace.family())
    tokens.rename(tokens.with_name("old"))
    write_rows(corpus / "train" / "sums-3.jsonl", ["1 + 1 = 2"])
    workflow.pack(workspace)
    with refused("tokens-changed", RunError):
        workflow.seen_documents(workspace, seed=1, step=1)
    assert workflow.seen_documents(workspace, seed=2, step=1).documents  # not trained
    (workspace.root / "mixhub.yaml").write_text(tiny_workspace_yaml(mixture={"train_prose": 1.0}))
    with refused("recipe-differs", RunError):
        workflow.seen_documents(workspace.root, seed=1, step=1)


def test_files_whose_numbers_are_not_lines_are_named(packed, tmp_path, mixhub):
    assert workflow.seen_documents(packed, seed=1, step=1, to=12).partial == ()
    workspace = make_workspace(tmp_path / "work")
    path = workspace.tokens(workspace.family()) / MANIFEST_FILE
    manifest = json.loads(path.read_text())
    manifest["train"]["sums"]["sources"][1]["held_out"] = 0.1
    manifest["train"]["prose"]["sources"][0]["skipped"] = {"count": 1, "first": ["3: not JSON"]}
    path.write_text(json.dumps(manifest))
    seen = workflow.seen_documents(workspace, seed=1, step=1, to=12)
    assert seen.partial == ("train/prose-1.jsonl", "train/sums-2.jsonl")
    done = mixhub("data", "seen", "-w", str(workspace.root), "--seed", "1", "--step", "1", "--to", "12")
    assert "train/prose-1.jsonl" in done.stdout
    assert "train/sums-2.jsonl" in done.stdout


def test_of_a_run_that_was_trained_elsewhere_it_says_so(tmp_path):
    workspace = adopted_workspace(tmp_path, seeds=[1])
    write_tiny_corpus(workspace.corpus(workspace.family()))
    workflow.pack(workspace)
    notices = Notices()
    assert workflow.seen_documents(workspace, seed=1, step=1, progress=notices).documents
    assert [line for line in notices.lines if "seed-1" in line and "elsewhere" in line]


def test_the_command_prints_rows_and_totals_that_fit_80_columns(packed, mixhub):
    arguments = ("data", "seen", "-w", str(packed.root), "--seed", "1", "--step", "3")
    done = mixhub(*arguments, "--to", "4", COLUMNS="80")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    data = json.loads(mixhub(*arguments, "--to", "4", "--json").stdout)
    assert (data["revision"], data["first_step"], data["last_step"]) == ("seed-1", 3, 4)
    rows = [line for line in done.stdout.splitlines() if ".jsonl" in line]
    assert len(rows) == len(data["documents"])
    for line, part in zip(rows, data["documents"], strict=True):
        file = part["file"].removeprefix("train/")
        numbers = (
            part["step"],
            part["sample"],
            file,
            *(part[key] for key in ("document", "first", "tokens", "document_tokens")),
        )
        assert line.split() == list(map(str, numbers))
    assert data["totals"].keys() == {part["domain"] for part in data["documents"]}


def test_files_that_do_not_name_their_domain_get_a_column_for_it(tmp_path, mixhub):
    workspace = make_workspace(tmp_path / "work", mixture={"train_prose": 1.0})
    tokens = workspace.tokens(workspace.family())
    other = tmp_path / "part.npy"
    other.write_bytes((tokens / "train/prose/prose-1.ds").read_bytes())
    changed = tiny_workspace_yaml(mixture={"train_imported": 1.0})
    (workspace.root / "mixhub.yaml").write_text(changed)
    workflow.import_tokens(workspace.root, [other], domain="imported", tokenizer=tokens / "tokenizer")
    done = mixhub("data", "seen", "-w", str(workspace.root), "--seed", "1", "--step", "3", COLUMNS="80")
    assert done.returncode == 0, done.stderr
    header, _, row, *_ = done.stdout.splitlines()[1:]
    assert header.split() == ["sample", "domain", "file", "document", "first", "tokens", "of"]
    assert row.split()[1:3] == ["imported", "part.npy"]


def test_the_command_prints_the_text(packed, mixhub):
    done = mixhub("data", "seen", "-w", str(packed.root), "--seed", "1", "--step", "3", "--text")
    seen = workflow.seen_documents(packed, seed=1, step=3, text=True)
    printed = re.findall(r"^    (.*)$", done.stdout, re.MULTILINE)
    assert printed == [line for part in seen.documents for line in part.text.split("\n")]
