"""A workspace of an older mixhub (November 2026): everything in it still works.

Its two seeds were trained, evaluated, checked, pushed and verified, and seed 2 was withdrawn; seed 3 was stopped after
the checkpoint of step 10 of 12. None of it is made by the tested code.
"""

import json
import re
import tarfile
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

import mixhub as library
from mixhub.workspace.lineage import read_lineage
from mixhub.workspace.paths import Workspace
from tests.card.reading import page

ARCHIVE = Path(__file__).with_name("workspace-2026-11.tar.xz")
WEIGHTS = "29876f971f37"
"""The first digits of the `weights_sha256` of seed 1."""
COMMIT = "a2c8884c5afe"
"""The first digits of the commit of seed 1 on its hub."""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    with tarfile.open(ARCHIVE) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.3 and older have none
        archive.extractall(tmp_path / "ws")
    return Workspace.open(tmp_path / "ws")


def test_status_knows_what_was_done(mixhub_here, workspace):
    result = mixhub_here("status", "--json", cwd=workspace.root)
    assert result.returncode == 0, result.stderr
    first, second, third = json.loads(result.stdout)["runs"]
    assert (first["step"], first["weights_sha256"][:12], first["cells"], first["card"]) == (12, WEIGHTS, 1, "stale")
    assert [commit[:12] for commit in first["pushed"].values()] == [COMMIT]
    assert list(first["verified"].values()) == ["2026-11-30T01:40Z"]
    assert second["withdrawn"] == "trained with the wrong tokenizer"
    assert (third["step"], third["weights_sha256"], third["pushed"]) == (10, None, {})


def test_a_push_sends_the_card_alone_and_then_nothing(mixhub_here, workspace):
    result = mixhub_here("push", "--seed", "1", cwd=workspace.root)
    assert result.returncode == 0, result.stderr
    assert re.search(r"pushed and verified: tester/tiny@seed-1 = [0-9a-f]{40} \(1 file\)", result.stdout)
    again = mixhub_here("push", "--seed", "1", cwd=workspace.root)
    assert "nothing to send: tester/tiny@seed-1 = " in again.stdout
    assert "pushed and verified" not in again.stdout


@pytest.mark.parametrize("command", [("check", "--seed", "1"), ("results",)], ids=" ".join)
def test_commands_find_nothing_wrong(mixhub_here, workspace, command):
    result = mixhub_here(*command, cwd=workspace.root)
    assert result.returncode == 0, (result.stdout, result.stderr)


def test_nothing_is_wrong_on_the_hub_but_the_seed_that_was_never_pushed(mixhub_here, workspace):
    result = mixhub_here("verify", "--json", cwd=workspace.root)
    assert result.returncode == 1, result.stderr
    found = json.loads(result.stdout)["findings"]
    assert {finding["where"] for finding in found if finding["level"] == "error"} == {"seed-3"}


def test_the_card_has_the_facts_that_it_had(mixhub_here, workspace):
    paths = list(workspace.path("cards").rglob("README.md"))
    before = [facts_on(path) for path in paths]
    assert len(before) == 4
    assert mixhub_here("card", "render", cwd=workspace.root).returncode == 0
    for (metadata, headings, numbers, code), path in zip(before, paths, strict=True):
        now = facts_on(path)
        assert (now[0], now[1], now[3]) == (metadata, headings, code)
        assert now[2] <= numbers
        assert numbers - now[2] <= {"0.00", "95"}  # a spread of 0 and an interval of no width are not printed now
    assert mixhub_here("card", "check", cwd=workspace.root).returncode == 0


def facts_on(path: Path) -> tuple[object, object, set[str], object]:
    """Return what a card says outside of its wording: metadata, headings, numbers in tables, and code."""
    text = path.read_text(encoding="utf-8")
    card = page(text)
    cells = " ".join(cell for table in card.tables for row in table for cell in row)
    numbers = set(re.findall(r"\d[\d.,e-]*", cells))
    return ModelCard(text).data.to_dict(), card.headings, numbers, card.fences


def test_what_was_measured_is_not_measured_again(mixhub_here, workspace):
    before = {path: path.stat().st_mtime_ns for path in workspace.path("results").rglob("*.json")}
    assert mixhub_here("evaluate", "--seed", "1", "--device", "cpu", cwd=workspace.root).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in workspace.path("results").rglob("*.json")} == before


def test_a_published_seed_is_loaded(workspace):
    loaded = library.load("tiny", seed=1, workspace=workspace.root, verify=True)
    assert loaded.commit.startswith(COMMIT)


def test_a_run_goes_on_from_its_checkpoint(mixhub_here, workspace):
    run = workspace.family().run(seed=3)
    lines = workspace.run_folder(run).metrics.read_text().splitlines()
    until_10 = [line for line in lines if json.loads(line)["step"] <= 10]
    result = mixhub_here("train", "--seed", "3", cwd=workspace.root)
    assert result.returncode == 0, result.stderr
    lineage = read_lineage(workspace.export(run, 12))
    assert (lineage.step, lineage.init_seed, lineage.revision) == (12, 3, "seed-3")
    assert workspace.run_folder(run).metrics.read_text().splitlines()[: len(until_10)] == until_10
