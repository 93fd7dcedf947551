"""How long the updates took, on what, and which share of its peak that is."""

import json
from pathlib import Path
from typing import Any

import pytest

from mixhub.spec import catalog
from mixhub.spec.flops import flops_per_token
from mixhub.training.checkpoints.state import State, first_state, read_state, resaved
from mixhub.training.devices import peak_flops
from mixhub.training.export import export_checkpoint
from mixhub.training.loop import train
from mixhub.training.options import TrainOptions
from mixhub.workspace.lineage import read_lineage
from mixhub.workspace.manifest import read_manifest
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.paths import STATE_FILE, RunFolder
from tests.tiny import tiny_family

FAMILY = tiny_family()
RUN = FAMILY.run(seed=1)
CPU = TrainOptions(device="cpu")
H100 = "NVIDIA H100 80GB HBM3"


def trained(tokens: Path, folder: RunFolder, stop_at: int = 99) -> Path | None:
    asked = iter(range(1, 100))
    stop = lambda: next(asked) >= stop_at  # noqa: E731
    return train(FAMILY, RUN, tokens=tokens, folder=folder, options=CPU, should_stop=stop)


def seconds(folder: RunFolder) -> float:
    """Of the updates, by the metrics, whose speeds are rounded."""
    return sum(128 / line["tokens_per_second"] for line in read_metrics(folder.metrics) if "loss" in line)


def test_the_time_of_updates_adds_up_over_resumes(tokens: Path, folder: RunFolder) -> None:
    assert trained(tokens, folder, stop_at=4) is None
    first = read_state(folder.checkpoint(4))
    assert first.device_seconds == pytest.approx(seconds(folder), rel=1e-2)
    export = trained(tokens, folder)
    assert export is not None
    lineage = read_lineage(export)
    assert lineage.device_hours == pytest.approx(seconds(folder) / 3600, rel=2e-2)
    assert lineage.device_hours * 3600 > first.device_seconds
    assert (lineage.device, lineage.device_name, lineage.mfu) == ("cpu", None, None)


def changed(folder: RunFolder, step: int, **changes: Any) -> None:
    path = folder.checkpoint(step) / STATE_FILE
    data = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))


def exported(tokens: Path, folder: RunFolder, **changes: Any) -> Any:
    """The lineage of an exported checkpoint, with these changes of its state."""
    changed(folder, 12, **changes)
    path = folder.path / "exported"
    export_checkpoint(FAMILY, RUN, 12, tokens=tokens, folder=folder, path=path)
    return read_lineage(path)


def test_mfu_is_that_of_the_time_and_the_device(tokens: Path, folder: RunFolder) -> None:
    trained(tokens, folder)
    lineage = exported(tokens, folder, device="cuda", device_name=H100, processes=2, device_seconds=3.6e-6)
    assert (lineage.device, lineage.device_name, lineage.processes) == ("cuda", H100, 2)
    flops = 12 * 128 * flops_per_token(FAMILY.llama, 16)
    peak = peak_flops(H100, "float32")
    assert peak is not None
    assert lineage.mfu == pytest.approx(flops / (peak * 3.6e-6), rel=1e-2)
    both = exported(tokens, folder, device_name=f"NVIDIA A100-SXM4-40GB, {H100}")
    assert (both.mfu, both.device_hours) == (None, pytest.approx(1e-9, abs=1e-6))
    unknown = exported(tokens, folder, device_name="NVIDIA X1", device_seconds=None)
    assert (unknown.device_name, unknown.device_hours, unknown.mfu) == ("NVIDIA X1", None, None)


def test_a_run_whose_first_updates_were_not_timed_stays_without_a_time(tokens: Path, folder: RunFolder) -> None:
    trained(tokens, folder, stop_at=4)
    changed(folder, 4, device_seconds=None, device_name=None)
    export = trained(tokens, folder)
    assert export is not None
    assert read_lineage(export).device_hours is None
    assert read_state(folder.checkpoint(12)).device_name is None


@pytest.mark.parametrize(
    ("step", "name", "expected"),
    [
        (0, None, "cpu"),
        (5, "cpu", "cpu"),
        (5, None, None),
        (5, H100, f"{H100}, cpu"),
        (5, f"cpu, {H100}", f"cpu, {H100}"),
    ],
)
def test_a_run_that_goes_on_elsewhere_names_all_devices(
    tokens: Path, step: int, name: str | None, expected: str | None
) -> None:
    start = first_state(FAMILY, RUN, read_manifest(tokens), "0" * 64).model_copy(
        update={"step": step, "device_name": name}
    )
    state: State = resaved(start, {}, device="cpu", device_name="cpu", processes=1, sharding="none")
    assert state.device_name == expected


def test_the_original_runs_would_have_their_mfu() -> None:
    """Two days on eight A100 are 384 GPU-hours, at 52 %."""
    human = catalog.get("human-1b")
    flops = human.training.tokens * flops_per_token(human.llama, 2048)
    assert flops / (384 * 3600 * 312e12) == pytest.approx(0.52, abs=0.005)
