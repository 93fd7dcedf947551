"""`workflow.verify_data`, `mixhub data verify`, and what `train` does about token shards that changed."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from mixhub import workflow
from mixhub.data import hashes
from mixhub.errors import CorpusError
from mixhub.workflow.data.verification import require_same_tokens
from mixhub.workspace.manifest import MANIFEST_FILE, read_manifest
from mixhub.workspace.paths import Workspace
from tests.refusals import refused
from tests.tiny import tiny_family, tiny_workspace, write_rows


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    workspace = tiny_workspace(tmp_path_factory.mktemp("verified"))
    workflow.pack(workspace)
    return workspace


@pytest.fixture
def packed(made_once, tmp_path):
    """A workspace with the packed tiny corpus, with the dates of the files, but no memory of them."""
    shutil.copytree(made_once.root, tmp_path / "work", ignore=shutil.ignore_patterns("cache"))
    return Workspace.open(tmp_path / "work")


@pytest.fixture
def read(monkeypatch):
    """The names of the files that are read, in order."""
    names = []

    def counting(folder, files, bar):
        names.extend(files)
        return plain(folder, files, bar)

    plain = hashes._hashes
    monkeypatch.setattr(hashes, "_hashes", counting)
    return names


SHARD = "train/sums/sums-1.ds"


def tokens_of(workspace):
    return workspace.tokens(workspace.family())


def flip(path):
    """Change a byte in place, as a fault of the disk does: size and date stay."""
    state = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def found(workspace):
    root = f"{workspace.root}{os.sep}data{os.sep}"
    findings = workflow.verify_data(workspace).findings
    return [(finding.code, finding.level, finding.where.removeprefix(root)) for finding in findings]


def test_what_was_packed_is_as_it_was_packed(packed):
    verified = workflow.verify_data(packed)
    assert verified.findings == ()
    assert verified.files == 2 * (6 + 2) + 1  # files of train and valid with their ends, and the tokenizer
    assert verified.sources == 8


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (SHARD, "tokens-damaged"),
        (f"{SHARD}.index", "tokens-damaged"),
        ("valid/prose/prose-1.ds", "tokens-damaged"),
        ("tokenizer/tokenizer.json", "tokenizer-changed"),
    ],
)
@pytest.mark.parametrize("change", [flip, os.remove, lambda path: path.write_bytes(path.read_bytes()[:-2])])
def test_a_changed_missing_or_cut_file_is_found(packed, name, code, change):
    change(tokens_of(packed) / name)
    assert found(packed) == [(code, "error", f"words.bpe300/{name}")]


def test_changed_text_is_a_warning_and_missing_text_too(packed):
    corpus = packed.corpus(packed.family())
    flip(corpus / "train" / "prose-1.jsonl")
    (corpus / "valid" / "sums-1.jsonl").unlink()
    write_rows(corpus / "train" / "unsampled-1.jsonl", ["not packed"])
    expected = [("corpus-changed", "warning", f"words/{name}.jsonl") for name in ("train/prose-1", "valid/sums-1")]
    assert found(packed) == expected
    shutil.rmtree(corpus)
    assert found(packed) == []


def test_imported_tokens_have_no_text_to_look_for(packed):
    manifest = read_manifest(tokens_of(packed))
    sums = manifest.train["sums"]
    imported = tuple(source.model_copy(update={"format": "olmo"}) for source in sums.sources)
    with_imported = {**manifest.train, "sums": sums.model_copy(update={"sources": imported})}
    changed = manifest.model_copy(update={"train": with_imported})
    assert hashes.source_files(manifest).keys() - hashes.source_files(changed).keys() == {
        "train/sums-1.jsonl",
        "train/sums-2.jsonl",
    }


def test_the_command_exits_with_1_for_damage_only(packed, mixhub):
    done = mixhub("data", "verify", "-w", str(packed.root))
    assert done.returncode == 0
    assert "17 files of tokens and 8 files of text" in done.stdout
    flip(packed.corpus(packed.family()) / "train" / "prose-1.jsonl")
    assert mixhub("data", "verify", "-w", str(packed.root)).returncode == 0
    flip(tokens_of(packed) / SHARD)
    done = mixhub("data", "verify", "-w", str(packed.root), "--json")
    assert done.returncode == 1
    data = json.loads(done.stdout)
    assert [finding["code"] for finding in data["findings"]] == ["tokens-damaged", "corpus-changed"]
    (tokens_of(packed) / MANIFEST_FILE).unlink()
    assert mixhub("data", "verify", "-w", str(packed.root)).returncode == 2


def test_a_run_reads_each_shard_once_and_then_those_with_a_new_date(packed, read):
    family = packed.family()
    require_same_tokens(packed, family)
    assert len(read) == 9
    assert sorted(read)[0] == "tokenizer/tokenizer.json"
    read.clear()
    require_same_tokens(packed, family)
    assert read == []
    os.utime(tokens_of(packed) / SHARD)
    require_same_tokens(packed, family)
    assert read == [SHARD]
    read.clear()
    require_same_tokens(packed, family)
    assert read == []


def test_a_run_reads_nothing_that_was_just_packed(made_once, tmp_path, read):
    shutil.copytree(made_once.root, tmp_path / "work")
    workspace = Workspace.open(tmp_path / "work")
    require_same_tokens(workspace, workspace.family())
    assert read == []
    flip(tokens_of(workspace) / SHARD)
    os.utime(tokens_of(workspace) / SHARD)
    workflow.pack(workspace)  # packs nothing, and so says nothing of the files
    with refused("tokens-damaged", CorpusError, path=tokens_of(workspace) / SHARD):
        require_same_tokens(workspace, workspace.family())


def test_verify_counts_as_reading(packed, read):
    workflow.verify_data(packed)
    read.clear()
    require_same_tokens(packed, packed.family())
    assert read == []


@pytest.mark.parametrize("remembered", ["not JSON", '{"format": 2}', '{"format": 1, "files": 3}'])
def test_a_useless_memory_is_made_again(packed, read, remembered):
    cache = packed.hashed_tokens(packed.family())
    cache.parent.mkdir(parents=True)
    cache.write_text(remembered)
    require_same_tokens(packed, packed.family())
    assert len(read) == 9
    read.clear()
    require_same_tokens(packed, packed.family())
    assert read == []


def test_a_shard_that_was_changed_in_place_stops_the_run_before_it_starts(packed, read):
    family = packed.family()
    require_same_tokens(packed, family)
    path = tokens_of(packed) / SHARD
    flip(path)
    os.utime(path)
    other = tokens_of(packed) / "train/prose/prose-1.ds"
    flip(other)
    os.utime(other)
    for _ in range(2):  # also the second time
        with refused("tokens-damaged", CorpusError, path=other, paths=(other, path)) as caught:
            workflow.train(packed, seed=1)
        assert str(other) in caught.value.message
    assert not packed.run_folder(family.run(seed=1)).path.exists()
    flip(path)
    flip(other)
    read.clear()
    require_same_tokens(packed, family)  # restored
    assert sorted(read) == sorted([SHARD, "train/prose/prose-1.ds"])


def test_a_changed_tokenizer_stops_the_run_as_it_would_go_into_the_export(packed):
    path = tokens_of(packed) / "tokenizer/tokenizer.json"
    path.write_text(path.read_text().replace("\n", " "))
    workflow.pack(packed)  # does not take it for another tokenizer that was passed
    with refused("tokenizer-changed", CorpusError, path=path):
        workflow.train(packed, seed=1)


def test_domains_that_the_family_does_not_read_are_not_read(packed, read):
    family = tiny_family(mixture={"train_prose": 1.0}, validation={"valid_prose": 1.0})
    flip(tokens_of(packed) / SHARD)
    require_same_tokens(packed, family)
    names = [f"{split}/prose/prose-{number}.ds" for split, number in (("train", 1), ("train", 2), ("valid", 1))]
    assert sorted(read) == ["tokenizer/tokenizer.json", *names]


def test_of_several_processes_one_reads(packed, read):
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(require_same_tokens, packed, packed.family()) for _ in range(4)]:
            done.result()
    assert len(read) == 9


def test_files_that_were_right_are_remembered_if_reading_is_stopped(packed, read, monkeypatch):
    class StopError(Exception):
        pass

    plain = hashes.compared

    def stopping(*arguments):
        for number, one in enumerate(plain(*arguments)):
            if number == 5:
                raise StopError
            yield one

    monkeypatch.setattr(hashes, "compared", stopping)
    with pytest.raises(StopError):
        require_same_tokens(packed, packed.family())
    monkeypatch.undo()
    again = []
    monkeypatch.setattr(hashes, "_hashes", lambda folder, names, bar: again.extend(names) or iter(()))
    require_same_tokens(packed, packed.family())
    assert len(again) == 4
