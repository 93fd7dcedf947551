"""A user's mistake: one clear line, a hint, status 2, nothing written, no stack trace."""

import subprocess
import sys
from pathlib import Path

import pytest

from mixhub.workspace.paths import Workspace
from tests.made import copied


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture
def workspace(mixhub, tmp_path):
    assert mixhub("init", "ws").returncode == 0
    return tmp_path / "ws"


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        (["families", "humn-1b"], "unknown family 'humn-1b' in", "known: human-1b"),
        (["families", "human-2b"], "did you mean human-1b?", "known: human-1b"),
        (["train", "--seed", "7"], "unknown seed 7 in human-1b; did you mean 5?", "human-1b has seeds 1-5"),
        (["train"], "which seed of human-1b?", "seeds 1-5"),
        (["train", "--index", "1"], "human-1b has seeds, not indices", "seeds: 1-5"),
        (["train", "--seed", "1", "--family", "random-1b"], "random-1b has indices, not seeds", "1-64"),
        (["push", "--seed", "2"], "no export of step 25000 (there: none)", "mixhub train --seed 2"),
        (["evaluate", "--seed", "2"], "no export of step 25000 (there: none)", "mixhub train --seed 2"),
        (["evaluate", "--seed", "2", "--num-fewshot", "x"], "--num-fewshot = 'x'", None),
        (["status", "--workspace", "elsewhere"], "elsewhere: no workspace", "mixhub init"),
        (["init"], "already a workspace", "mixhub.yaml"),
        (["hub", "import", "nowhere", "--root", "r"], "nowhere: no such folder", None),
        (["hub", "serve", "--root", "."], "--root .: is a workspace", "--root hub"),
        (["audit", "mixhub.yaml"], "mixhub.yaml: not a results file of lm-eval: it is no JSON", "lm-eval's own files"),
    ],
)
def test_a_mistake_is_one_line_and_a_hint(mixhub, workspace, arguments, said, hint):
    before = files(workspace)
    result = mixhub(*arguments, cwd=workspace)
    assert result.returncode == 2, result
    lines = result.stderr.splitlines()
    assert lines[0].startswith("error: "), result.stderr
    assert said in lines[0]
    assert len(lines) <= 2
    if hint:
        assert hint in lines[1]
    assert files(workspace) == before


def test_no_workspace(mixhub, tmp_path):
    result = mixhub("status")
    assert result.returncode == 2
    assert "no workspace here or above (no mixhub.yaml)" in result.stderr
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train_the_pile_arxiv: -1\n", "error: m.yaml: train_the_pile_arxiv = -1: must be at least 0.0"),
        ("train_the_pile_arxiv: .nan\n", "error: m.yaml: train_the_pile_arxiv = nan: must be a finite number"),
        ("train_the_pile_arxiv: a lot\n", "error: m.yaml: train_the_pile_arxiv = 'a lot': must be a number, not text"),
        ("train_the_pile_arxiv: 0\n", "error: m.yaml: at least one domain weight must be above 0"),
        ("train: 3\n", "error: m.yaml: must be a mapping of keys to values"),
        ("train: {a: 1}\nvalid: 3\n", "error: m.yaml (valid): must be a mapping of keys to values"),
        ("train: {a: 1}\nvalid: {a: -1}\n", "error: m.yaml (valid): a = -1: must be at least 0.0"),
        ("- 1\n", "error: m.yaml: must be a mapping of keys to values"),
        ("a: b: c\n", "error: m.yaml:1:5: not valid YAML"),
    ],
)
def test_a_wrong_mixture_makes_no_workspace(mixhub, tmp_path, text, said):
    (tmp_path / "m.yaml").write_text(text)
    result = mixhub("init", "ws", "--mixture", "m.yaml", "--name", "mine")
    assert (result.returncode, len(result.stderr.splitlines()) <= 2) == (2, True), result.stderr
    assert said in result.stderr
    assert files(tmp_path) == ["m.yaml"]


def test_a_mixture_makes_a_family_of_ones_own(mixhub, tmp_path):
    (tmp_path / "m.yaml").write_text("train: {train_the_pile_arxiv: 3, train_the_pile_github: 1}\nmodel_name: x\n")
    result = mixhub("init", "ws", "--mixture", "m.yaml", "--name", "mine", "--namespace", "me")
    assert result.returncode == 0, result.stderr
    shown = mixhub("families", "mine", cwd=tmp_path / "ws").stdout
    assert "me/data-mixture-mine" in shown
    assert "75.0000%" in shown
    assert "training.order                         iid              chosen" in shown


def test_domains_of_ones_own_make_a_corpus_of_ones_own(mixhub, tmp_path):
    (tmp_path / "m.yaml").write_text("cooking: 0.6\nmusic: 0.4\nunused: 0\n")
    assert mixhub("init", "ws", "--mixture", "m.yaml", "--name", "mine").returncode == 0
    family = Workspace.open(tmp_path / "ws").family()
    assert dict(family.validation.domain_weights) == {"cooking": 1.0, "music": 1.0}
    assert (family.data.corpus, family.data.dataset, family.data.train_prefix) == ("mine", None, "")
    assert family.card.datasets == ()
    result = mixhub("data", "pack", cwd=tmp_path / "ws", HF_ENDPOINT="http://127.0.0.1:9")
    assert one_line(result) == f"error: {tmp_path}/ws/data/mine: no such corpus"


def test_the_name_of_a_shipped_family_is_taken(mixhub, tmp_path):
    (tmp_path / "m.yaml").write_text("a: 1\n")
    result = mixhub("init", "ws", "--mixture", "m.yaml", "--name", "human-1b")
    assert one_line(result) == "error: --name = 'human-1b': is a shipped family"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["init", "m.yaml"], "m.yaml: is a file"),
        (["init", "m.yaml/x"], "m.yaml/x: cannot be made a workspace"),
        (["init", "ws", "--hub", "http://[::1"], "--hub = 'http://[::1': must be 'local' or the address of a hub"),
        (["init", "ws", "--hub", "http://x:99999"], "--hub = 'http://x:99999': must be"),
        (["hub", "serve"], "which hub?"),
    ],
)
def test_places_that_cannot_be(mixhub, tmp_path, arguments, said):
    (tmp_path / "m.yaml").write_text("a: 1\n")
    assert said in one_line(mixhub(*arguments))
    assert files(tmp_path) == ["m.yaml"]


def test_status_shows_the_other_runs_when_one_is_broken(mixhub, made_workspace):
    (made_workspace.path("runs", "tiny", "seed-1", "export", "step-000012", "lineage.json")).unlink()
    (made_workspace.path("results", "tiny", "seed-2", "tiny_choice.0shot.json")).write_text("{")
    result = mixhub("status", cwd=made_workspace.root)
    assert result.returncode == 0
    assert "lineage.json" in result.stdout
    assert "tiny_choice.0shot.json: not JSON" in result.stdout
    assert "seed-3" in result.stdout


def test_status_says_that_the_recipe_changed(mixhub, made_workspace):
    config = made_workspace.root / "mixhub.yaml"
    config.write_text(config.read_text().replace("warmup_steps: 2", "warmup_steps: 3"))
    assert "mixhub.training.warmup_steps = 2, but tiny now says 3" in mixhub("status", cwd=made_workspace.root).stdout


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


def one_line(result):
    assert result.returncode == 2, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 2, result.stderr
    assert lines[1].startswith("hint: ")
    return lines[0]


def test_a_hub_that_does_not_answer(mixhub, made_workspace):
    before = files(made_workspace.root)
    result = mixhub("push", "--seed", "1", "--hub", "http://127.0.0.1:9", cwd=made_workspace.root)
    assert one_line(result) == "error: http://127.0.0.1:9: nothing answers there"
    assert files(made_workspace.root) == before


def test_a_hub_that_is_no_address(mixhub, made_workspace):
    result = mixhub("push", "--seed", "1", "--hub", "loca", cwd=made_workspace.root)
    assert one_line(result) == "error: --hub = 'loca': must be 'local' or the address of a hub"


def test_an_export_that_misses_a_file(mixhub, made_workspace):
    family = made_workspace.family()
    (made_workspace.export(family.run(seed=1), family.training.steps) / "generation_config.json").unlink()
    evaluated = mixhub("evaluate", "--seed", "1", cwd=made_workspace.root)
    assert "an export must be complete, but it has no generation_config.json" in one_line(evaluated)
    pushed = mixhub("push", "--seed", "1", cwd=made_workspace.root)
    assert "seed-1: lacks generation_config.json; nothing was sent" in one_line(pushed)


def test_a_domain_without_files(mixhub, made_workspace):
    (made_workspace.root / "data" / "words" / "valid" / "sums-1.jsonl").unlink()
    result = mixhub("data", "pack", cwd=made_workspace.root)
    assert "sums" in one_line(result)


def test_a_recipe_that_changed_after_training(mixhub, made_workspace):
    config = made_workspace.root / "mixhub.yaml"
    config.write_text(config.read_text().replace("warmup_steps: 2", "warmup_steps: 3"))
    result = mixhub("train", "--seed", "1", cwd=made_workspace.root)
    assert "mixhub.training.warmup_steps = 2, but tiny now says 3" in one_line(result)


def test_train_makes_no_request_and_needs_tokens(mixhub, workspace):
    result = mixhub("train", "--seed", "1", cwd=workspace, HF_ENDPOINT="http://127.0.0.1:9")
    assert "training.order = original" in one_line(result)


def test_train_before_pack_names_the_command(mixhub, tmp_path):
    (tmp_path / "m.yaml").write_text("cooking: 1\n")
    assert mixhub("init", "ws", "--mixture", "m.yaml", "--name", "mine").returncode == 0
    result = mixhub("train", "--seed", "1", cwd=tmp_path / "ws")
    one_line(result)
    assert result.stderr.splitlines()[1] == "hint: mixhub data pack"
    assert files(tmp_path / "ws") == ["mixhub.yaml"]


def test_what_cannot_be_trained_here_is_said_before_text_is_packed(mixhub, tmp_path):
    said = mixhub("init", "ws2").stdout
    assert "it cannot be trained here" in said
    assert "mixhub adopt DIR --seed 1" in said
    assert "data pack" not in said


def test_an_output_that_is_full_is_one_line(mixhub, workspace):
    command = [sys.executable, "-m", "mixhub", "status"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=workspace, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: the output: No space left on device",
        "hint: make room, and run it again",
    ]
