"""Packs that are stopped, shared by several commands, or run at the same time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixhub.data import hashes
from mixhub.data.packing import shards, workers
from mixhub.data.packing.building import Part, building_folder, locked_part
from mixhub.data.packing.pack import pack
from mixhub.errors import CorpusError, UsageError, WorkspaceError
from mixhub.spec import Family
from mixhub.workspace.manifest import read_manifest
from tests.data.packing.conftest import write_texts
from tests.refusals import refused
from tests.tiny import tiny_family, write_tiny_corpus

FAMILY = tiny_family()


@pytest.fixture
def packed_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are packed, and not taken from an earlier pack."""
    names: list[str] = []
    inner = shards._pack

    def counted(job: shards.Job, *rest: object) -> shards.Packed:
        names.append(job.name)
        return inner(job, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(shards, "_pack", counted)
    return names


def test_a_stopped_pack_goes_on_with_the_files_that_are_left(
    corpus: Path, tmp_path: Path, packed_files: list[str]
) -> None:
    whole = pack(FAMILY, corpus, tmp_path / "whole")
    last = corpus / "valid" / "sums-1.jsonl"
    content = last.read_bytes()
    last.write_bytes(content + b"broken\n")
    packed_files.clear()
    tokens = tmp_path / "tokens"
    with refused("row-malformed", CorpusError, path=last, line=16):
        pack(FAMILY, corpus, tokens)
    assert not tokens.exists()
    assert 3 < len(packed_files) < 9
    assert not list(building_folder(tokens).rglob("*.part"))
    left = {source.name for split in (whole.train, whole.valid) for one in split.values() for source in one.sources}
    left -= {*packed_files[:-1]}
    last.write_bytes(content)
    packed_files.clear()
    assert pack(FAMILY, corpus, tokens) == whole
    assert {*packed_files} == left
    assert not building_folder(tokens).exists()


@pytest.mark.parametrize("name", ["prose-1.ds", "prose-1.ds.index", "prose-1.ds.json"])
@pytest.mark.parametrize("damage", [b"", b"{}", b"{", b"[]", None])
def test_what_is_damaged_of_an_unfinished_pack_is_packed_again(
    corpus: Path, tmp_path: Path, name: str, damage: bytes | None
) -> None:
    tokens = tmp_path / "tokens"
    pack(FAMILY, corpus, tokens, part=Part(1, 2))
    pack(FAMILY, corpus, tokens, part=Part(2, 3))
    for file in building_folder(tokens).glob(f"*/*/{name}"):
        file.unlink() if damage is None else file.write_bytes(damage)
    manifest = pack(FAMILY, corpus, tokens)
    assert manifest == pack(FAMILY, corpus, tmp_path / "fresh")
    assert hashes.changed_files(tokens, hashes.packed_files(manifest), tmp_path / "cache.json") == {}


def test_files_and_options_that_changed_in_between_are_packed_again(
    corpus: Path, tmp_path: Path, packed_files: list[str]
) -> None:
    tokens = tmp_path / "tokens"
    assert pack(FAMILY, corpus, tokens, part=Part(1, 2)) is None
    first = list(packed_files)
    changed = corpus / next(name for name in first if name.startswith("valid"))
    write_texts(changed, ["other text"])
    packed_files.clear()
    manifest = pack(FAMILY, corpus, tokens)
    assert changed.relative_to(corpus).as_posix() in packed_files
    assert not {*first} & {*packed_files} - {changed.relative_to(corpus).as_posix()}
    assert manifest == pack(FAMILY, corpus, tmp_path / "fresh")


def test_a_tokenizer_is_trained_again_if_its_text_changed(
    corpus: Path, tmp_path: Path, packed_files: list[str]
) -> None:
    tokens = tmp_path / "tokens"
    assert pack(FAMILY, corpus, tokens, part=Part(1, 2)) is None
    write_texts(corpus / "train" / "prose-1.jsonl", ["other words, which make other pairs of bytes"] * 60)
    packed_files.clear()
    manifest = pack(FAMILY, corpus, tokens)
    assert len(packed_files) == 8
    assert manifest == pack(FAMILY, corpus, tmp_path / "fresh")


@pytest.mark.parametrize("parts", [1, 2, 3, 20])
def test_parts_make_the_same_tokens_together(corpus: Path, tmp_path: Path, parts: int) -> None:
    tokens = tmp_path / "tokens"
    made = [pack(FAMILY, corpus, tokens, part=Part(number, parts)) for number in range(parts, 0, -1)]
    assert made[:-1] == [None] * (parts - 1)
    assert made[-1] == read_manifest(tokens) == pack(FAMILY, corpus, tmp_path / "whole")
    assert pack(FAMILY, corpus, tokens, part=Part(1, parts)) == made[-1]


def test_parts_have_every_file_once_and_about_the_same_size(tmp_path: Path) -> None:
    jobs = [
        shards.Job(tmp_path / f"a-{number}.jsonl", f"train/a-{number}.jsonl", "train", "a", None, number**2)
        for number in range(60)
    ]
    divided = [Part(number, 7).jobs(jobs) for number in range(1, 8)]
    assert sorted(job.name for part in divided for job in part) == sorted(job.name for job in jobs)
    sizes = [sum(job.size for job in part) for part in divided]
    assert max(sizes) < 1.1 * min(sizes)
    assert Part(2, 7).jobs(jobs[::-1]) == divided[1]
    assert Part(999_999_999, 999_999_999).jobs(jobs) == []
    assert len(Part(60, 999_999_999).jobs(jobs)) == 1


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3"])
def test_a_part_that_is_none_is_refused(text: str) -> None:
    with refused("option-value", UsageError, option="--shard", value=text):
        Part.parse(text)


def test_the_same_part_twice_at_once_is_refused(corpus: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    building = building_folder(tokens)
    building.mkdir()
    with locked_part(building, Part(1, 2)):
        for part in (Part(1, 2), Part(), Part(1, 3)):
            with refused("lock-held", WorkspaceError):
                pack(FAMILY, corpus, tokens, part=part)
        assert pack(FAMILY, corpus, tokens, part=Part(2, 2)) is None
    assert pack(FAMILY, corpus, tokens) == read_manifest(tokens)


def test_processes_make_the_same_tokens(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pack(FAMILY, corpus, tmp_path / "whole")
    monkeypatch.setattr(workers, "_SMALL", 0)
    assert pack(FAMILY, corpus, tmp_path / "tokens", workers=2) == whole


def test_the_first_error_of_a_process_stops_all(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_SMALL", 0)
    path = corpus / "train" / "sums-2.jsonl"
    path.write_bytes(path.read_bytes() + b'{"text": "\xff"}\n')
    with refused("row-encoding", CorpusError, path=path, line=16):
        pack(FAMILY, corpus, tmp_path / "tokens", workers=2)
    assert not (tmp_path / "tokens").exists()


@pytest.mark.parametrize("change", ["changed", "removed"])
def test_a_file_that_changes_while_it_is_packed_is_named(
    corpus: Path, prose: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path = corpus / "train" / "prose-2.jsonl"
    inner = shards._pack

    def meddled(job: shards.Job, *rest: object) -> shards.Packed:
        packed = inner(job, *rest)  # type: ignore[arg-type]
        if job.path == path:
            path.write_text('{"text": "new"}\n') if change == "changed" else path.unlink()
        return packed

    monkeypatch.setattr(shards, "_pack", meddled)
    with refused("corpus-changed", CorpusError, path=path, change=change):
        pack(prose, corpus, tmp_path / "tokens")
    assert not (tmp_path / "tokens").exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_pack_leaves_no_process_and_goes_on(tmp_path: Path, how: signal.Signals) -> None:
    corpus = write_tiny_corpus(tmp_path / "words")
    texts = [f"{number} {'word ' * 2000}" for number in range(200)]
    for number in range(3, 7):
        write_texts(corpus / "train" / f"prose-{number}.jsonl", texts)
    script = f"""
import sys, time
from pathlib import Path
from mixhub.data.packing.pack import pack
from mixhub.data.packing import workers
from tests.tiny import tiny_family

def waiting(job, *rest, pack_file=workers.pack_file):
    while job.path.name == "prose-6.jsonl" and not workers._stop.is_set():
        time.sleep(0.05)
    return pack_file(job, *rest)

sys.modules["fastokens"] = None
workers._SMALL, workers.pack_file = 0, waiting
if __name__ == "__main__":
    pack(tiny_family(), Path({str(corpus)!r}), Path({str(tmp_path / "tokens")!r}), workers=2)
"""
    file = tmp_path / "script.py"
    file.write_text(script)
    process = subprocess.Popen([sys.executable, file], start_new_session=True, stderr=subprocess.PIPE, text=True)
    building = building_folder(tmp_path / "tokens")
    deadline = time.monotonic() + 60
    while not (finished := list(building.rglob("*.ds.json"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(how)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in complaint or "KeyboardInterrupt" in complaint
    deadline = time.monotonic() + 30
    while _members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _members(process.pid) == []
    assert not (tmp_path / "tokens").exists()
    files = {path.relative_to(building).with_suffix(""): path.with_suffix("").stat().st_ino for path in finished}
    pack(tiny_family(), corpus, tmp_path / "tokens")
    assert files == {name: (tmp_path / "tokens" / name).stat().st_ino for name in files}


def _members(group: int) -> list[str]:
    """Commands of the processes of a group."""
    done = subprocess.run(["ps", "-o", "stat=,args=", "-g", str(group)], capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if not line.startswith("Z")]


def test_records_of_an_unfinished_pack_are_json(corpus: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    pack(FAMILY, corpus, tokens, part=Part(1, 2))
    records = [json.loads(path.read_text()) for path in building_folder(tokens).rglob("*.ds.json")]
    assert records
    assert all({"inputs", "source", "shard"} == set(record) for record in records)
