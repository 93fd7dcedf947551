"""The commands that a command proposes can be typed as they are, also for another family and from another folder."""

import contextvars
import re
import shlex

import pytest
import typer

from mixhub.cli.app import app
from mixhub.cli.common import options
from mixhub.spec.base import to_yaml
from mixhub.workspace.paths import Workspace
from tests.made import copied
from tests.tiny import tiny_data, write_tiny_corpus


@pytest.fixture
def root(tmp_path):
    """A workspace of two families, in which nothing is trained."""
    families = {name: {key: value for key, value in tiny_data().items() if key != "name"} for name in ("mine", "other")}
    config = {"format": 1, "family": "mine", "hub": "local", "families": families}
    (tmp_path / "my ws").mkdir()
    (tmp_path / "my ws" / "mixhub.yaml").write_text(to_yaml(config))
    return tmp_path / "my ws"


def proposed(result):
    """The commands that are proposed."""
    lines = [line for line in (result.stdout + result.stderr).splitlines() if re.match(r" *(next|hint)[^:]*:", line)]
    return [command for line in lines for command in re.findall(r"mixhub [^;,]*[^;, ]", line)]


def test_the_next_step_names_family_and_workspace(root, mixhub_here):
    workspace = Workspace.open(root)
    write_tiny_corpus(workspace.corpus(workspace.family()))
    done = mixhub_here("data", "pack", "--family", "other", cwd=root)
    assert proposed(done) == ["mixhub train --family other --seed 1"], done
    assert proposed(mixhub_here("data", "pack", cwd=root)) == ["mixhub train --seed 1"]
    elsewhere = mixhub_here("data", "pack", "-w", root)
    assert proposed(elsewhere) == [f"mixhub train --workspace '{root}' --seed 1"]


@pytest.mark.parametrize(
    ("command", "steps"),
    [
        ("train --seed 1", ["mixhub data pack"]),
        ("evaluate --seed 1", ["mixhub train --seed 1", "mixhub adopt DIR --seed 1"]),
        ("check --seed 1", ["mixhub train --seed 1", "mixhub adopt DIR --seed 1"]),
        ("card check", ["mixhub card render"]),
        ("train --all", ["mixhub data pack"]),
        ("results", ["mixhub evaluate --all"]),
        ("plot scores", ["mixhub evaluate --all"]),
        ("plot losses", ["mixhub train --all"]),
    ],
)
def test_hints_name_the_family(root, mixhub_here, command, steps):
    named = ["other"] if command.startswith(("results", "plot")) else ["--family", "other"]
    for family, added in ((named, " --family other"), ([], "")):
        words = [re.sub(r"^(mixhub (?:data |card )?\w+)", rf"\1{added}", step) for step in steps]
        assert proposed(mixhub_here(*command.split(), *family, cwd=root)) == words


def test_of_several_families_the_hint_names_the_one_that_it_is_about(root, mixhub_here):
    for command in ("results other mine", "results --compare other mine", "plot difference other mine"):
        assert proposed(mixhub_here(*command.split(), cwd=root)) == ["mixhub evaluate --family other --all"], command
    assert proposed(mixhub_here("results", "mine", "other", cwd=root)) == ["mixhub evaluate --all"]


def test_from_a_folder_of_mixtures_each_next_step_can_be_pasted(made, mixhub_here, tmp_path):
    root = copied(made, tmp_path).root
    (root / "mixes").mkdir()
    for number, weights in enumerate(("{train_prose: 1, train_sums: 2}", "{train_prose: 3, train_sums: 1}"), start=1):
        (root / "mixes" / f"n{number}.yaml").write_text(weights)
    steps, seen = ["mixhub add proxies --mixture mixes"], []
    while steps:
        seen.append(steps.pop(0))
        done = mixhub_here(*shlex.split(seen[-1])[1:], cwd=root)
        assert done.returncode == 0, done
        steps += [step for line in proposed(done) for step in line.split(" && ")] if not steps else []
    assert seen[1:] == [
        "mixhub data pack --family proxies",
        "mixhub train --family proxies --all",
        "mixhub evaluate --family proxies --all",
        "mixhub card render --family proxies",
    ]
    done = mixhub_here("evaluate", "--family", "proxies", "--indices", "1-2", cwd=root)
    assert proposed(done) == ["mixhub card render --family proxies"]
    assert mixhub_here("push", "--index", "1,2", "--family", "proxies", cwd=root).returncode == 0


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("the files that mixhub pushed", None),
        ("mixhub evaluate MODEL --tasks x", None),
        ("mixhub push --seed 1 --family mine", None),
        ("run mixhub families, or mixhub init DIR", None),
        (
            "run mixhub card render, and mixhub push --all",
            "run mixhub card render --family other, and mixhub push --family other --all",
        ),
    ],
)
def test_only_commands_are_changed_and_an_option_is_not_repeated(text, changed):
    def asked():
        options._note_family(typer.Context(typer.main.get_command(app)), "other")
        return options.as_asked(text)

    assert contextvars.copy_context().run(asked) == (changed or text)
