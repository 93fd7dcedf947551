"""Several runs by their seeds or indices, on every command that takes more than one run."""

import pytest
import typer

import mixhub
from mixhub import workflow
from mixhub.cli.app import app
from mixhub.workflow.inputs import named_runs
from mixhub.workspace.paths import Workspace
from tests.refusals import error_codes, refused
from tests.tiny import tiny_family


@pytest.fixture
def run(mixhub_here, workspace):
    def run(*arguments):
        return mixhub_here(*arguments, cwd=workspace.root)

    return run


@pytest.mark.parametrize("text", ["1-2", "1,2", "1, 2", "2,1,2"])
def test_seeds_of_a_range_or_list_are_checked_each_once(run, text):
    done = run("check", "--seeds", text)
    assert done.returncode == 0, done.stderr
    branches = [line.partition(":")[0] for line in done.stdout.splitlines() if line.startswith("seed-")]
    assert branches == (["seed-2", "seed-1"] if text.startswith("2") else ["seed-1", "seed-2"])


def test_evaluate_push_and_export_take_the_same_ranges(run, tmp_path):
    for arguments in (
        ("evaluate", "--seeds", "1-2"),
        ("push", "--seed", "1-2", "--dry-run"),
        ("export", "--seeds", "1-2", "--output", tmp_path / "out"),
    ):
        done = run(*arguments)
        assert done.returncode == 0, done.stderr
        assert "seed-1" in done.stdout
        assert "seed-2" in done.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"seed-1", "seed-2"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1-3", "export-missing"),
        ("1-9", "unknown-seed"),
        ("2-1", "option-value"),
        ("one", "unknown-seed"),
        ("-1", "option-value"),
        ("1-", "option-value"),
        ("1-99999999", "option-value"),
    ],
)
def test_a_range_with_a_run_that_is_missing_or_that_is_none_is_refused(run, text, code):
    for command in ("check", "evaluate", "push"):
        assert error_codes(run(command, f"--seeds={text}")) == [code], command


def test_each_command_that_takes_a_run_spells_it_in_both_ways():
    commands = typer.main.get_command(app).commands
    for name, command in commands.items():
        for each in getattr(command, "commands", {name: command}).values():
            spelt = [option for parameter in each.params for option in parameter.opts]
            assert ("--seed" in spelt) <= ("--seeds" in spelt), name
            assert ("--index" in spelt) == ("--indices" in spelt) == ("--seed" in spelt), name


@pytest.mark.parametrize("option", ["--seed=1-2", "--seeds=1,3", "--index=1-2", "--indices=3,1"])
def test_a_command_for_one_run_refuses_several(run, option):
    for command in ("adopt DIR", "data seen --step 1", "data inspect"):
        assert error_codes(run(*command.split(), option)) == ["option-value"], command
    assert error_codes(run("data", "seen", "--step", 1, "--index", "a")) == ["option-value"]


def test_generate_continues_the_prompt_with_each_run(run):
    done = run("generate", "--seeds", "1-2", "the cat", "--tokens", 3)
    alone = [run("generate", "--seed", seed, "the cat", "--tokens", 3).stdout for seed in (1, 2)]
    assert done.stdout == f"seed 1:\n{alone[0]}seed 2:\n{alone[1]}"
    assert error_codes(run("generate", "--seeds", "8-9", "the cat")) == ["unknown-seed"]


def test_withdraw_marks_each_run(run):
    assert run("push", "--all").returncode == 0
    assert error_codes(run("withdraw", "--why", "wrong text", "--seeds", "1,9")) == ["unknown-seed"]
    assert error_codes(run("withdraw", "--why", "wrong text")) == ["option-missing"]
    done = run("withdraw", "--why", "wrong text", "--seeds", "1-2")
    assert done.returncode == 0, done.stderr
    marked = [line.partition(" = ")[0] for line in done.stdout.splitlines() if line.startswith("withdrawn")]
    assert marked == ["withdrawn: tester/tiny@seed-1", "withdrawn: tester/tiny@seed-2"]


def test_python_takes_lists(workspace: Workspace):
    assert [one.branch for one in mixhub.check(workspace, seed=[2, 1])] == ["seed-2", "seed-1"]
    with refused("option-conflict", mixhub.UsageError):
        mixhub.check(workspace, seed=[1], all=True)
    evaluated = mixhub.evaluate(workspace, seed=range(1, 3), options=workflow.Options(device="cpu"))
    assert list(evaluated.cells) == ["seed-1", "seed-2"]


def test_indices_are_named_as_seeds_are():
    mixtures = {number: {"train_prose": 1.0} for number in (1, 2, 3)}
    family = tiny_family(
        revisions={"pattern": "n{index}", "indices": "1-3", "seeds": []}, mixture=None, mixtures=mixtures
    )
    assert [one.revision for one in named_runs(family, index=[3, 1])] == ["n3", "n1"]
    with refused("run-kind", mixhub.UsageError):
        named_runs(family, seed=[1, 2])
    with refused("unknown-index", mixhub.UnknownNameError):
        named_runs(family, index=[1, 4])
