"""Checkpoints of one process: what is written, when it counts, and what is kept."""

import errno
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from mixhub.errors import RunError
from mixhub.spec.base import data_sha256, read_yaml
from mixhub.training.checkpoints import store
from mixhub.training.checkpoints.reader import load_weights
from mixhub.training.checkpoints.state import State, first_state, read_state
from mixhub.training.checkpoints.store import expired
from mixhub.training.checkpoints.tensors import file_numbers
from mixhub.training.checkpoints.writer import ShardWriter
from mixhub.training.loop import train
from mixhub.training.model import build_model
from mixhub.training.options import TrainOptions
from mixhub.workspace.lineage import read_lineage, weights_sha256
from mixhub.workspace.manifest import read_manifest
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.paths import RunFolder
from tests.refusals import refused
from tests.tiny import tiny_family
from tests.training.checkpoints.models import copies, new_checkpoints, to_first_format, update

FAMILY = tiny_family()
RUN = FAMILY.run(seed=1)
CPU = TrainOptions(device="cpu")


@pytest.fixture(scope="module")
def finished(tokens: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The tiny run; tests must not change it."""
    folder = RunFolder(tmp_path_factory.mktemp("finished"))
    torch.set_num_threads(1)
    train(FAMILY, RUN, tokens=tokens, folder=folder, options=CPU)
    return folder


def stopped(tokens: Path, folder: RunFolder, at: int, **training: object) -> RunFolder:
    """The tiny run, stopped after a step."""
    family, steps = tiny_family(training=training), iter(range(1, 100))
    assert (
        train(
            family, family.run(seed=1), tokens=tokens, folder=folder, options=CPU, should_stop=lambda: next(steps) == at
        )
        is None
    )
    return folder


def resumed(tokens: Path, folder: RunFolder, **training: object) -> str:
    """The hash of the weights of the finished run."""
    family = tiny_family(training=training)
    export = train(family, family.run(seed=1), tokens=tokens, folder=folder, options=CPU)
    assert export is not None
    return weights_sha256(export)


def state_at(step: int, tokens: Path) -> State:
    first = first_state(FAMILY, RUN, read_manifest(tokens).for_family(FAMILY), "0" * 64)
    return first.model_copy(update={"step": step})


def test_a_checkpoint_says_where_it_comes_from(finished: RunFolder) -> None:
    path = finished.checkpoint(12)
    state, lineage = read_state(path), read_lineage(finished.export(12))
    assert (state.format, state.step) == (2, 12)
    assert (state.device, state.processes, state.sharding) == ("cpu", 1, "none")
    assert (state.corpus_sha256, state.versions) == (lineage.corpus_sha256, lineage.versions)
    assert data_sha256(read_yaml(path / "train_config.yaml")) == state.train_config_sha256
    assert state.files is not None
    assert sorted(path.name for path in path.iterdir()) == sorted(["state.json", "train_config.yaml", *state.files])


def test_the_weights_of_a_checkpoint_are_those_of_the_export(finished: RunFolder) -> None:
    model = build_model(FAMILY.llama, FAMILY.training, init_seed=0, eos_id=0)
    load_weights(finished.checkpoint(12), read_state(finished.checkpoint(12)), model)
    exported = safetensors.torch.load_file(finished.export(12) / "model.safetensors")
    for name, weight in model.named_parameters():
        assert torch.equal(weight, exported[name]), name


@pytest.mark.parametrize("tied", [False, True])
def test_a_checkpoint_holds_the_moment_of_its_save(
    tied: bool, tokens: Path, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Updates during the write do not change what is written, and a later save writes later tensors."""
    written = threading.Event()
    write = ShardWriter.write_data

    def waiting(self: ShardWriter, *arguments: Any) -> Any:
        assert written.wait(30)
        return write(self, *arguments)

    monkeypatch.setattr(ShardWriter, "write_data", waiting)
    changes = {"architecture": {"tie_word_embeddings": tied}}
    with new_checkpoints(folder, **changes) as (model, optimizer, checkpoints), checkpoints:
        saved = []
        for step in (2, 3, 4):
            saved.append(copies(model, optimizer))
            written.clear()
            checkpoints.save(state_at(step, tokens))
            update(model, optimizer)
            assert not checkpoints.failed()
            assert step not in folder.checkpoint_steps()
            written.set()
            checkpoints.wait()
        assert folder.checkpoint_steps() == [3, 4]
        for step, expected in ((3, saved[1]), (4, saved[2])):
            checkpoints.load(folder.checkpoint(step))
            for ours, theirs in zip(copies(model, optimizer), expected, strict=True):
                assert torch.equal(ours, theirs)


def test_saving_and_loading_neither_warn_nor_change_what_is_shown(tokens: Path, folder: RunFolder) -> None:
    with new_checkpoints(folder) as (_, _, checkpoints), warnings.catch_warnings(), checkpoints:
        warnings.simplefilter("error")
        before = list(warnings.filters)
        checkpoints.save(state_at(2, tokens))
        assert warnings.filters == before
        checkpoints.wait()
        checkpoints.load(folder.checkpoint(2))
        assert warnings.filters == before


def test_the_thread_that_writes_needs_no_gpu(tokens: Path, folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """With several GPUs, it would use the first in each process."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # any use of it fails here
    with new_checkpoints(folder) as (_, _, checkpoints), checkpoints:
        checkpoints.save(state_at(2, tokens))
        checkpoints.wait()
    assert folder.checkpoint_steps() == [2]


def test_leaving_waits_for_the_last_checkpoint(tokens: Path, folder: RunFolder) -> None:
    with new_checkpoints(folder) as (_, _, checkpoints):
        checkpoints.save(state_at(2, tokens))
        with pytest.raises(ZeroDivisionError), checkpoints:
            _ = 1 / 0
        assert folder.checkpoint_steps() == [2]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk-full"),
        (OSError(errno.EROFS, "Read-only file system"), "disk-read-only"),
        (ValueError("odd"), "checkpoint-failed"),
    ],
)
def test_a_save_that_fails_stops_the_run_at_the_next_step(
    error: Exception, code: str, finished: RunFolder, tokens: Path, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(path: Path, temporary: Path) -> None:
        if path.name == "step-000010":
            raise error
        replace(path, temporary)

    def wait_for_the_disk() -> bool:
        for thread in threading.enumerate():
            if thread.name.startswith("checkpoint"):
                thread.join()
        return False

    replace = store.replace_folder
    monkeypatch.setattr(store, "replace_folder", failing)
    path = folder.checkpoint(10)
    with refused(code, RunError, path=path, checkpoints=(5,), step=10) as caught:
        train(FAMILY, RUN, tokens=tokens, folder=folder, options=CPU, should_stop=wait_for_the_disk)
    assert str(folder.checkpoint(5)) in caught.value.message
    assert read_metrics(folder.metrics)[-1]["step"] == 10, "the 11th update is not made"
    assert [one.name for one in folder.checkpoints.iterdir()] == ["step-000005"]
    monkeypatch.undo()
    assert resumed(tokens, folder) == weights_sha256(finished.export(12))


@pytest.mark.parametrize("harm", ["cut", "bit", "gone"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used_once_it_is_deleted(
    harm: str, finished: RunFolder, tokens: Path, folder: RunFolder
) -> None:
    stopped(tokens, folder, 7, checkpoint_interval=3)
    path = folder.checkpoint(7)
    (file,) = path.glob("*.safetensors")
    data = file.read_bytes()
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(data[:-8] if harm == "cut" else data[:-8] + bytes([data[-8] ^ 1]) + data[-7:])
    with refused("checkpoint-unreadable", RunError, path=path) as caught:
        resumed(tokens, folder, checkpoint_interval=3)
    assert file.name in caught.value.message
    for part in path.iterdir():
        part.unlink()
    path.rmdir()
    assert folder.checkpoint_steps()[-1] == 6
    assert resumed(tokens, folder, checkpoint_interval=3) == weights_sha256(finished.export(12))


def test_a_checkpoint_whose_folder_was_renamed_is_refused(tokens: Path, folder: RunFolder) -> None:
    stopped(tokens, folder, 7, checkpoint_interval=3)
    folder.checkpoint(7).rename(folder.checkpoint(9))
    with refused("checkpoint-unreadable", RunError, path=folder.checkpoint(9)):
        resumed(tokens, folder, checkpoint_interval=3)
    folder.checkpoint(9).rename(folder.checkpoints / "step-9")
    assert folder.checkpoint_steps() == [6]
    assert folder.unfinished_checkpoints() == []


def test_a_folder_without_its_last_file_is_no_checkpoint(finished: RunFolder, tokens: Path, folder: RunFolder) -> None:
    stopped(tokens, folder, 7)
    (folder.checkpoint(7) / "state.json").unlink()
    assert folder.checkpoint_steps() == [5]
    assert folder.unfinished_checkpoints() == [folder.checkpoint(7)]
    assert resumed(tokens, folder, checkpoint_interval=7) == weights_sha256(finished.export(12))
    assert folder.unfinished_checkpoints() == [], "it was replaced"


def test_fields_without_effect_may_change_and_are_those_of_the_next_checkpoint(
    finished: RunFolder, tokens: Path, folder: RunFolder
) -> None:
    stopped(tokens, folder, 7)
    changes = {"checkpoint_interval": 2, "keep_checkpoints": 1, "permanent_checkpoint_interval": 9}
    assert resumed(tokens, folder, **changes, validation_interval=4) == weights_sha256(finished.export(12))
    assert folder.checkpoint_steps() == [9, 12]
    config = folder.checkpoint(12) / "train_config.yaml"
    assert read_yaml(config)["mixhub"]["training"]["keep_checkpoints"] == 1
    assert read_state(folder.checkpoint(12)).train_config_sha256 == data_sha256(read_yaml(config))
    assert read_lineage(folder.export(12)).train_config_sha256 == data_sha256(read_yaml(config))
    changed = tiny_family(training={**changes, "beta1": 0.8})
    with refused("recipe-differs", RunError, keys=("mixhub.training.beta1",)):
        train(changed, changed.run(seed=1), tokens=tokens, folder=folder, options=CPU)


def test_permanent_checkpoints_are_made_and_not_counted() -> None:
    training = tiny_family(training={"keep_checkpoints": 2, "permanent_checkpoint_interval": 4}).training
    assert expired([4, 5, 8, 10, 12, 15], training) == [5]
    assert expired([4, 8], training) == []
    assert expired([5, 10, 15], tiny_family(training={"keep_checkpoints": 2}).training) == [5]


def test_a_checkpoint_of_the_first_format_goes_on(finished: RunFolder, tokens: Path, folder: RunFolder) -> None:
    stopped(tokens, folder, 7)
    with new_checkpoints(folder) as (model, optimizer, checkpoints):
        checkpoints.load(folder.checkpoint(7))
        to_first_format(folder, model, optimizer)
    changes = {"checkpoint_interval": 4}
    assert resumed(tokens, folder, **changes) == weights_sha256(finished.export(12))


def test_large_models_have_several_files(tokens: Path, folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(file_numbers({"model": {"a": torch.zeros(9), "b": torch.zeros(9)}}, 1).values()) == {1}
    monkeypatch.setattr("mixhub.training.checkpoints.tensors._FILE_BYTES", 50_000)
    with new_checkpoints(folder) as (model, optimizer, checkpoints), checkpoints:
        saved = copies(model, optimizer)
        checkpoints.save(state_at(2, tokens))
        update(model, optimizer)
        checkpoints.wait()
        checkpoints.load(folder.checkpoint(2))
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(copies(model, optimizer), saved, strict=True))
    files = sorted(folder.checkpoint(2).glob("*.safetensors"))
    assert len(files) > 2
    names = []
    for file in files:
        with safe_open(file, "pt") as opened:
            names += opened.keys()
    assert len(names) == len(set(names)) == 4 * len(list(model.parameters()))
