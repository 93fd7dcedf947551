import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mixhub.data.batches import StepBatch, TrainingBatches
from mixhub.data.orders.choice import order_of
from mixhub.data.orders.regmix import loader_validation
from mixhub.data.shards import TokenShards
from mixhub.errors import CorpusError, RunError, WorkspaceError
from mixhub.files import locked
from mixhub.progress import Bar
from mixhub.spec import Training
from mixhub.spec.schedule import learning_rate
from mixhub.training.loop import train
from mixhub.training.model import NextTokenLosses, build_model
from mixhub.training.options import TrainOptions
from mixhub.workspace.lineage import weights_sha256
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.paths import RunFolder
from tests.refusals import refused
from tests.tiny import tiny_family, write_tiny_corpus

FAMILY = tiny_family()
RUN = FAMILY.run(seed=1)
CPU = TrainOptions(device="cpu")
ROOT = Path(__file__).parents[2]
SHARD = "shard-00001-model-00001-of-00001.safetensors"


@pytest.fixture(scope="module")
def finished(tokens: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The tiny run, trained without interruption; tests must not change it."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "seed-1")
    torch.set_num_threads(1)
    train(FAMILY, RUN, tokens=tokens, folder=folder, options=CPU)
    return folder


def untimed(folder: RunFolder) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k != "tokens_per_second"} for line in read_metrics(folder.metrics)]


def untimed_lineage(export: Path) -> dict[str, Any]:
    lineage = json.loads((export / "lineage.json").read_text())
    assert lineage["device_hours"] > 0
    return {key: value for key, value in lineage.items() if key not in ("device_hours", "mfu")}


def steps(folder: RunFolder) -> list[dict[str, Any]]:
    return [line for line in untimed(folder) if "loss" in line]


def test_metrics_have_every_step_and_validation(finished: RunFolder) -> None:
    lines = steps(finished)
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert [line["learning_rate"] for line in lines] == [learning_rate(step, FAMILY.training) for step in range(12)]
    assert [line["tokens"] for line in lines] == [128 * step for step in range(1, 13)]
    assert all(line["grad_norm"] > 0 for line in lines)
    validations = [line for line in untimed(finished) if "validation" in line]
    assert [line["step"] for line in validations] == [0, 6, 12]
    assert all(list(line["validation"]) == ["valid_prose", "valid_sums"] for line in validations)


def test_the_losses_of_domains_make_up_the_loss(finished: RunFolder, tokens: Path) -> None:
    shards = TokenShards(tokens, 16)
    order = order_of(FAMILY, RUN, shards.manifest)
    for number, line in enumerate(steps(finished)):
        counts = Counter(order.domains[d] for d in order.samples(8 * number, 8 * number + 8)[0].tolist())
        assert line["domains"].keys() == counts.keys()
        mean = math.fsum(line["domains"][key] * count for key, count in counts.items()) / 8
        assert line["loss"] == pytest.approx(mean, rel=1e-9)


def test_the_loss_falls(finished: RunFolder) -> None:
    lines = steps(finished)
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.8
    validations = [line["validation"] for line in untimed(finished) if "validation" in line]
    assert all(validations[-1][key] < validations[0][key] - 0.5 for key in validations[0])


def test_checkpoints_are_kept_newest_first(finished: RunFolder) -> None:
    assert finished.checkpoint_steps() == [10, 12]
    assert sorted(path.name for path in finished.path.iterdir()) == [
        *(".lock", "checkpoints", "export", "metrics.jsonl", "train_config.yaml")
    ]


def test_a_trained_run_is_left_alone(finished: RunFolder, tokens: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}
    assert train(FAMILY, RUN, tokens=tokens, folder=finished, options=CPU) == finished.export(12)
    assert {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")} == before


def test_the_same_run_gives_the_same_bytes(finished: RunFolder, tokens: Path, folder: RunFolder) -> None:
    export = train(FAMILY, RUN, tokens=tokens, folder=folder, options=CPU)
    names = sorted(path.name for path in export.iterdir())
    assert names == sorted(path.name for path in finished.export(12).iterdir())
    for name in [name for name in names if name != "lineage.json"]:
        assert (export / name).read_bytes() == (finished.export(12) / name).read_bytes(), name
    assert untimed_lineage(export) == untimed_lineage(finished.export(12))
    assert untimed(folder) == untimed(finished)


def test_seeds_differ_in_weights_and_order(finished: RunFolder, tokens: Path, folder: RunFolder) -> None:
    other = train(FAMILY, FAMILY.run(seed=2), tokens=tokens, folder=folder, options=CPU)
    assert weights_sha256(other) != weights_sha256(finished.export(12))
    same_start = tiny_family(training={"init_seed": 1})
    started = RunFolder(folder.path.parent / "same-start")
    train(same_start, same_start.run(seed=2), tokens=tokens, folder=started, options=CPU)
    assert untimed(started)[0] == untimed(finished)[0]
    assert untimed(started)[1] != untimed(finished)[1]


def in_child(folder: RunFolder, tokens: Path, *arguments: str, launcher: tuple[str, ...] = ()) -> int:
    command = [sys.executable, *launcher, "-m", "tests.training.child", str(folder.path), str(tokens), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode not in (0, -signal.SIGKILL):
        raise AssertionError(done.stderr)
    return done.returncode


def test_killed_and_started_again_equals_uninterrupted(finished: RunFolder, tokens: Path, folder: RunFolder) -> None:
    assert in_child(folder, tokens, "{}", "8") == -signal.SIGKILL
    assert folder.checkpoint_steps() in ([], [5])  # it is written during the steps after it
    assert steps(folder)[-1]["step"] == 8
    with folder.metrics.open("a") as file:
        file.write('{"step": 9, "lo')  # a line that the kill tore
    export = train(FAMILY, RUN, tokens=tokens, folder=folder, options=CPU)
    assert weights_sha256(export) == weights_sha256(finished.export(12))
    assert untimed_lineage(export) == untimed_lineage(finished.export(12))
    assert untimed(folder) == untimed(finished)
    assert not list(folder.path.rglob(".tmp-*"))


class StopError(Exception):
    pass


class Stopper:
    """Progress that raises an error after a number of advances."""

    def __init__(self, left: int, error: BaseException) -> None:
        self._left, self._error = left, error

    @contextmanager
    def start(self, what: str, total: int | None, unit: str) -> Iterator[Bar]:
        yield self

    def advance(self, amount: int = 1, note: str | None = None) -> None:
        self._left -= 1
        if self._left < 0:
            raise self._error


@pytest.mark.parametrize("left", [0, 1, 5, 6, 12])
def test_stopped_anywhere_and_started_again_equals_uninterrupted(
    left: int, finished: RunFolder, tokens: Path, folder: RunFolder
) -> None:
    stopper = Stopper(left, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train(FAMILY, RUN, tokens=tokens, folder=folder, options=CPU, progress=stopper)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mixhub-prefetch")]
    export = train(FAMILY, RUN, tokens=tokens, folder=folder, options=CPU)
    assert weights_sha256(export) == weights_sha256(finished.export(12))
    assert untimed(folder) == untimed(finished)


def test_an_error_of_the_thread_that_reads_ahead_stops_the_run_at_its_step(
    finished: RunFolder, tokens: Path, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: TrainingBatches, step: int) -> StepBatch:
        if step == 7:
            raise CorpusError("a shard is gone", code="tokens-damaged")
        return plain(self, step)

    plain = TrainingBatches.step
    monkeypatch.setattr(TrainingBatches, "step", failing)
    with refused("tokens-damaged", CorpusError):
        train(FAMILY, RUN, tokens=tokens, folder=folder, options=CPU)
    assert steps(folder)[-1]["step"] == 7
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mixhub-prefetch")]
    monkeypatch.undo()
    assert weights_sha256(train(FAMILY, RUN, tokens=tokens, folder=folder, options=CPU)) == weights_sha256(
        finished.export(12)
    )


@pytest.fixture
def halted(tokens: Path, folder: RunFolder) -> RunFolder:
    """A run that was stopped after its checkpoint of step 5."""
    with pytest.raises(StopError):
        train(FAMILY, RUN, tokens=tokens, folder=folder, options=CPU, progress=Stopper(7, StopError()))
    return folder


@pytest.mark.parametrize("asked", [1, 5, 7, 12])
def test_asked_to_stop_it_saves_the_step_and_goes_on_from_it(
    asked: int, finished: RunFolder, tokens: Path, folder: RunFolder
) -> None:
    times = iter(range(1, 100))
    stopped = train(FAMILY, RUN, tokens=tokens, folder=folder, options=CPU, should_stop=lambda: next(times) == asked)
    assert (stopped is None) == (asked < 12)
    assert folder.checkpoint_steps()[-1] == asked
    export = train(FAMILY, RUN, tokens=tokens, folder=folder, options=CPU)
    assert export is not None
    assert weights_sha256(export) == weights_sha256(finished.export(12))
    assert untimed(folder) == untimed(finished)


def test_a_changed_recipe_is_refused_with_key_and_both_values(halted: RunFolder, tokens: Path) -> None:
    changed = tiny_family(training={"learning_rate": 0.02})
    keys = ("mixhub.training.learning_rate",)
    with refused("recipe-differs", RunError, path=halted.train_config, keys=keys) as caught:
        train(changed, changed.run(seed=1), tokens=tokens, folder=halted, options=CPU)
    assert "mixhub.training.learning_rate = 0.01" in caught.value.message
    assert "0.02" in caught.value.message
    assert caught.value.hint is not None
    assert str(halted.path) in caught.value.hint


def test_a_changed_recipe_of_a_trained_run_is_refused(finished: RunFolder, tokens: Path) -> None:
    changed = tiny_family(mixture={"train_prose": 1.0})
    with refused("recipe-differs", RunError, path=finished.export(12) / "train_config.yaml") as caught:
        train(changed, changed.run(seed=1), tokens=tokens, folder=finished, options=CPU)
    assert "train.train_prose" in caught.value.fields["keys"]


def test_a_lost_train_config_does_not_let_another_recipe_pass(halted: RunFolder, tokens: Path) -> None:
    halted.train_config.unlink()
    changed = tiny_family(training={"weight_decay": 0.0})
    path, keys = halted.checkpoint(5) / "train_config.yaml", ("mixhub.training.weight_decay",)
    with refused("recipe-differs", RunError, path=path, keys=keys):
        train(changed, changed.run(seed=1), tokens=tokens, folder=halted, options=CPU)


def test_changed_tokens_are_refused(halted: RunFolder, tmp_path: Path) -> None:
    from mixhub.data.packing.pack import pack

    pack(FAMILY, write_tiny_corpus(tmp_path / "words", documents=80), tmp_path / "other")
    with refused("tokens-changed", RunError, path=halted.checkpoint(5)):
        train(FAMILY, RUN, tokens=tmp_path / "other", folder=halted, options=CPU)


@pytest.mark.parametrize("name", ["checkpoints", "export"])
def test_a_link_to_a_disk_that_is_not_mounted_is_refused_at_once(name: str, halted: RunFolder, tokens: Path) -> None:
    place, metrics = halted.path / name, halted.metrics.read_text()
    if place.exists():
        place.rename(halted.path / "away")
    place.symlink_to(halted.path / "missing")
    with pytest.raises(NotADirectoryError) as caught:
        train(FAMILY, RUN, tokens=tokens, folder=halted, options=CPU)
    assert caught.value.filename == str(place)
    assert halted.metrics.read_text() == metrics


@pytest.mark.parametrize("name", ["state.json", SHARD, "another.safetensors"])
def test_a_checkpoint_that_cannot_be_read_is_named(name: str, halted: RunFolder, tokens: Path) -> None:
    (halted.checkpoint(5) / name).write_bytes(b"{")
    with refused("checkpoint-unreadable", RunError, path=halted.checkpoint(5)) as caught:
        train(FAMILY, RUN, tokens=tokens, folder=halted, options=CPU)
    assert caught.value.hint is not None
    assert str(halted.checkpoint(5)) in caught.value.hint


def test_gradient_accumulation_equals_one_large_micro_batch(
    finished: RunFolder, tokens: Path, folder: RunFolder
) -> None:
    small = tiny_family(training={"micro_batch_size": 2})
    train(small, small.run(seed=1), tokens=tokens, folder=folder, options=CPU)
    for ours, theirs in zip(steps(folder), steps(finished), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-4)


def test_two_processes_equal_one(finished: RunFolder, tokens: Path, folder: RunFolder) -> None:
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
    assert in_child(folder, tokens, "{}", launcher=launcher) == 0
    for ours, theirs in zip(untimed(folder), untimed(finished), strict=True):
        assert ours["step"] == theirs["step"]
        if "loss" in ours:
            assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
        else:
            assert ours["validation"] == pytest.approx(theirs["validation"], abs=1e-5)
    weights, expected = (load_file(part.export(12) / "model.safetensors") for part in (folder, finished))
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name], atol=1e-4, rtol=1e-3)
    assert json.loads((folder.export(12) / "lineage.json").read_text())["processes"] == 2


def test_two_processes_equal_one_in_the_order_of_a_loader_with_other_ranks(tokens: Path, folder: RunFolder) -> None:
    change = {"steps": 2, "order": "regmix", "loader": {"ranks": 4, "micro_batch_size": 1, "chunk_sequences": 2}}
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
    assert in_child(folder, tokens, json.dumps({"training": change}), launcher=launcher) == 0
    alone, family = RunFolder(folder.path.parent / "alone"), tiny_family(training=change)
    train(family, family.run(seed=1), tokens=tokens, folder=alone, options=CPU)
    ours, theirs = ([line["loss"] for line in steps(one)] for one in (folder, alone))
    assert ours == pytest.approx(theirs, abs=1e-5)


def test_bfloat16_autocasts_and_keeps_float32_weights(finished: RunFolder, tokens: Path, folder: RunFolder) -> None:
    family = tiny_family(training={"precision": "bfloat16"})
    export = train(family, family.run(seed=1), tokens=tokens, folder=folder, options=CPU)
    assert {weight.dtype for weight in load_file(export / "model.safetensors").values()} == {torch.float32}
    ours, theirs = steps(folder), steps(finished)
    assert ours[0]["loss"] != theirs[0]["loss"]
    assert ours[0]["loss"] == pytest.approx(theirs[0]["loss"], rel=1e-2)
    assert ours[-1]["loss"] == pytest.approx(theirs[-1]["loss"], rel=5e-2)


CHANGE_THE_WEIGHTS: dict[str, dict[str, object]] = {
    "sequence_length": {"sequence_length": 8},
    "global_batch_size": {"global_batch_size": 4},
    "steps": {"steps": 13},
    "beta1": {"beta1": 0.5},
    "beta2": {"beta2": 0.5},
    "adam_epsilon": {"adam_epsilon": 0.1},
    "weight_decay": {"weight_decay": 5.0},
    "decay": {"decay": "matrices", "weight_decay": 5.0},
    "gradient_clip": {"gradient_clip": 0.01, "adam_epsilon": 1e-3},
    "learning_rate": {"learning_rate": 0.02},
    "min_learning_rate": {"min_learning_rate": 0.005},
    "schedule": {"schedule": "constant"},
    "warmup_steps": {"warmup_steps": 4},
    "lr_micro_steps": {"lr_micro_steps": 2},
    "precision": {"precision": "bfloat16"},
    "rope_tables": {"rope_tables": "bfloat16"},
    "document_boundaries": {"document_boundaries": "reset"},
    "initialisation": {"initialisation": "torch_default"},
    "order": {"order": "quota"},
    "loader": {"order": "regmix", "loader": {"ranks": 2, "chunk_sequences": 2}},
    "init_seed": {"init_seed": 9},
    "order_seed": {"order_seed": 9},
}
LEAVE_THE_WEIGHTS: dict[str, object] = {
    "validation_interval": 4,
    "validation_sequences": 3,
    "checkpoint_interval": 3,
    "keep_checkpoints": 1,
    "permanent_checkpoint_interval": 4,
    "spike_limit": 1,
    "origins": {"steps": "published"},
}
TESTED_APART = {
    "validation_order": "needs an order: test_validation_in_the_order_of_the_loader_is_that_of_its_first_rank",
    "micro_batch_size": "changes the rounding alone: test_gradient_accumulation_equals_one_large_micro_batch",
    "optimizer": "has one value",
    "gradient_reduction": "changes nothing in one process: tests/training/test_parallel.py",
    "seed": "is refused for a family over seeds: test_the_seed_of_a_family_over_indices_is_that_of_every_run",
}


def test_every_field_of_the_recipe_is_tested() -> None:
    assert sorted([*CHANGE_THE_WEIGHTS, *LEAVE_THE_WEIGHTS, *TESTED_APART]) == sorted(Training.model_fields)


def test_every_field_of_the_recipe_changes_the_run(finished: RunFolder, tokens: Path, tmp_path: Path) -> None:
    def digest(name: str, change: dict[str, object]) -> str:
        family = tiny_family(training=change)
        folder = RunFolder(tmp_path / name)
        return weights_sha256(train(family, family.run(seed=1), tokens=tokens, folder=folder, options=CPU))

    unchanged = weights_sha256(finished.export(12))
    seen = {unchanged}
    for name, change in CHANGE_THE_WEIGHTS.items():
        changed = digest(name, change)
        assert changed not in seen, name
        seen.add(changed)
    assert digest("left", LEAVE_THE_WEIGHTS) == unchanged


def test_the_seed_of_a_family_over_indices_is_that_of_every_run(
    finished: RunFolder, tokens: Path, tmp_path: Path
) -> None:
    def digest(seed: int) -> str:
        family = tiny_family(
            mixture=None,
            mixtures={1: dict(FAMILY.run(seed=1).mixture.domain_weights)},
            revisions={"pattern": "index-{index}", "indices": [1], "seeds": []},
            training={"seed": seed},
        )
        folder = RunFolder(tmp_path / str(seed))
        return weights_sha256(train(family, family.run(index=1), tokens=tokens, folder=folder, options=CPU))

    assert digest(1) == weights_sha256(finished.export(12)) != digest(2)


def test_documents_are_kept_apart_in_validation_too(finished: RunFolder, tokens: Path, folder: RunFolder) -> None:
    family = tiny_family(training={"document_boundaries": "reset"})
    train(family, family.run(seed=1), tokens=tokens, folder=folder, options=CPU)
    apart, joined = untimed(folder)[0]["validation"], untimed(finished)[0]["validation"]  # of the same initial weights
    assert apart["valid_prose"] != joined["valid_prose"]


def test_validation_in_the_order_of_the_loader_is_that_of_its_first_rank(tokens: Path, tmp_path: Path) -> None:
    loader = {"ranks": 2, "micro_batch_size": 1, "chunk_sequences": 2, "validation_chunk_sequences": 3}
    regmix = {"order": "regmix", "loader": loader, "steps": 2, "validation_sequences": 4}
    losses, weights = [], []
    for number, change in enumerate(({}, {"validation_order": "regmix"})):
        family, folder = tiny_family(training=regmix | change), RunFolder(tmp_path / str(number))
        weights.append(weights_sha256(train(family, family.run(seed=1), tokens=tokens, folder=folder, options=CPU)))
        losses.append([line["validation"] for line in untimed(folder) if "validation" in line])
    assert weights[0] == weights[1]
    shards, model = TokenShards(tokens, 16), build_model(family.architecture, family.training, init_seed=1, eos_id=0)
    for key, loss in losses[1][0].items():
        domain = shards.manifest.valid[key.removeprefix("valid_")]
        starts = loader_validation(key, domain, family.training, 1)
        rows = torch.from_numpy(shards.read("valid", [key.removeprefix("valid_")] * 4, starts)).long()
        assert loss == pytest.approx(NextTokenLosses(model)(rows).mean().item(), rel=1e-5)
        assert loss != losses[0][0][key]


def test_no_clipping_when_none_is_asked_for(finished: RunFolder, tokens: Path, folder: RunFolder) -> None:
    family = tiny_family(training={"gradient_clip": None})
    loose = tiny_family(training={"gradient_clip": 1e9})
    free = train(family, family.run(seed=1), tokens=tokens, folder=folder, options=CPU)
    other = RunFolder(folder.path.parent / "loose")
    assert weights_sha256(free) == weights_sha256(
        train(loose, loose.run(seed=1), tokens=tokens, folder=other, options=CPU)
    )
    assert weights_sha256(free) != weights_sha256(finished.export(12))


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_last_checkpoint(tokens: Path, folder: RunFolder) -> None:
    family = tiny_family(
        training={"learning_rate": 1e30, "min_learning_rate": 0.0, "checkpoint_interval": 1, "warmup_steps": 0}
    )
    with refused("training-diverged", RunError) as caught:
        train(family, family.run(seed=1), tokens=tokens, folder=folder, options=CPU)
    fields = caught.value.fields
    assert fields["figure"] in ("loss", "grad_norm", *family.validation.shares)
    assert not math.isfinite(fields["value"])
    assert fields["checkpoints"] == tuple(folder.checkpoint_steps()) != ()
    assert str(folder.checkpoint(fields["checkpoints"][-1])) in caught.value.message
    assert not folder.exports.exists()


def test_a_run_that_is_being_trained_is_refused(tokens: Path, folder: RunFolder) -> None:
    with (
        locked(folder.lock, "elsewhere"),
        refused("lock-held", WorkspaceError, path=folder.lock) as caught,
    ):
        train(FAMILY, RUN, tokens=tokens, folder=folder, options=CPU)
    assert "seed-1" in caught.value.message


def test_runs_that_cannot_be_trained_are_refused_before_anything_is_written(tokens: Path, folder: RunFolder) -> None:
    chunked = tiny_family(training={"order": "regmix", "loader": {"ranks": 1}})
    with refused("domains-skipped", CorpusError, ranks=1):
        train(chunked, chunked.run(seed=1), tokens=tokens, folder=folder)
    seedless = tiny_family(
        mixture=None,
        mixtures={1: {"train_prose": 1.0}},
        revisions={"pattern": "index-{index}", "indices": [1], "seeds": []},
    )
    with refused("seed-unpublished", RunError, field="init_seed") as caught:
        train(seedless, seedless.run(index=1), tokens=tokens, folder=folder)
    assert caught.value.hint is not None
    assert "chosen_seeds" in caught.value.hint
    assert not folder.path.exists()


def test_what_was_asked_for_and_not_got_is_refused(
    tokens: Path, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refused("option-value", RunError, option="device", value="tpu"):
        train(FAMILY, RUN, tokens=tokens, folder=folder, options=TrainOptions(device="tpu"))
    if not torch.cuda.is_available():
        with refused("device-unavailable", RunError, device="cuda"):
            train(FAMILY, RUN, tokens=tokens, folder=folder, options=TrainOptions(device="cuda"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    launched = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    with refused("launch-incomplete", RunError, missing=launched):
        train(FAMILY, RUN, tokens=tokens, folder=folder, options=CPU)


def test_tokens_of_another_vocabulary_are_refused(tokens: Path, folder: RunFolder) -> None:
    other = tiny_family(tokenizer={"vocab_size": 310})
    with refused("tokens-differ", CorpusError, key="tokenizer.vocab_size", packed=300, wanted=310):
        train(other, other.run(seed=1), tokens=tokens, folder=folder, options=CPU)


def test_without_tokens_nothing_is_written(tmp_path: Path, folder: RunFolder) -> None:
    with refused("tokens-missing", CorpusError, path=tmp_path / "nothing"):
        train(FAMILY, RUN, tokens=tmp_path / "nothing", folder=folder, options=CPU)
    assert not folder.path.exists()


def test_the_log_says_where_a_run_resumes_and_the_result_of_validations(
    halted: RunFolder, tokens: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="mixhub.training"):
        train(FAMILY, RUN, tokens=tokens, folder=halted, options=CPU)
    said = [record.getMessage() for record in caplog.records if record.name == "mixhub.training"]
    assert said[0] == "seed-1: resumes from step 5 of 12"
    assert [line.partition(",")[0] for line in said[1:]] == ["seed-1: step 6 of 12", "seed-1: step 12 of 12"]
    loss, found = steps(halted)[-1]["loss"], untimed(halted)[-1]["validation"]
    shown = f"loss {loss:.3f}, validation prose {found['valid_prose']:.3f}, sums {found['valid_sums']:.3f}"
    assert said[-1] == f"seed-1: step 12 of 12, {shown}"
