"""What is read of a family from a workspace, and from what its branches hold."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mixhub.card.facts.gather import gather_family, gather_run
from mixhub.card.facts.runs import FamilyFacts
from mixhub.card.facts.withdrawal import Withdrawal, note_withdrawal, withdrawals
from mixhub.card.page.training import Pace, find_pace
from mixhub.errors import ResultsError, RunError
from mixhub.files import write_json
from mixhub.spec.family import Family, Run
from mixhub.workspace.paths import Workspace
from tests.card import making
from tests.refusals import refused


def export_of(workspace: Workspace, run: Run) -> Path:
    return workspace.run_folder(run).export(workspace.family().training.steps)


def branch_of(workspace: Workspace, run: Run, folder: Path) -> Path:
    """What the branch of a run holds, in a folder of its own; the workspace has nothing of it any longer."""
    shutil.copytree(export_of(workspace, run), folder)
    shutil.copytree(workspace.results(run), folder / "results")
    shutil.copy(workspace.run_folder(run).metrics, folder)
    shutil.rmtree(workspace.run_folder(run).path)
    shutil.rmtree(workspace.results(run))
    return folder


def test_a_branch_tells_of_a_run_that_the_workspace_has_not(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path / "here")
    family = workspace.family()
    first, second = family.runs()
    write_json(export_of(workspace, second) / "config.json", {"dtype": "float32"})
    write_json(export_of(workspace, second) / "tokenizer_config.json", {"bos_token": "<s>"})
    own = gather_family(workspace, family).runs
    folder = branch_of(workspace, second, tmp_path / "branch")
    assert gather_family(workspace, family).runs[1].lineage is None
    found = gather_family(workspace, family, published={second.revision: folder}).runs
    assert found[0] == own[0]
    metrics = [{cell.path.name: cell.metrics for cell in facts.cells} for facts in (found[1], own[1])]
    assert metrics[0] == metrics[1]
    assert replace(found[1], cells=()) == replace(own[1], cells=())
    assert found[1].weights_dtype == "float32"
    assert found[1].special_tokens == {"bos": "<s>"}
    write_json(export_of(workspace, second) / "config.json", {"dtype": "bfloat16"})
    assert gather_family(workspace, family, published={second.revision: folder}).runs[1].weights_dtype == "float32"
    some = gather_family(workspace, family, only=[first.revision]).runs
    assert (some[0], some[1].lineage, some[1].cells) == (own[0], None, ())


def test_results_of_other_weights_on_a_branch_are_refused(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path / "here")
    family = workspace.family()
    run = family.runs()[1]
    folder = branch_of(workspace, run, tmp_path / "branch")
    changed = making.lineage(family, run, weights_sha256=making.digest("other"))
    write_json(folder / "lineage.json", changed.to_data())
    with refused("results-foreign", ResultsError, export_sha256=making.digest("other")):
        gather_family(workspace, family, published={run.revision: folder})


@pytest.mark.parametrize(
    ("config", "key"),
    [({"hidden_size": 99}, "hidden_size"), ({"hidden_size": 16, "vocab_size": 1}, "vocab_size")],
)
def test_an_export_of_another_shape_is_refused(tmp_path: Path, config: dict[str, int], key: str) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    export = export_of(workspace, family.runs()[0])
    write_json(export / "config.json", config)
    with refused("architecture-differs", RunError, path=export, key=key):
        gather_family(workspace, family)
    write_json(export / "config.json", {"hidden_size": 16, "hidden_act": "silu"})
    gather_family(workspace, family)


@pytest.mark.parametrize(
    ("config", "dtype"),
    [
        ({"dtype": "bfloat16", "torch_dtype": "x"}, "bfloat16"),
        ({"torch_dtype": "float16"}, "float16"),
        ({}, None),
        ([], None),
    ],
)
def test_the_dtype_is_that_of_the_config(tmp_path: Path, config: Any, dtype: str | None) -> None:
    workspace = making.workspace(tmp_path)
    run = workspace.family().runs()[0]
    assert gather_run(workspace, workspace.family(), run).weights_dtype is None
    write_json(export_of(workspace, run) / "config.json", config)
    assert gather_run(workspace, workspace.family(), run).weights_dtype == dtype


def test_withdrawals_are_read_once_for_a_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, families = making.workspace(tmp_path), []

    def counted(workspace: Workspace, family: Family) -> list[Withdrawal]:
        families.append(family.name)
        return withdrawals(workspace, family)

    monkeypatch.setattr("mixhub.card.facts.gather.withdrawals", counted)
    assert len(gather_family(workspace, workspace.family()).runs) == 2
    assert families == ["tiny"]


@pytest.mark.parametrize(
    ("settings", "tokens"),
    [
        ({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": None}, {"bos": "<s>", "eos": "</s>"}),
        ({"unk_token": "<unk>"}, {}),
        ([], None),
    ],
)
def test_special_tokens_are_those_of_the_tokenizer(
    tmp_path: Path, settings: Any, tokens: dict[str, str] | None
) -> None:
    workspace = making.workspace(tmp_path)
    run = workspace.family().runs()[0]
    assert gather_run(workspace, workspace.family(), run).special_tokens is None
    write_json(export_of(workspace, run) / "tokenizer_config.json", settings)
    assert gather_run(workspace, workspace.family(), run).special_tokens == tokens


@pytest.mark.parametrize(
    ("speeds", "pace"),
    [
        ([64.0, 128.0, 128.0], Pace(128.0, (2 + 1 + 1) / 3600)),  # steps of 128 tokens
        ([128.0, None], None),
        ([128.0, 0.0], None),
        ([], None),
    ],
)
def test_the_pace_is_told_where_every_step_has_one(
    tmp_path: Path, speeds: list[float | None], pace: Pace | None
) -> None:
    workspace = making.workspace(tmp_path)
    run = workspace.family().runs()[0]
    lines: list[dict[str, Any]] = [{"step": 0, "validation": {"valid_prose": 5.0}}]
    for step, speed in enumerate(speeds, start=1):
        lines.append({"step": step, "loss": 2.0} | ({} if speed is None else {"tokens_per_second": speed}))
    workspace.run_folder(run).metrics.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    facts = gather_run(workspace, workspace.family(), run)
    assert find_pace(FamilyFacts(workspace.family(), (facts,)), facts) == pace


def test_an_earlier_step_has_its_own_branch_and_no_scores(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    run = family.runs()[0]
    assert gather_run(workspace, family, run, 12) == gather_run(workspace, family, run)
    earlier = workspace.run_folder(run).export(11)
    shutil.copytree(export_of(workspace, run), earlier)
    write_json(earlier / "lineage.json", making.lineage(family, run, step=11).to_data())
    facts = gather_run(workspace, family, run, 11)
    assert (facts.run.revision, facts.earlier_of) == ("seed-1-step-11", run)
    assert facts.lineage is not None
    assert facts.lineage.step == 11
    assert facts.cells == ()
    assert facts.training_loss == 3.5
    assert [line["step"] for line in facts.metrics] == [0, 11]


def test_a_run_that_is_not_at_its_end_is_not_shown(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    run = family.runs()[0]
    export_of(workspace, run).rename(workspace.run_folder(run).export(11))
    shutil.rmtree(workspace.results(run))
    facts = gather_run(workspace, family, run)
    assert (facts.lineage, facts.training_loss) == (None, None)


def test_a_withdrawal_is_that_of_the_same_weights(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    first, second = family.runs()
    weights = {first.revision: making.digest("older weights"), second.revision: making.digest(second.revision)}
    for revision, sha256 in weights.items():
        data = {"family": "tiny", "revision": revision, "weights_sha256": sha256, "why": "bad", "date": "2026-11-23"}
        note_withdrawal(workspace, Withdrawal.from_data(data, "withdrawn.json"))
    found = gather_family(workspace, family).runs
    assert [facts.withdrawal is not None for facts in found] == [False, True]


def test_imported_folders_that_are_hidden_are_left_alone(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    folder = workspace.imported(family.runs()[0]).parent
    (folder / ".cache").mkdir(parents=True)
    gather_family(workspace, family)
    (folder / "seed-9").mkdir()
    with refused("imported-revision-unknown", path=folder / "seed-9"):
        gather_family(workspace, family)
