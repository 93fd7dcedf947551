import pytest

from mixhub.errors import RunError, UsageError
from mixhub.spec import Training, catalog
from mixhub.training.planning import machines
from mixhub.training.planning.machines import Machine, this_machine
from mixhub.training.planning.plan import USABLE, Placement, plan
from tests.refusals import refused

HUMAN = catalog.get("human-1b")
GIB = 2**30


def on(machine: Machine, **training: object) -> Placement:
    family = HUMAN.model_copy(update={"training": HUMAN.training.model_copy(update=training)})
    return plan(family, here=machine).placements[0]


def test_the_original_runs_take_two_days_at_their_own_mfu() -> None:
    eight = {one.machine.name: one for one in plan(HUMAN, mfu=0.52).placements}["8 × A100-40G"]
    assert eight.hours == pytest.approx(48, rel=0.01)
    assert (eight.fits, eight.layout.micro_steps) == (True, 16)
    assert eight.layout.sharding == "full", (
        "21.4 GB of weights, gradients and moments, and the activations exceed 40 GB"
    )


def test_the_layout_that_sends_least_and_fits_is_recommended() -> None:
    found = {one.machine.name: one.layout.sharding for one in plan(HUMAN).placements}
    assert found == {"1 × H100": "none", "8 × A100-40G": "full", "8 × A100-80G": "none", "64 × H100": "none"}
    assert on(Machine("small", "H100", 64, 8, 40 * GIB)).layout.sharding == "hybrid"
    for placement in plan(HUMAN).placements:
        assert placement.memory.total <= USABLE * placement.machine.memory


def test_a_sharding_that_is_asked_for_is_what_is_planned() -> None:
    for sharding in ("none", "full", "hybrid"):
        found = [one.layout for one in plan(HUMAN, sharding=sharding).placements]
        assert [layout.sharding for layout in found] == ["none", sharding, sharding, sharding]
    shards = [one.layout.shards for one in plan(HUMAN, sharding="hybrid").placements]
    assert shards == [1, 8, 8, 8]
    crowded = {one.machine.name: one for one in plan(HUMAN, sharding="none").placements}["8 × A100-40G"]
    assert (crowded.fits, crowded.micro_batch_size) == (False, 2)


def test_what_does_not_fit_names_the_micro_batch_that_does() -> None:
    one = on(Machine("one", "A100", 1, 1, 40 * GIB))
    assert (one.fits, one.hours) == (False, None)
    size = one.micro_batch_size
    assert size in (1, 2)
    assert on(Machine("one", "A100", 1, 1, 40 * GIB), micro_batch_size=size).fits
    assert not on(Machine("one", "A100", 1, 1, 40 * GIB), micro_batch_size=size + 1, global_batch_size=600).fits
    assert on(Machine("tiny", "A100", 1, 1, 8 * GIB)).micro_batch_size == 0


def test_a_global_batch_that_does_not_divide_has_no_layout() -> None:
    odd = on(Machine("odd", "H100", 96, 8, 80 * GIB))
    assert (odd.layout, odd.memory, odd.hours, odd.fits) == (None, None, None, False)
    assert odd.to_data()["divides"] is False


def test_hours_follow_devices_and_mfu_and_are_unknown_without_a_peak() -> None:
    hours = {mfu: plan(HUMAN, mfu=mfu).placements[0].hours for mfu in (0.25, 0.5)}
    assert hours[0.25] == pytest.approx(2 * hours[0.5])
    assert on(Machine("cpu", "cpu", 2, 2, 999 * GIB)).hours is None


@pytest.mark.parametrize("mfu", [0.0, -0.1, 1.01, float("nan"), float("inf")])
def test_an_impossible_mfu_is_refused(mfu: float) -> None:
    with refused("option-value", UsageError, option="mfu"):
        plan(HUMAN, mfu=mfu)


def test_the_disk_holds_permanent_checkpoints_too() -> None:
    family = HUMAN.model_copy(
        update={"training": HUMAN.training.model_copy(update={"permanent_checkpoint_interval": 5000})}
    )
    more = plan(family).disk_bytes - plan(HUMAN).disk_bytes
    assert more == 5 * plan(HUMAN).checkpoint_bytes


@pytest.mark.parametrize("name", catalog.names())
def test_every_family_of_the_catalog_can_be_planned(name: str) -> None:
    data = plan(catalog.get(name)).to_data()
    training: Training = catalog.get(name).training
    assert data["tokens"] == training.steps * data["tokens_per_step"]
    assert data["checkpoint_bytes"] == 12 * data["parameters"]


def test_this_machine_is_that_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU here: the answer of NVIDIA's tool is given."""
    monkeypatch.setattr(machines, "_gpus", lambda: [("NVIDIA H100 80GB HBM3", 81559 * 2**20)] * 2)
    here = this_machine(2)
    assert (here.device, here.devices, here.memory) == ("NVIDIA H100 80GB HBM3", 2, 81559 * 2**20)
    assert on(here).hours is not None
    with refused("devices-too-few", RunError, processes=3, devices=2):
        this_machine(3)
    assert this_machine(3, "cpu").device == "cpu"
    monkeypatch.setattr(machines, "_gpus", list)
    with refused("device-unavailable", RunError, device="cuda"):
        this_machine(1, "cuda")


def test_gpus_are_read_from_the_drivers_tool(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA A100-SXM4-40GB, 40960'\necho 'NVIDIA A100-SXM4-40GB, 40960'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert machines._gpus() == [("NVIDIA A100-SXM4-40GB", 40960 * 2**20)] * 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert len(machines._gpus()) == 1
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert machines._gpus() == []
