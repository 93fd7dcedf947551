"""Trials of the tiny family, on the CPU."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from mixhub.errors import RunError
from mixhub.training.checkpoints.store import Checkpoints
from mixhub.training.options import TrainOptions
from mixhub.training.planning.outcome import Disk, Pace, Peak, Preflight, Repeat
from mixhub.training.planning.preflight import preflight
from mixhub.training.updates import Updates
from mixhub.workspace.paths import RunFolder
from tests.refusals import codes, refused
from tests.tiny import tiny_family

FAMILY = tiny_family(training={"global_batch_size": 16})
RUN = FAMILY.run(seed=1)
CPU = TrainOptions(device="cpu")
SAME = Repeat(is_same=True, is_finite=True, figures=0.0, weights=0.0)


def tried(tokens: Path, folder: RunFolder) -> Preflight:
    return preflight(FAMILY, RUN, tokens=tokens, folder=folder, options=CPU)


def test_a_sound_machine_repeats_and_resumes_and_leaves_nothing_behind(tokens: Path, folder: RunFolder) -> None:
    found = tried(tokens, folder)
    assert found.findings == []
    assert (found.repeated, found.resumed) == (SAME, SAME)
    assert (found.device, found.processes, found.sharding, found.micro_steps) == ("cpu", 1, "none", 4)
    assert found.steps_left == 12
    assert 0 < found.pace.one < found.seconds_per_step * 1.01
    assert found.mfu is None
    assert found.disk.checkpoint >= 12 * FAMILY.architecture.parameters
    assert found.to_data()["disk"]["needed"] <= found.disk.free
    assert not folder.path.parent.parent.exists(), "folders that it made are deleted too"


@pytest.mark.parametrize("global_batch_size", [4, 16])
def test_the_bar_counts_all_updates(global_batch_size: int, tokens: Path, folder: RunFolder) -> None:
    class Counted:
        total, done = 0, 0

        @contextmanager
        def start(self, what: str, total: int | None, unit: str) -> Iterator["Counted"]:
            self.total = total or 0
            yield self

        def advance(self, amount: int = 1, note: str | None = None) -> None:
            self.done += amount

        def notice(self, text: str) -> None:
            raise AssertionError(text)

    family, bar = tiny_family(training={"global_batch_size": global_batch_size}), Counted()
    preflight(family, family.run(seed=1), tokens=tokens, folder=folder, options=CPU, progress=bar)
    assert bar.done == bar.total > 8


def test_a_run_that_was_started_is_not_touched(tokens: Path, folder: RunFolder) -> None:
    folder.path.mkdir(parents=True)
    (folder.path / "metrics.jsonl").write_text("{}\n")
    tried(tokens, folder)
    assert [path.name for path in folder.path.parent.rglob("*")] == ["seed-1", "metrics.jsonl"]


def test_what_a_killed_trial_left_is_deleted(tokens: Path, folder: RunFolder) -> None:
    left = folder.path.parent / ".tmp-preflight-seed-1" / "checkpoints" / "step-000002"
    left.mkdir(parents=True)
    assert tried(tokens, folder).findings == []
    assert not left.exists()


def test_a_seed_that_does_not_repeat_is_found(tokens: Path, folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    apply = Updates.apply

    def noisy(self: Updates, step: int) -> float:
        with torch.no_grad():
            next(self.model.parameters()).add_(torch.randn(()) * 0.01)
        return apply(self, step)

    monkeypatch.setattr(Updates, "apply", noisy)
    found = tried(tokens, folder)
    assert found.repeated.weights > 0
    assert codes(found.findings)[0] == "seed-not-repeatable"
    assert found.findings[0].level == "error"


def test_a_resume_that_loses_the_moments_is_found(
    tokens: Path, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Checkpoints.load

    def without_moments(self: Checkpoints, path: Path) -> None:
        load(self, path)
        for state in self._optimizer.state.values():
            state["exp_avg"].zero_()

    monkeypatch.setattr(Checkpoints, "load", without_moments)
    found = tried(tokens, folder)
    assert found.repeated.is_same
    assert codes(found.findings) == ["resume-differs"]


def test_a_micro_batch_that_does_not_fit_is_one_error(
    tokens: Path, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Updates, "gradients", full)
    with refused("micro-batch-too-large", RunError, micro_batch_size=4):
        tried(tokens, folder)
    assert not folder.path.parent.exists()


OUTCOME = Preflight(
    family=FAMILY,
    run=RUN,
    device="NVIDIA H100 80GB HBM3",
    processes=8,
    sharding="none",
    micro_steps=16,
    steps_left=12,
    repeated=SAME,
    resumed=SAME,
    pace=Pace(one=0.5, two=0.75),
    peak=Peak(70, 80),
    disk=Disk(checkpoint=10**6, free=10**9, kept=0),
)


def test_an_update_is_expected_to_take_its_micro_steps() -> None:
    assert OUTCOME.seconds_per_step == pytest.approx(0.5 + 15 * 0.25)
    assert OUTCOME.tokens_per_second == pytest.approx(16 * 16 / OUTCOME.seconds_per_step)
    assert OUTCOME.mfu is not None
    assert Pace(one=0.5, two=None).step(1) == 0.5


@pytest.mark.parametrize(
    ("change", "code", "level"),
    [
        ({"peak": Peak(78, 80)}, "memory-tight", "warning"),
        ({"disk": Disk(checkpoint=10**6, free=10**6, kept=0)}, "disk-too-small-for-run", "error"),
        ({"repeated": Repeat(False, True, 1e-8, 1e-9)}, "seed-not-repeatable", "warning"),
        ({"repeated": Repeat(False, True, 1e-3, 1e-4)}, "seed-not-repeatable", "error"),
        ({"resumed": Repeat(False, True, 1e-8, 0.0)}, "resume-differs", "error"),
        ({"resumed": Repeat(False, False, float("nan"), 0.0)}, "trial-diverged", "error"),
    ],
)
def test_each_finding(change: dict[str, object], code: str, level: str) -> None:
    [finding] = dataclasses.replace(OUTCOME, **change).findings
    assert (finding.code, finding.level) == (code, level)


def test_checkpoints_that_will_be_replaced_count_as_free() -> None:
    before = Disk(checkpoint=10**6, free=3 * 10**6, kept=2 * 10**6)
    assert dataclasses.replace(OUTCOME, disk=before).findings == []


def test_where_seeds_do_not_repeat_a_resume_may_differ_as_much() -> None:
    loose = {"repeated": Repeat(False, True, 1e-7, 1e-9), "resumed": Repeat(False, True, 5e-7, 0.0)}
    assert codes(dataclasses.replace(OUTCOME, **loose).findings) == ["seed-not-repeatable"]
