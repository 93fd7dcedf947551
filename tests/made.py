"""A workspace with two trained and evaluated seeds of the tiny family, made once and copied for each test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mixhub.endpoint import Endpoint, HubChoice
from mixhub.hub.publish.push import Pushed, push_plan
from mixhub.hub.remote.connect import open_hub
from mixhub.spec import Family, Run
from mixhub.workflow import Options, TrainOptions, evaluate, pack, plan_push, push, train
from mixhub.workspace.paths import Workspace
from tests.tiny import tiny_workspace_yaml, write_tiny_corpus

TASK = """
task: tiny_choice
dataset_path: json
dataset_kwargs: {data_files: {test: choice.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: gold
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
metadata: {version: 1}
"""
DOCUMENTS = """
{"question": "the cat sat on", "choices": [" the mat", " 3 + 4"], "gold": 0}
{"question": "3 + 4 =", "choices": [" bird", " 7"], "gold": 1}
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace that is copied."""
    root = tmp_path_factory.mktemp("made")
    evaluation = {
        "tasks": [{"name": "tiny_choice", "title": "Choice", "config": "tasks/choice.yaml"}],
        "num_fewshot": [0],
    }
    (root / "mixhub.yaml").write_text(tiny_workspace_yaml(evaluation=evaluation))
    (root / "tasks").mkdir()
    (root / "tasks" / "choice.yaml").write_text(TASK.lstrip())
    (root / "tasks" / "choice.jsonl").write_text(DOCUMENTS.lstrip())
    workspace = Workspace.open(root)
    write_tiny_corpus(workspace.corpus(workspace.family()))
    pack(workspace)
    for seed in (1, 2):
        train(workspace, seed=seed, options=TrainOptions(device="cpu"))
        evaluate(workspace, seed=seed, options=Options(device="cpu"))
    return root


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Workspace:
    """A copy that the test may change; its hub is empty."""
    return copied(made, tmp_path)


@pytest.fixture
def endpoint(workspace: Workspace) -> Iterator[Endpoint]:
    """The embedded hub of the workspace, running."""
    with open_hub(HubChoice("local", "the test"), workspace) as endpoint:
        yield endpoint


def copied(made: Path, folder: Path) -> Workspace:
    """A copy of the workspace, as `ws` in a folder."""
    shutil.copytree(made, folder / "ws")
    return Workspace.open(folder / "ws")


def push_branch(workspace: Workspace, family: Family, run: Run, endpoint: Endpoint) -> Pushed:
    """Pushes the branch of a run, and not yet the family's card."""
    with plan_push(workspace, hub=endpoint, family=family, **{run.kind: run.label}) as plan:
        plan.require_sound()
        return push_plan(plan.branches[0], workspace, endpoint)


def publish(workspace: Workspace, endpoint: Endpoint) -> dict[str, str]:
    """Pushes the two trained seeds and the card; the commits of the seeds by branch."""
    *pushed, _ = push(workspace, all=True, hub=endpoint)
    return {push.plan.branch: push.commit for push in pushed}
