"""Errors of users: one line, a hint, status 2, nothing written, no traceback."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mixhub.workspace.paths import Workspace
from tests.made import copied
from tests.refusals import error_codes


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture
def workspace(mixhub_here, tmp_path):
    assert mixhub_here("init", "ws").returncode == 0
    return tmp_path / "ws"


@pytest.mark.parametrize(
    ("arguments", "code", "value"),
    [
        (["families", "humn-1b"], "unknown-family", "'humn-1b'"),
        (["families", "human-2b"], "unknown-family", "human-1b"),
        (["train", "--seed", "7"], "unknown-seed", "7"),
        (["train"], "option-missing", "human-1b"),
        (["train", "--index", "1"], "run-kind", "human-1b"),
        (["train", "--seed", "1", "--family", "random-1b"], "run-kind", "random-1b"),
        (["train", "--seed", "1"], "seed-unpublished", "human-1b"),
        (["check", "--seed", "2"], "export-missing", "seed-2"),
        (["push", "--seed", "2"], "export-missing", "seed-2"),
        (["push", "--seed", "2", "--json"], "option-missing", "--dry-run"),
        (["evaluate", "--seed", "2"], "export-missing", "25000"),
        (["evaluate", "--all"], "export-missing", "human-1b"),
        (["evaluate", "--seed", "2", "--num-fewshot", "x"], "option-value", "--num-fewshot = 'x'"),
        (["status", "--workspace", "elsewhere"], "workspace-missing", "elsewhere"),
        (["status", "--workspace", "x" * 5000], "path-too-long", "xxx"),
        (["results", "x" * 5000], "path-too-long", "xxx"),
        (["init", "x" * 5000], "path-too-long", "xxx"),
        (["init"], "workspace-exists", "."),
        (["init", "there", "--name", "mine"], "option-missing", "--mixture"),
        (["adopt", "nowhere", "--seed", "1"], "file-missing", "nowhere"),
        (["promote", "--from", "local", "--all", "--seed", "1"], "option-conflict", "--all"),
        (["promote", "--from", "local", "--seed", "1", "--tag", "a/b"], "option-value", "--tag 'a/b'"),
        (["hub", "import", "nowhere", "--root", "r"], "import-missing", "nowhere"),
        (["hub", "serve", "--root", "."], "option-value", "--root ."),
        (["audit", "mixhub.yaml"], "lm-eval-file-malformed", "mixhub.yaml"),
    ],
)
def test_a_mistake_is_one_line_and_a_hint(mixhub_here, workspace, arguments, code, value):
    before = files(workspace)
    result = mixhub_here(*arguments, cwd=workspace)
    assert error_codes(result) == [code]
    lines = result.stderr.splitlines()
    assert lines[0].startswith("error: "), result.stderr
    assert value in lines[0]
    assert [line.partition(": ")[0] for line in lines[1:]] in ([], ["hint"])
    assert files(workspace) == before


def test_a_mistake_is_json_where_json_is_asked_for(mixhub_here, workspace):
    result = mixhub_here("check", "--seed", 2, "--json", cwd=workspace)
    assert error_codes(result) == ["export-missing"]
    error = json.loads(result.stdout)["error"]
    assert (error["code"], error["message"]) == ("export-missing", result.stderr.splitlines()[0][7:-18])
    assert error["hint"] in result.stderr
    assert error["fields"]["path"] == str(workspace / "runs" / "human-1b" / "seed-2" / "export")
    spoken = mixhub_here("generate", "--seed", 2, "--revision", "x", "--", "--json", cwd=workspace)  # a prompt
    assert (spoken.returncode, spoken.stdout) == (2, "")


@pytest.mark.parametrize("command", ["push", "check", "evaluate", "promote --from local"])
def test_all_runs_are_offered_where_one_is_missing(mixhub_here, workspace, command):
    refused = mixhub_here(*command.split(), cwd=workspace)
    assert error_codes(refused) == ["option-missing"]
    assert "--all" in refused.stderr.splitlines()[-1]


def test_a_file_is_not_proposed_as_a_workspace(mixhub_here, workspace):
    refused = mixhub_here("status", "-w", workspace / "mixhub.yaml")
    assert error_codes(refused) == ["workspace-missing"]
    assert "mixhub init" not in refused.stderr


def test_no_workspace(mixhub_here, tmp_path):
    assert error_codes(mixhub_here("status")) == ["workspace-missing"]
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        ("train_the_pile_arxiv: -1\n", "value-range", "m.yaml: train_the_pile_arxiv = -1"),
        ("train_the_pile_arxiv: .nan\n", "value-range", "m.yaml: train_the_pile_arxiv = nan"),
        ("train_the_pile_arxiv: a lot\n", "value-type", "m.yaml: train_the_pile_arxiv = 'a lot'"),
        ("train_the_pile_arxiv: 0\n", "mixture-empty", "m.yaml"),
        ("train: 3\n", "value-type", "m.yaml: "),
        ("train: {a: 1}\nvalid: 3\n", "value-type", "m.yaml (valid): "),
        ("train: {a: 1}\nvalid: {a: -1}\n", "value-range", "m.yaml (valid): a = -1"),
        ("- 1\n", "value-type", "m.yaml: "),
        ("a: b: c\n", "yaml-malformed", "m.yaml:1:5: "),
    ],
)
def test_a_wrong_mixture_makes_no_workspace(mixhub_here, tmp_path, text, code, where):
    (tmp_path / "m.yaml").write_text(text)
    result = mixhub_here("init", "ws", "--mixture", "m.yaml", "--name", "mine")
    assert error_codes(result) == [code]
    assert result.stderr.startswith(f"error: {where}")
    assert len(result.stderr.splitlines()) <= 2
    assert files(tmp_path) == ["m.yaml"]


def test_a_mixture_makes_a_custom_family(mixhub_here, tmp_path):
    (tmp_path / "m.yaml").write_text("train: {train_the_pile_arxiv: 3, train_the_pile_github: 1}\nmodel_name: x\n")
    result = mixhub_here("init", "ws", "--mixture", "m.yaml", "--name", "mine", "--namespace", "me")
    assert result.returncode == 0, result.stderr
    shown = mixhub_here("families", "mine", cwd=tmp_path / "ws").stdout
    assert "me/data-mixture-mine" in shown
    assert "75.0000%" in shown
    assert re.search(r"^training\.order +iid +chosen", shown, re.MULTILINE)


def test_custom_domains_make_a_custom_corpus(mixhub_here, tmp_path):
    (tmp_path / "m.yaml").write_text("cooking: 0.6\nmusic: 0.4\nunused: 0\n")
    assert mixhub_here("init", "ws", "--mixture", "m.yaml", "--name", "mine").returncode == 0
    family = Workspace.open(tmp_path / "ws").family()
    assert dict(family.validation.domain_weights) == {"cooking": 1.0, "music": 1.0}
    assert (family.data.corpus, family.data.dataset, family.data.train_prefix) == ("mine", None, "")
    assert family.card.datasets == ()
    result = mixhub_here("data", "pack", cwd=tmp_path / "ws", HF_ENDPOINT="http://127.0.0.1:9")
    assert one_code(result) == "corpus-missing"
    assert f"{tmp_path}/ws/data/mine" in result.stderr


def test_the_name_of_a_shipped_family_is_taken(mixhub_here, tmp_path):
    (tmp_path / "m.yaml").write_text("a: 1\n")
    result = mixhub_here("init", "ws", "--mixture", "m.yaml", "--name", "human-1b")
    assert one_code(result) == "option-value"
    assert "--name = 'human-1b'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "value"),
    [
        (["init", "m.yaml"], "workspace-unwritable", "m.yaml: "),
        (["init", "m.yaml/x"], "workspace-unwritable", "m.yaml/x: "),
        (["init", "ws", "--hub", "http://[::1"], "hub-address", "--hub = 'http://[::1'"),
        (["init", "ws", "--hub", "http://x:99999"], "hub-address", "--hub = 'http://x:99999'"),
        (["hub", "serve"], "option-missing", "hub"),
    ],
)
def test_places_that_cannot_be(mixhub_here, tmp_path, arguments, code, value):
    (tmp_path / "m.yaml").write_text("a: 1\n")
    result = mixhub_here(*arguments)
    assert one_code(result) == code
    assert value in result.stderr.splitlines()[0]
    assert files(tmp_path) == ["m.yaml"]


def test_status_shows_the_other_runs_when_one_is_broken(mixhub_here, made_workspace):
    (made_workspace.path("runs", "tiny", "seed-1", "export", "step-000012", "lineage.json")).unlink()
    (made_workspace.path("results", "tiny", "seed-2", "tiny_choice.0shot.json")).write_text("{")
    result = mixhub_here("status", cwd=made_workspace.root)
    assert result.returncode == 0
    assert "lineage.json" in result.stdout
    assert "tiny_choice.0shot.json: not JSON" in result.stdout
    assert "seed-3" in result.stdout


def test_status_shows_that_the_recipe_changed(mixhub_here, made_workspace):
    config = made_workspace.root / "mixhub.yaml"
    config.write_text(config.read_text().replace("warmup_steps: 2", "warmup_steps: 3"))
    assert (
        "mixhub.training.warmup_steps = 2, but tiny now has 3" in mixhub_here("status", cwd=made_workspace.root).stdout
    )


def test_a_bug_keeps_its_traceback(mixhub, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import mixhub.spec.catalog\ndef names():\n    raise RuntimeError('a bug')\nmixhub.spec.catalog.names = names\n"
    )
    result = mixhub("families", PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "RuntimeError: a bug" in result.stderr


@pytest.fixture
def made_workspace(made, tmp_path):
    return copied(made, tmp_path)


def one_code(result):
    """The code of the single error of a command, which must have a hint."""
    (code,) = error_codes(result)
    assert [line.partition(": ")[0] for line in result.stderr.splitlines()] == ["error", "hint"], result.stderr
    return code


def test_a_hub_that_does_not_answer(mixhub_here, made_workspace):
    before = files(made_workspace.root)
    result = mixhub_here("push", "--seed", "1", "--hub", "http://127.0.0.1:9", cwd=made_workspace.root)
    assert one_code(result) == "hub-unreachable"
    assert "http://127.0.0.1:9" in result.stderr
    assert files(made_workspace.root) == before


def test_a_hub_that_is_no_address(mixhub_here, made_workspace):
    result = mixhub_here("push", "--seed", "1", "--hub", "loca", cwd=made_workspace.root)
    assert one_code(result) == "hub-address"
    assert "--hub = 'loca'" in result.stderr


def test_an_export_that_misses_a_file(mixhub_here, made_workspace):
    family = made_workspace.family()
    (made_workspace.export(family.run(seed=1), family.training.steps) / "generation_config.json").unlink()
    evaluated = mixhub_here("evaluate", "--seed", "1", cwd=made_workspace.root)
    assert one_code(evaluated) == "file-missing"
    assert "generation_config.json" in evaluated.stderr
    pushed = mixhub_here("push", "--seed", "1", cwd=made_workspace.root)
    assert one_code(pushed) == "file-missing", pushed
    assert "generation_config.json" in pushed.stderr


def test_a_domain_without_files(mixhub_here, made_workspace):
    (made_workspace.root / "data" / "words" / "valid" / "sums-1.jsonl").unlink()
    result = mixhub_here("data", "pack", cwd=made_workspace.root)
    assert one_code(result) == "domains-missing"
    assert "sums" in result.stderr


def test_a_recipe_that_changed_after_training(mixhub_here, made_workspace):
    config = made_workspace.root / "mixhub.yaml"
    config.write_text(config.read_text().replace("warmup_steps: 2", "warmup_steps: 3"))
    result = mixhub_here("train", "--seed", "1", cwd=made_workspace.root)
    assert one_code(result) == "recipe-differs"
    assert "mixhub.training.warmup_steps" in result.stderr


def test_train_makes_no_request_and_needs_tokens(mixhub_here, workspace):
    result = mixhub_here("train", "--seed", "1", cwd=workspace, HF_ENDPOINT="http://127.0.0.1:9")
    assert one_code(result) == "seed-unpublished"


def test_train_before_pack_names_the_command(mixhub_here, tmp_path):
    (tmp_path / "m.yaml").write_text("cooking: 1\n")
    assert mixhub_here("init", "ws", "--mixture", "m.yaml", "--name", "mine").returncode == 0
    result = mixhub_here("train", "--seed", "1", cwd=tmp_path / "ws")
    assert one_code(result) == "tokens-missing"
    assert result.stderr.splitlines()[1] == "hint: run mixhub data pack"
    assert files(tmp_path / "ws") == ["mixhub.yaml"]


def test_init_says_what_cannot_be_trained_here(mixhub_here, tmp_path):
    said = mixhub_here("init", "ws2").stdout
    assert "mixhub adopt DIR --seed 1" in said
    assert "mixhub init DIR --family human-1b --namespace NAME" in said
    assert "data pack" not in said


def test_init_makes_a_replication_of_a_published_family(mixhub_here):
    said = mixhub_here("init", "ws2", "--family", "human-1b", "--namespace", "me").stdout
    assert "1000, 2000, … 5000" in said
    assert "mixhub data pack && mixhub train --seed 1" in said


def test_an_output_that_is_full_is_one_line(mixhub_here, workspace):
    command = [sys.executable, "-m", "mixhub", "status"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=workspace, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert one_code(done) == "disk-full"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_change_nothing(workspace, closed):
    script = f"exec {sys.executable} -m mixhub status {closed}"
    done = subprocess.run(script, shell=True, cwd=workspace, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (done.stdout == "") == (">&-" in closed.replace("2>&-", ""))
