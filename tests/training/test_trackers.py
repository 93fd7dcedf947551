"""Trackers get what `metrics.jsonl` has, once, also of a run that was stopped and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mixhub.errors import RunError, UnknownNameError
from mixhub.training import loop
from mixhub.training.options import TRACKERS, TrainOptions
from mixhub.workspace.lineage import weights_sha256
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.paths import RunFolder
from tests.refusals import refused
from tests.tiny import tiny_family
from tests.training.test_loop import CPU, ROOT, StopError, Stopper, untimed

FAMILY = tiny_family()
RUN = FAMILY.run(seed=1)


def train(tokens: Path, folder: RunFolder, *trackers: str, stop_after: int | None = None) -> Path | None:
    options = TrainOptions(device="cpu", trackers=trackers)
    if stop_after is None:
        return loop.train(FAMILY, RUN, tokens=tokens, folder=folder, options=options)
    progress = Stopper(stop_after, StopError())
    with pytest.raises(StopError):
        loop.train(FAMILY, RUN, tokens=tokens, folder=folder, options=options, progress=progress)
    return None


def expected(folder: RunFolder) -> dict[str, list[tuple[int, float]]]:
    """The figures of a run by name, as trackers have them."""
    figures: dict[str, list[tuple[int, float]]] = {}
    for line in read_metrics(folder.metrics):
        for key, value in line.items():
            parts = {f"{key}/{name}": loss for name, loss in value.items()} if isinstance(value, dict) else {key: value}
            for name, figure in parts.items():
                if name not in ("step", "tokens_per_second"):
                    figures.setdefault(name, []).append((line["step"], figure))
    return figures


def tensorboard_figures(folder: RunFolder) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder.tracker("tensorboard")), size_guidance={"scalars": 0}).Reload()
    return {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
        if name != "tokens_per_second"
    }


@pytest.mark.parametrize("stop_after", [3, 8])
def test_tensorboard_has_each_figure_once(tokens: Path, folder: RunFolder, stop_after: int) -> None:
    pytest.importorskip("tensorboard")
    train(tokens, folder, "tensorboard", stop_after=stop_after)  # before and after the first checkpoint
    train(tokens, folder, "tensorboard")
    ours, theirs = tensorboard_figures(folder), expected(folder)
    assert ours.keys() == theirs.keys() >= {"loss", "domains/train_prose", "validation/valid_sums"}
    for name, figures in theirs.items():
        assert [step for step, _ in ours[name]] == [step for step, _ in figures], name
        assert [value for _, value in ours[name]] == pytest.approx([value for _, value in figures]), name


def test_a_tracker_that_is_added_when_a_run_is_resumed_gets_the_steps_before(tokens: Path, folder: RunFolder) -> None:
    pytest.importorskip("tensorboard")
    train(tokens, folder, stop_after=8)
    train(tokens, folder, "tensorboard")
    assert [step for step, _ in tensorboard_figures(folder)["loss"]] == list(range(1, 13))


def test_trackers_change_neither_weights_nor_metrics(tokens: Path, folder: RunFolder) -> None:
    pytest.importorskip("tensorboard")
    tracked = train(tokens, folder, "tensorboard", "tensorboard")
    plain = RunFolder(folder.path.parent / "plain")
    assert weights_sha256(train(tokens, plain)) == weights_sha256(tracked)
    assert untimed(plain) == untimed(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    train(tokens, folder, "tensorboard")  # a finished run
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == before


TRACKIO = """
import json, os, signal, sys
from pathlib import Path
from mixhub.training import loop
from mixhub.training.options import TrainOptions
from mixhub.workspace.paths import RunFolder
from tests.tiny import tiny_family
from tests.training.child import Killer

folder, tokens, kill_at = sys.argv[1:]
family = tiny_family()
progress = {"progress": Killer(int(kill_at))} if kill_at != "-" else {}
options = TrainOptions(device="cpu", trackers=("trackio",))
loop.train(family, family.run(seed=1), tokens=Path(tokens), folder=RunFolder(Path(folder)), options=options, **progress)
from trackio.sqlite_storage import SQLiteStorage
names = [run["name"] for run in SQLiteStorage.get_run_records("tiny")]
config = SQLiteStorage.get_run_config("tiny", "seed-1")
print(json.dumps({"runs": names, "logs": SQLiteStorage.get_logs("tiny", "seed-1"), "config": config}))
"""


def in_trackio(tokens: Path, folder: RunFolder, home: Path, kill_at: str) -> dict[str, Any] | None:
    """Train with trackio in a process of its own, since trackio reads its folder at import; what it has then."""
    environment = {**os.environ, "TRACKIO_DIR": str(home), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", TRACKIO, str(folder.path), str(tokens), kill_at]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == (0 if kill_at == "-" else -signal.SIGKILL), done.stderr
    if kill_at != "-":
        return None
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"runs"')))


def test_trackio_continues_a_killed_run_without_doubled_or_missing_steps(tokens: Path, folder: RunFolder) -> None:
    pytest.importorskip("trackio")
    home = folder.path.parent / "home"
    in_trackio(tokens, folder, home, "8")
    known = in_trackio(tokens, folder, home, "-")
    assert known is not None
    assert known["runs"] == ["seed-1"]
    assert known["config"]["mixhub.training.learning_rate"] == 0.01
    for name, figures in expected(folder).items():
        ours = [(log["step"], log[name]) for log in known["logs"] if name in log]
        assert ours == figures, name


def test_wrong_options_are_refused_an_unknown_tracker_with_the_nearest_name() -> None:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    with refused("unknown-tracker", UnknownNameError, name="wanbd") as caught:
        TrainOptions(trackers=("tensorboard", "wanbd"))
    assert caught.value.nearest == "wandb"
    with refused("option-value", RunError, option="trackers"):
        TrainOptions(trackers="wandb")  # type: ignore[arg-type]
    with refused("option-value", RunError, option="kernels"):
        TrainOptions(kernels=None)  # type: ignore[arg-type]
    assert set(LOGGER_TYPE_TO_CLASS) == set(TRACKERS)


def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_written(tokens: Path, folder: RunFolder) -> None:
    from accelerate.tracking import get_available_trackers

    missing = [name for name in TRACKERS if name not in {str(one) for one in get_available_trackers()}]
    if not missing:
        pytest.skip("all trackers are installed")
    with refused("tracker-missing", RunError, trackers=(missing[0],)) as caught:
        train(tokens, folder, missing[0])
    assert caught.value.hint == f"pip install {missing[0].replace('_', '-')}"
    assert not folder.path.exists()


def test_a_tracker_that_fails_does_not_end_the_run(
    tokens: Path, folder: RunFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("tensorboard")
    from accelerate.tracking import TensorBoardTracker

    plain = TensorBoardTracker.log

    def failing(self: TensorBoardTracker, values: dict[str, float], step: int) -> None:
        if step == 4:
            raise OSError("the server is gone")
        plain(self, values, step=step)

    monkeypatch.setattr(TensorBoardTracker, "log", failing)
    assert train(tokens, folder, "tensorboard") == folder.export(12)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [text for text in warnings if text.startswith("tensorboard failed")] == [
        "tensorboard failed, and gets no more metrics: OSError: the server is gone"
    ]
    assert [step for step, _ in tensorboard_figures(folder)["loss"]] == [1, 2, 3]


def test_a_tracker_that_cannot_be_started_is_an_error(tokens: Path, folder: RunFolder) -> None:
    pytest.importorskip("tensorboard")
    folder.path.mkdir(parents=True)
    (folder.path / "trackers").write_text("a file")
    with refused("tracker-failed", RunError, tracker="tensorboard"):
        train(tokens, folder, "tensorboard")


def test_only_the_first_process_reports_and_its_figures_are_those_of_all(tokens: Path, folder: RunFolder) -> None:
    pytest.importorskip("tensorboard")
    script = TRACKIO.split("from trackio")[0].replace('("trackio",)', '("tensorboard",)')
    script = script.replace("tiny_family()", 'tiny_family(training={"micro_batch_size": 2})')
    path = folder.path.parent / "child.py"
    path.parent.mkdir(parents=True)
    path.write_text(script)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*launcher, str(path), str(folder.path), str(tokens), "-"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    alone = RunFolder(folder.path.parent / "alone")
    loop.train(FAMILY, RUN, tokens=tokens, folder=alone, options=CPU)
    ours, theirs = expected(folder), expected(alone)
    tracked = tensorboard_figures(folder)
    assert len(list(folder.tracker("tensorboard").glob("events.*"))) == 1
    for name, figures in theirs.items():
        assert [step for step, _ in ours[name]] == [step for step, _ in figures]
        assert [value for _, value in ours[name]] == pytest.approx([value for _, value in figures], abs=1e-4)
        assert [step for step, _ in tracked[name]] == [step for step, _ in figures]
