"""Runs that diverge: loss spikes, figures that are not finite, and what the step read."""

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from mixhub.data.orders.choice import order_of
from mixhub.data.seen import Samples
from mixhub.data.shards import TokenShards
from mixhub.errors import RunError
from mixhub.phrases import listed
from mixhub.training import loop
from mixhub.training.model import build_model
from mixhub.training.options import TrainOptions
from mixhub.training.reports import spikes
from mixhub.training.reports.spikes import Spikes
from mixhub.workspace.lineage import weights_sha256
from mixhub.workspace.manifest import MANIFEST_FILE
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.paths import RunFolder
from tests.notices import Notices
from tests.refusals import refused
from tests.tiny import tiny_family
from tests.training.test_loop import in_child, steps, untimed

FAMILY = tiny_family()
CPU = TrainOptions(device="cpu")


def train(tokens: Path, folder: RunFolder, **changes: object) -> Path | None:
    family = tiny_family(training=changes)
    return loop.train(family, family.run(seed=1), tokens=tokens, folder=folder, options=CPU)


def rows_of_step(tokens: Path, step: int) -> np.ndarray:
    """The tokens of a step, (8, 17)."""
    shards = TokenShards(tokens, 16)
    order = order_of(FAMILY, FAMILY.run(seed=1), shards.manifest)
    numbers, starts = order.samples(8 * (step - 1), 8 * step)
    return shards.read("train", [order.domains[n].removeprefix("train_") for n in numbers.tolist()], starts)


@pytest.fixture
def poisoned(tokens: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int, set[int]]:
    """An embedding with a row that is not finite: the step that first reads its token, the token, and the samples."""
    shards = TokenShards(tokens, 16)
    valid = {
        token
        for domain in ("prose", "sums")
        for token in shards.read("valid", [domain] * 6, np.arange(6) * 16).ravel().tolist()
    }
    first: dict[int, int] = {}
    for step in range(1, 13):
        for token in rows_of_step(tokens, step)[:, :-1].ravel().tolist():
            first.setdefault(token, step)
    token, step = next((token, step) for token, step in first.items() if token not in valid and step > 2)

    def poisoned_model(*args: object, **options: object) -> torch.nn.Module:
        model = build_model(*args, **options)
        with torch.no_grad():
            model.get_input_embeddings().weight[token] = math.inf
        return model

    monkeypatch.setattr(loop, "build_model", poisoned_model)
    rows = rows_of_step(tokens, step)[:, :-1]
    return step, token, {8 * (step - 1) + place for place in range(8) if token in rows[place]}


def test_the_samples_and_documents_of_a_loss_that_is_not_finite_are_named(
    tokens: Path, folder: RunFolder, poisoned: tuple[int, int, set[int]]
) -> None:
    step, _, bad = poisoned
    with refused("training-diverged", RunError, step=step, figure="loss", path=folder.diverged) as caught:
        train(tokens, folder, checkpoint_interval=1, micro_batch_size=2)
    assert set(caught.value.fields["samples"]) == bad != set(range(8 * (step - 1), 8 * step))
    assert caught.value.fields["checkpoints"][-1] == step - 1
    assert str(folder.checkpoint(step - 1)) in caught.value.message
    assert [line["step"] for line in steps(folder)] == list(range(1, step))

    report = json.loads(folder.diverged.read_text())
    assert {key: report[key] for key in ("format", "step", "figure", "value")} == {
        "format": 1,
        "step": step,
        "figure": "loss",
        "value": "nan",
    }
    rows = report["samples"]
    assert {row["sample"] for row in rows} == set(range(8 * (step - 1), 8 * step))
    assert {row["sample"] for row in rows if row["loss"] is None} == bad
    finite = [row["loss"] for row in rows[len(bad) :]]
    assert finite == sorted(finite, reverse=True)
    samples = Samples(FAMILY, shards := TokenShards(tokens, 16), order_of(FAMILY, FAMILY.run(seed=1), shards.manifest))
    for row in rows:
        sample = samples.of_step(step)[row["sample"] % 8]
        assert (row["domain"], row["start"]) == (sample.domain, sample.start)
        seen = [(part.file, part.document, part.first, part.tokens) for part in samples.documents(sample)]
        assert [
            tuple(part[key] for key in ("file", "document", "first", "tokens")) for part in row["documents"]
        ] == seen
    first = rows[0]["documents"][0]
    assert f"{first['file']} document" in caught.value.message
    with refused("training-diverged", RunError, step=step):  # the last good state is kept, and leads to the same step
        train(tokens, folder, checkpoint_interval=1, micro_batch_size=2)
    assert folder.checkpoint_steps()[-1] == step - 1


def test_tokens_without_ends_of_documents_have_positions_instead(
    tokens: Path, folder: RunFolder, tmp_path: Path, poisoned: tuple[int, int, set[int]]
) -> None:
    import shutil

    old = tmp_path / "old"
    shutil.copytree(tokens, old)
    manifest = json.loads((old / MANIFEST_FILE).read_text())
    for domain in (*manifest["train"].values(), *manifest["valid"].values()):
        for shard in domain["shards"]:
            shard.pop("ends_sha256")
        for source in domain["sources"]:
            source.pop("documents"), source.pop("tokens")
    (old / MANIFEST_FILE).write_text(json.dumps({**manifest, "format": 1}))
    with refused("training-diverged", RunError, step=poisoned[0]) as caught:
        train(old, folder)
    rows = json.loads(folder.diverged.read_text())["samples"]
    assert all(row["documents"] == [] for row in rows)
    assert f"{rows[0]['domain']}, tokens from {rows[0]['start']:,} on" in caught.value.message


def test_a_batch_of_many_samples_gives_a_message_of_a_few_lines(tokens: Path, folder: RunFolder) -> None:
    with refused("training-diverged", RunError, step=2) as caught:
        train(tokens, folder, learning_rate=1e30, warmup_steps=0, global_batch_size=256, schedule="constant")
    assert len(caught.value.message.splitlines()) == 2
    assert len(caught.value.message) < 1200
    assert len(json.loads(folder.diverged.read_text())["samples"]) == 256


def test_two_processes_name_the_same_samples_as_one(tokens: Path, folder: RunFolder) -> None:
    change = {"learning_rate": 1e30, "warmup_steps": 0, "micro_batch_size": 2, "schedule": "constant"}
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
    with pytest.raises(AssertionError, match=r"training-diverged|is (nan|inf) at step 2"):
        in_child(folder, tokens, json.dumps({"training": change}), launcher=launcher)
    alone = RunFolder(folder.path.parent / "alone")
    with refused("training-diverged", RunError):
        train(tokens, alone, **change)
    ours, theirs = (json.loads(one.diverged.read_text()) for one in (folder, alone))
    assert ours == theirs
    assert len(ours["samples"]) == 8


def test_a_spike_lies_seven_deviations_above_the_mean_of_the_thousand_steps_before() -> None:
    losses = [2.0 + 0.01 * (-1) ** step for step in range(3000)]  # mean 2, deviation 0.01
    for last, is_spike in ((2.069, False), (2.071, True), (1.5, False)):
        seen = Spikes()
        assert [seen.add(step, loss) for step, loss in enumerate(losses, start=1)] == [None] * 3000
        spike = seen.add(3001, last)
        assert (spike is not None) == is_spike
        assert seen.steps == ([3001] if is_spike else [])
    few = Spikes()
    assert [few.add(step, loss) for step, loss in enumerate([*losses[:99], 9.0], start=1)] == [None] * 100
    level = Spikes()
    assert [level.add(step, 2.0) for step in range(1, 200)] == [None] * 199
    assert level.add(200, 2.1) is None  # a deviation of 0 says nothing


def test_spikes_are_counted_again_from_the_metrics_of_a_resumed_run() -> None:
    draws = np.random.default_rng(3)
    losses = draws.normal(2, 0.01, 2500)
    losses[[400, 1200, 1300]] += 1
    whole, lines = Spikes(), []
    for step, loss in enumerate(losses.tolist(), start=1):
        is_spike = whole.add(step, loss) is not None
        lines.append({"step": step, "loss": loss, **({"spike": True} if is_spike else {})})
    assert whole.steps == [401, 1201, 1301]
    assert (whole.within_window(1400), whole.within_window(1401), whole.within_window(2300)) == (3, 2, 1)
    for cut in (1, 99, 401, 1200, 1250):
        resumed = Spikes(lines[:cut])
        for line in lines[cut:]:
            resumed.add(line["step"], line["loss"])
        assert resumed.steps == whole.steps


NOISY = {"learning_rate": 0.3, "schedule": "constant", "warmup_steps": 0, "steps": 30, "checkpoint_interval": 1}


@pytest.fixture
def touchy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule by which the tiny run has spikes."""
    monkeypatch.setattr(spikes, "LEAST", 3)
    monkeypatch.setattr(spikes, "WINDOW", 6)
    monkeypatch.setattr(spikes, "DEVIATIONS", 0.3)


@pytest.mark.usefixtures("touchy")
def test_a_run_stops_before_the_update_of_the_spike_that_is_one_too_many(tokens: Path, folder: RunFolder) -> None:
    free = RunFolder(folder.path.parent / "free")
    export = train(tokens, free, **NOISY)
    spiked = [line["step"] for line in steps(free) if line.get("spike")]
    step = next(b for a, b in pairwise(spiked) if b < a + 6)
    with refused("loss-spikes", RunError, step=step, spikes=2, limit=2, path=folder.diverged) as caught:
        train(tokens, folder, **NOISY, spike_limit=2)
    assert caught.value.fields["checkpoints"][-1] == step - 1
    assert untimed(folder) == [line for line in untimed(free) if line["step"] < step]
    continued = train(tokens, folder, **NOISY, spike_limit=100)  # the limit may change, since the weights do not
    assert weights_sha256(continued) == weights_sha256(export)
    assert untimed(folder) == untimed(free)


@pytest.mark.usefixtures("touchy")
def test_spikes_are_logged(tokens: Path, folder: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    family, notices = tiny_family(training=NOISY), Notices()
    with caplog.at_level("INFO", logger="mixhub.training"):
        loop.train(family, family.run(seed=1), tokens=tokens, folder=folder, options=CPU, progress=notices)
    spiked = [line["step"] for line in read_metrics(folder.metrics) if line.get("spike")]
    logged = [record.getMessage() for record in caplog.records if record.getMessage().endswith("is a spike")]
    assert [int(text.split()[2]) for text in logged] == spiked != []
    assert notices.lines[-1] == f"{len(spiked)} loss spikes, at step {listed(spiked, most=5)}"
