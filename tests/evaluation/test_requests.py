"""Built requests: the same when they are read again, and never those of another key."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from mixhub.errors import ResultsError
from mixhub.evaluation import requests as requests_module
from mixhub.evaluation.datasets import Datasets
from mixhub.evaluation.encoding import Encoder
from mixhub.evaluation.lm_eval_private import quiet
from mixhub.evaluation.options import CellKey, Storage
from mixhub.evaluation.requests import Prepared, RequestFile, Requests, prepare
from mixhub.evaluation.suite import BuiltTask, build, resolve
from mixhub.spec import Task
from tests.evaluation.making import CopyFetch, Place, Recorder
from tests.evaluation.suite_documents import TASKS, write_dataset_repos
from tests.refusals import refused

CHECKED = ("arc_easy", "lambada_standard", "race", "copa")


@pytest.fixture(scope="module")
def encoder(measured: Place) -> Encoder:
    return Encoder.load(measured.export)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BuiltTask]:
    root = tmp_path_factory.mktemp("requests")
    datasets = Datasets(root / "datasets", CopyFetch(write_dataset_repos(root / "repos")))
    with quiet():
        return {task.name: build(task, datasets) for task in resolve([_task(name) for name in CHECKED], {})}


def _task(name: str) -> Task:
    return Task(name=name, title=name)


def _prepared(built: BuiltTask, encoder: Encoder, shots: int = 2, limit: int | None = None) -> Prepared:
    with quiet():
        found = prepare(built.task, encoder, shots, 1234, limit)
    assert found is not None
    return found


def _arrays(prepared: Prepared) -> dict[str, list[Any]]:
    return {name: getattr(prepared.packing, name).tolist() for name in requests_module._ARRAYS}


@pytest.mark.parametrize("name", CHECKED)
def test_what_is_read_is_what_was_stored(built, encoder: Encoder, tmp_path: Path, name):
    file = RequestFile.of(tmp_path, built[name], encoder, 2, 1234, None)
    assert file.read() is None
    assert file.size() is None
    prepared = _prepared(built[name], encoder)
    file.write(prepared)
    found = file.read()
    assert found is not None
    assert list(found.pairs) == list(prepared.pairs)
    assert _arrays(found) == _arrays(prepared)
    assert file.size() == (len(prepared.pairs), len(prepared.packing.tokens))
    ours, theirs = found.instances(built[name].task), _stock_instances(built[name], 2)
    assert ours == theirs


def _stock_instances(built: BuiltTask, shots: int) -> list[Any]:
    task = built.task
    task.set_config("num_fewshot", shots)
    task.set_fewshot_seed(seed=1234)
    with quiet():
        task.build_all_requests(rank=0, world_size=1)
    instances: list[Any] = task.instances
    return instances


def test_tokens_are_those_of_lm_evals_own_backend(built, encoder: Encoder, measured: Place):
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM

    stock = HFLM(
        pretrained=AutoModelForCausalLM.from_pretrained(measured.export),
        tokenizer=AutoTokenizer.from_pretrained(measured.export),
        backend="causal",
    )
    assert (stock.max_length, stock.prefix_token_id) == (encoder.max_length, encoder.prefix_token_id)
    pairs = [pair for name in CHECKED for pair in _prepared(built[name], encoder).pairs]
    pairs += [("a ☂ cat \n ", "sat"), ("the cat", " sat"), ("<|endoftext|>the", " cat"), ("é", "è")]
    contexts, continuations = encoder.encode([*pairs, ("", "the cat")])
    for pair, context, continuation in zip(pairs, contexts, continuations, strict=False):
        assert (context.tolist(), continuation.tolist()) == stock._encode_pair(*pair)
    assert contexts[-1].tolist() == [stock.prefix_token_id]
    assert continuations[-1].tolist() == stock.tok_encode("the cat", add_special_tokens=False)


def test_a_choice_that_cannot_be_scored_is_named(encoder: Encoder):
    with refused("choice-unscorable", ResultsError, tokens=0, max_length=640):
        encoder.encode([("the cat", "")])
    with refused("choice-unscorable", ResultsError, tokens=641, max_length=640):
        encoder.encode([("the cat", "z" * 641)])


def _changed_tokenizer(encoder: Encoder, measured: Place) -> Encoder:
    tokenizer = AutoTokenizer.from_pretrained(measured.export)
    tokenizer.add_tokens(["catdog"])
    return replace(encoder, tokenizer=tokenizer)


def _other_files(root: Path, built: BuiltTask, encoder: Encoder, measured: Place) -> Iterator[tuple[str, RequestFile]]:
    yield "shots", RequestFile.of(root, built, encoder, 3, 1234, None)
    yield "seed of the shots", RequestFile.of(root, built, encoder, 2, 7, None)
    yield "limit", RequestFile.of(root, built, encoder, 2, 1234, 5)
    yield "context length", RequestFile.of(root, built, replace(encoder, max_length=128), 2, 1234, None)
    yield "prefix token", RequestFile.of(root, built, replace(encoder, prefix_token_id=5), 2, 1234, None)
    yield "added bos", RequestFile.of(root, built, replace(encoder, add_bos_token=True), 2, 1234, None)
    yield "tokenizer", RequestFile.of(root, built, _changed_tokenizer(encoder, measured), 2, 1234, None)
    yield "documents", RequestFile.of(root, replace(built, fingerprint="2" * 40), encoder, 2, 1234, None)
    other = replace(built.suite, config={**built.suite.config, "doc_to_text": "Q: {{question}}"})
    yield "prompt", RequestFile.of(root, replace(built, suite=other), encoder, 2, 1234, None)
    for package in requests_module._PACKAGES:
        with pytest.MonkeyPatch.context() as patch:
            installed = {name: "0.0.1" if name == package else "1" for name in requests_module._PACKAGES}
            patch.setattr(requests_module, "versions", lambda *names, installed=installed: installed)
            yield package, RequestFile.of(root, built, encoder, 2, 1234, None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests_module, "FORMAT", 0)
        yield "format", RequestFile.of(root, built, encoder, 2, 1234, None)


def test_a_stale_key_is_never_used(built, encoder: Encoder, measured: Place, tmp_path: Path):
    task = built["arc_easy"]
    file = RequestFile.of(tmp_path, task, encoder, 2, 1234, None)
    file.write(_prepared(task, encoder))
    others = list(_other_files(tmp_path, task, encoder, measured))
    assert len({other.path for _, other in others} | {file.path}) == len(others) + 1
    for what, other in others:
        assert other.read() is None, what
        other.path.write_bytes(file.path.read_bytes())  # even under its name
        assert other.read() is None, what


def test_what_is_in_the_place_of_the_store_is_named(built, encoder: Encoder, tmp_path: Path):
    task = built["arc_easy"]
    file = RequestFile.of(tmp_path / "requests", task, encoder, 2, 1234, None)
    (tmp_path / "requests").write_text("")
    with refused("requests-unwritable", ResultsError, path=file.path) as caught:
        file.write(_prepared(task, encoder))
    assert "disk" not in str(caught.value.hint)


@pytest.mark.parametrize("damage", ["cut short", "a byte changed", "empty", "text"])
def test_a_damaged_file_is_built_anew(built, encoder: Encoder, tmp_path: Path, damage: str):
    task = built["copa"]
    file = RequestFile.of(tmp_path, task, encoder, 2, 1234, None)
    file.write(_prepared(task, encoder))
    data = bytearray(file.path.read_bytes())
    if damage == "a byte changed":
        with zipfile.ZipFile(file.path) as archive:
            largest = max(archive.infolist(), key=lambda member: member.compress_size)
        data[largest.header_offset + largest.compress_size // 2 + 60] ^= 255
    whole = {"cut short": bytes(data[:-200]), "a byte changed": bytes(data), "empty": b"", "text": b"mine"}
    file.path.write_bytes(whole[damage])
    assert file.read() is None


def test_another_seed_of_the_family_reads_the_same_requests(copied, measured: Place):
    place = copied("results")
    seen = Recorder()
    place.evaluate(progress=seen)
    assert "build requests" not in [what for what, _, _ in seen.started]
    stored = list((place.root / "cache" / "requests").rglob("*.npz"))
    assert len(stored) == 6
    stored[0].write_bytes(b"damaged")
    (place.results / "demo_continuation.0shot.json").unlink()
    for path in place.results.glob("demo*.json"):
        path.unlink()
    again = Recorder()
    place.evaluate(progress=again)
    assert ("build requests", 1, "cell") in again.started


def test_a_limited_cell_has_the_prompts_of_the_whole_one(built, encoder: Encoder):
    whole, limited = (_prepared(built["arc_easy"], encoder, limit=limit) for limit in (None, 4))
    assert list(limited.pairs) == list(whole.pairs)[: len(limited.pairs)]
    assert set(limited.documents.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize(("fingerprint", "stored"), [(None, 1), ("unknown", 0)])
def test_requests_of_unidentified_documents_are_not_stored(
    built, encoder: Encoder, tmp_path: Path, fingerprint: str | None, stored: int
):
    task = built["copa"] if fingerprint is None else replace(built["copa"], fingerprint=fingerprint)
    cell = CellKey(task.suite, 0)
    requests = Requests(
        Storage(Datasets(tmp_path / "datasets", CopyFetch({})), tmp_path / "requests"), encoder, 1234, None
    )
    requests._built["copa"] = task
    with quiet():
        prepared = requests._prepare(cell)
    assert prepared is not None
    assert len(list(tmp_path.rglob("*.npz"))) == stored
    again = requests.get(cell)
    assert again is not None
    assert (list(again.pairs), _arrays(again)) == (list(prepared.pairs), _arrays(prepared))
    assert requests.size(cell) == (len(prepared.pairs), len(prepared.packing.tokens))


def test_the_tasks_of_the_suite_are_all_there():
    assert len(TASKS) == 13
    assert np.isin(CHECKED, TASKS).all()
