"""What the README and CONTRIBUTING show: code that runs, and places that are there."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from mixhub import workflow
from mixhub.spec.base import read_yaml, to_yaml
from mixhub.workspace.paths import Workspace
from tests.tiny import write_tiny_corpus

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
    """The code blocks of the README in a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)


def block_with(language, text):
    (found,) = [block for block in blocks(language) if text in block]
    return found


@pytest.fixture
def my_work(made, tmp_path):
    """Makes the workspace `my-work` in a folder, of a tiny family `my-mix` with text, where nothing is trained."""

    def make(folder, name="my-mix", workspace="my-work"):
        root = tmp_path / folder / workspace
        shutil.copytree(made / "tasks", root / "tasks")
        config = read_yaml(made / "mixhub.yaml")
        spec = config["families"]["tiny"] | {"repo_id": f"me/{name}"}
        (root / "mixhub.yaml").write_text(to_yaml({**config, "family": name, "families": {name: spec}}))
        workspace = Workspace.open(root)
        write_tiny_corpus(workspace.corpus(workspace.family()))
        return workspace

    return make


def test_the_walk_is_the_same_in_shell_and_in_python(my_work, mixhub_here, monkeypatch, capsys):
    shell, python = my_work("shell"), my_work("python")
    walk = block_with("bash", "mixhub data pack").splitlines()
    lines = [shlex.split(line, comments=True) for line in walk[walk.index("cd my-work") + 1 :]]
    for words in filter(None, lines):
        done = mixhub_here(*words[1:], cwd=shell.root)
        assert (done.returncode, words[0]) == (0, "mixhub"), done
    monkeypatch.chdir(python.root.parent)
    names = {}
    exec(block_with("python", "mixhub.pack("), names)
    assert [state.to_data() | {"pushed": None} for state in workflow.status(shell)] == [
        state.to_data() | {"pushed": None} for state in names["states"]
    ]
    assert [list(state.pushed) for state in names["states"]] == [["local"], [], []]
    assert list(names["scores"].index) == ["seed-1"]
    assert capsys.readouterr().out.splitlines()[-1].startswith("Once upon a time")

    exec(block_with("python", "except mixhub.UnknownNameError"), names)
    assert capsys.readouterr().out.startswith("unknown-seed ('1', '2', '3')")


def test_what_the_demo_made_is_loaded(my_work, monkeypatch):
    workspace = my_work("demo", "demo-1m", "mixhub-demo")
    workflow.pack(workspace)
    workflow.train(workspace, seed=1, device="cpu")
    workflow.push(workspace, seed=1)
    monkeypatch.chdir(workspace.root.parent)
    names = {}
    exec("import mixhub\n" + block_with("python", 'load("demo-1m"'), names)
    assert names["model"].config.hidden_size == workspace.family().architecture.hidden_size


def test_python_of_the_readme_names_what_there_is():
    import mixhub

    for block in blocks("python"):
        compile(block, "README.md", "exec")
        for module, name in re.findall(r"\b(mixhub|workflow)\.([a-zA-Z_]+)", block):
            assert hasattr(mixhub if module == "mixhub" else workflow, name), name


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md"])
def test_the_links_and_places_are_there(file):
    text = (ROOT / file).read_text()
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if ":" not in link]
    places = re.findall(r"`((?:mixhub|tests|docs|examples|model_cards)/[\w/.-]*)`", text)
    for place in [*links, *places]:
        assert (ROOT / place).exists(), place
