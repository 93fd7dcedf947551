"""The public API: its names, and that the functions do what the commands do."""

import ast
import inspect
import json
import logging
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import mixhub
from mixhub import errors, workflow
from mixhub.workspace.paths import Workspace
from tests.made import copied
from tests.refusals import codes, refused
from tests.tiny import tiny_workspace_yaml, write_tiny_corpus

FUNCTIONS = (
    *(
        "load",
        "load_all",
        "pack",
        "train",
        "train_each",
        "evaluate",
        "results",
        "render_card",
        "check",
        "push",
        "promote",
        "verify",
    ),
    *("withdraw", "adopt", "generate"),
)
EXCEPTIONS = (
    *(
        "CellsFailedError",
        "CorpusError",
        "ExportError",
        "HubError",
        "HubUnreachableError",
        "MixhubError",
        "PushConflictError",
    ),
    *("RepoNotFoundError", "ResultsError", "RevisionNotFoundError", "RunError", "SpecError", "UnknownNameError"),
    *("UsageError", "WorkspaceError"),
)
PACKAGE = Path(mixhub.__file__).parent


def test_the_list():
    assert sorted(mixhub.__all__) == sorted(("Family", "Workspace", "__version__", *FUNCTIONS, *EXCEPTIONS))


def test_the_exceptions_are_all_there_are():
    found = [name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert sorted(found) == sorted(EXCEPTIONS)


@pytest.mark.parametrize("module", [mixhub, workflow], ids=["mixhub", "mixhub.workflow"])
def test_each_name_is_there_and_documented(module):
    assert dir(module) == sorted(module.__all__)
    for name in module.__all__:
        found = getattr(module, name)
        if callable(found):
            assert inspect.getdoc(found), name
    assert not hasattr(mixhub, "Path")  # imported inside a function of the module
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing


@pytest.mark.parametrize("file", ["__init__.py", "workflow/__init__.py"])
def test_type_checkers_see_the_same_names(file):
    tree = ast.parse((PACKAGE / file).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = {alias.name for node in block.body for alias in node.names}
    assert seen == set((mixhub if file == "__init__.py" else workflow).__all__) - {"__version__"}


def test_functions_name_their_arguments():
    for name in FUNCTIONS:
        text = inspect.getdoc(getattr(mixhub, name))
        for parameter in inspect.signature(getattr(mixhub, name)).parameters:
            assert parameter in text, (name, parameter)


def test_no_package_hides_a_function():
    code = """
import importlib, pkgutil, types
import mixhub, mixhub.workflow
for package in (mixhub, mixhub.workflow):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name.count(".") <= package.__name__.count(".") + 2 and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in package.__all__:
        assert not isinstance(getattr(package, name), types.ModuleType), name
assert callable(mixhub.train) and callable(mixhub.workflow.check)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_it_imports_nothing_heavy():
    heavy = ("torch", "transformers", "huggingface_hub", "lm_eval", "datasets", "pandas", "numpy", "pydantic", "yaml")
    code = f"""
import sys, mixhub, mixhub.workflow
loaded = [name for name in {heavy!r} if name in sys.modules]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_working_directory_does_not_matter(made, tmp_path, monkeypatch):
    there = copied(made, tmp_path)
    monkeypatch.chdir(there.root)
    with refused("option-missing", mixhub.UsageError, option="FAMILY"):
        mixhub.verify()
    assert mixhub.results("human-1b").attrs["standing"] == "published"
    with refused("unknown-source", mixhub.UnknownNameError):
        mixhub.results("tiny")


@pytest.fixture
def untrained(made, tmp_path):
    """The folder of a workspace that only has the text of the tiny family."""
    root = tmp_path / "walk"
    shutil.copytree(made / "tasks", root / "tasks")
    shutil.copy(made / "mixhub.yaml", root)
    workspace = Workspace.open(root)
    write_tiny_corpus(workspace.corpus(workspace.family()))
    return root


def test_the_whole_walk(untrained, tmp_path, mixhub_here, capsys):
    """From text to a withdrawn revision, by folder and from elsewhere; it prints nothing."""
    root, process = untrained, _process()
    assert set(mixhub.pack(root).train) == {"prose", "sums", "two-part"}
    exports = {
        seed: mixhub.train(root, seed=seed, options=workflow.TrainOptions(device="cpu")).export for seed in (1, 2)
    }
    evaluated = mixhub.evaluate(root, all=True, options=workflow.Options(device="cpu"))
    assert {revision: len(cells) for revision, cells in evaluated.cells.items()} == {"seed-1": 1, "seed-2": 1}
    assert list(mixhub.results("tiny", workspace=root).index) == ["seed-1", "seed-2"]
    assert (root / "cards" / "tiny" / "README.md") in mixhub.render_card(root)
    assert [(one.branch, codes(one.findings)) for one in mixhub.check(root, all=True)] == [
        ("seed-1", []),
        ("seed-2", []),
    ]

    options = workflow.PushOptions(tag="v1")
    pushed = mixhub.push(root, all=True, options=options)
    assert [(one.plan.branch, one.sent) for one in pushed] == [("seed-1", True), ("seed-2", True), ("main", True)]
    assert [one.sent for one in mixhub.push(root, all=True, options=options)] == [False, False, False]
    verified = mixhub.verify(root)
    (planned,) = verified.findings  # seed-3 is not trained
    assert (planned.where, planned.code, planned.level) == ("seed-3", "branch-missing", "warning")
    commit = pushed[0].commit
    assert {branch.name: branch.commit for branch in verified.branches}["seed-1"] == commit

    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mixhub.yaml").write_text(tiny_workspace_yaml())
    with workflow.open_hub(tmp_path / "other") as other:
        promoted = mixhub.promote(root, "local", hub=other, all=True)
    assert [(one.plan.branch, one.sent) for one in promoted] == [("seed-1", True), ("seed-2", True), ("main", True)]

    model, tokenizer = mixhub.load("tiny", seed=1, workspace=Workspace.open(root))
    tokens = tokenizer("the cat", return_tensors="pt", return_token_type_ids=False)
    text = tokenizer.decode(model.generate(**tokens, max_new_tokens=5, do_sample=False)[0], skip_special_tokens=True)
    sampling = workflow.Sampling(tokens=5)
    here = mixhub.generate(root, "the cat", seed=1, sampling=sampling)
    there = mixhub.generate(root, "the cat", seed=1, hub="local", sampling=sampling)
    assert (here.text, here.source) == (text, str(exports[1]))
    assert (there.text, there.source) == (text, f"tester/tiny@seed-1 = {commit}")
    with pytest.warns(UserWarning, match="seed-3"):  # not published
        assert [one.revision for one in mixhub.load_all("tiny", workspace=root)] == ["seed-1", "seed-2"]

    withdrawn = mixhub.withdraw(root, "trained on the wrong mixture", seed=2)
    assert (withdrawn.done.was, withdrawn.card.plan.branch) == (pushed[1].commit, "main")
    with pytest.warns(UserWarning, match="trained on the wrong mixture"):
        mixhub.load("tiny", seed=2, workspace=root)
    assert capsys.readouterr().out == ""
    assert _process() == process
    _commands_find_the_same(root, mixhub_here)


def _process():
    """State of the process that a library must not change."""
    loggers = [logging.getLogger(name) for name in ("", "mixhub", "transformers", "huggingface_hub", "lm_eval")]
    handlers = [(logger.name, logger.level, list(logger.handlers)) for logger in loggers]
    return dict(os.environ), Path.cwd(), handlers, warnings.formatwarning, list(warnings.filters)


def _commands_find_the_same(root, mixhub_here):
    """The commands report the results of the functions, and have nothing left to do."""
    shown = mixhub_here("status", "--json", cwd=root)
    assert json.loads(shown.stdout)["runs"] == [state.to_data() for state in workflow.status(root)]
    found = json.loads(mixhub_here("verify", "--json", cwd=root).stdout)["findings"]
    assert found == [finding.to_data() for finding in mixhub.verify(root).findings]
    assert mixhub_here("train", "--seed", 1, cwd=root).returncode == 0
    assert mixhub_here("evaluate", "--all", cwd=root).returncode == 0
    refused = mixhub_here("push", "--all", "--tag", "v1", "--dry-run", "--json", cwd=root)  # it names seed-2 as it was
    assert (refused.returncode, json.loads(refused.stdout)["error"]["code"]) == (2, "release-unsound")
    plan = json.loads(mixhub_here("push", "--all", "--dry-run", "--json", cwd=root).stdout)
    with workflow.plan_push(root, all=True) as planned:
        assert plan["branches"] == planned.to_data()["branches"]
    assert [branch["changes"] for branch in plan["branches"]] == [[], []]
    checked = json.loads(mixhub_here("check", "--all", "--json", cwd=root).stdout)
    own = [[finding.to_data() for finding in one.findings] for one in mixhub.check(root, all=True)]
    assert [run["findings"] for run in checked["runs"]] == own


def test_what_was_trained_elsewhere_is_adopted(workspace, tmp_path):
    export = workspace.export(workspace.family().run(seed=2), 12)
    elsewhere = workflow.init(tmp_path / "new", family="human-1b")
    with refused("unknown-seed", mixhub.UnknownNameError):
        mixhub.adopt(elsewhere, export, seed=9)
    (tmp_path / "third").mkdir()
    (tmp_path / "third" / "mixhub.yaml").write_text(tiny_workspace_yaml())
    adopted = mixhub.adopt(str(tmp_path / "third"), export, seed=2)
    assert (adopted.run.revision, adopted.lineage.number, adopted.repeated) == ("seed-2", 2, ())
