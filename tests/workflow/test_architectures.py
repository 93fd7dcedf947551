"""From a model of any architecture to a published family: each step works, and loses no number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi
from transformers import AutoModelForCausalLM

import mixhub
from mixhub import workflow
from mixhub.errors import UsageError
from mixhub.hubserver import LOCAL_TOKEN, RunningHub, serve
from mixhub.spec.base import read_yaml, to_yaml
from mixhub.workspace.paths import Workspace
from tests.evaluation.stock import stock_results
from tests.evaluation.suite_documents import SOURCES, write_dataset_repos
from tests.hub.others import edited
from tests.refusals import refused
from tests.workflow.architectures import KINDS, save

TASKS = ("arc_easy", "copa", "piqa")
EACH_TIME = ("gpt_neox", "gpt2", "olmo2", "qwen3", "mixtral", "mamba2")
"""Those that differ most: renamed head, sharded; tied; bfloat16; a checkpoint of the Trainer; experts; no attention."""
PARAMETERS = [pytest.param(name, marks=() if name in EACH_TIME else pytest.mark.nightly, id=name) for name in KINDS]


@pytest.fixture(scope="module")
def repos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documents of the tasks, as dataset repos."""
    root = tmp_path_factory.mktemp("documents")
    write_dataset_repos(root)
    return root


@pytest.fixture(scope="module")
def hub(repos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """An embedded hub with the documents, to which the families are pushed."""
    with serve(tmp_path_factory.mktemp("hub") / "hub") as running:
        api = HfApi(endpoint=running.url, token=LOCAL_TOKEN)
        for repo_id in {SOURCES[task].repo_id for task in TASKS}:
            api.create_repo(repo_id, repo_type="dataset")
            api.upload_folder(repo_id=repo_id, repo_type="dataset", folder_path=repos / repo_id)
        yield running


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_model_becomes_a_published_family(hub: RunningHub, repos: Path, tmp_path: Path, name: str) -> None:
    source = save(name, tmp_path / "model")
    workspace = workflow.init_from_model(
        tmp_path / name.replace("_", "-"), source, hub=hub.url, tasks=TASKS, num_fewshot=[0], namespace="tester"
    )
    family = workspace.family()
    assert family.architecture.model_type == name.removesuffix("_scaled")

    adopted = workflow.adopt(workspace, source, seed=1)
    [checked] = workflow.check(workspace, seed=1, load=True)
    assert (checked.findings, checked.loaded) == ((), True)

    _evaluate_as_lm_eval(workspace, source, repos, tmp_path, hub)
    card = workflow.render_card(workspace)[0].read_text()
    model = AutoModelForCausalLM.from_pretrained(source)
    assert f"{sum(one.numel() for one in model.parameters()):,} parameters" in card

    workflow.push(workspace, seed=1)
    verification = workflow.verify(workspace, deep=True)
    assert {(one.level, one.code) for one in verification.findings} <= {("warning", "branch-missing")}

    loaded = mixhub.load(family.repo_id, revision="seed-1", hub=hub.url)
    ids = loaded.tokenizer("the cat sat on the mat", return_tensors="pt").input_ids  # (1, T)
    with torch.inference_mode():
        assert torch.equal(loaded.model(input_ids=ids).logits, model(input_ids=ids).logits)
    sampling = workflow.Sampling(tokens=4)
    assert workflow.generate(workspace, "the cat", seed=1, sampling=sampling).text.startswith("the cat")
    assert adopted.step == family.training.steps == (2 if KINDS[name].trained else 25_000)


def _evaluate_as_lm_eval(workspace: Workspace, source: Path, repos: Path, folder: Path, hub: RunningHub) -> None:
    """Evaluate in float32, and compare every figure with lm-eval's own."""
    options = workflow.Options(device="cpu", dtype="float32")
    done = workflow.evaluate(workspace, seed=1, options=options, datasets_hub=hub.url)
    stock = stock_results(source, TASKS, [0], repos, folder / "stock-tasks")[0]["results"]
    cells = done.cells["seed-1"]
    assert [cell.task for cell in cells] == list(TASKS)
    for cell in cells:
        expected = {key.partition(",")[0]: value for key, value in stock[cell.task].items() if key.startswith("acc")}
        expected = {key: value for key, value in expected.items() if not key.endswith("_stderr")}
        assert {key: cell.metrics[key] for key in expected} == expected
    assert workflow.crosscheck(source, cells, 30).largest < 1e-4


CODE = """
import os
from transformers import LlamaConfig, LlamaForCausalLM

with open(os.environ["RAN"], "a") as file:
    file.write("ran ")

class OwnConfig(LlamaConfig):
    model_type = "own_kind"

class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


def test_custom_code_runs_if_it_is_allowed_and_never_to_verify(
    hub: RunningHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    source = save("llama", tmp_path / "model")
    (source / "own.py").write_text(CODE)
    classes = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    edited(source, model_type="own_kind", architectures=["OwnModel"], auto_map=classes)
    api = HfApi(endpoint=hub.url, token=LOCAL_TOKEN)
    api.create_repo("lab/own")
    commit = api.upload_folder(repo_id="lab/own", folder_path=source).oid
    options = {"hub": hub.url, "tasks": ["copa"], "num_fewshot": [0], "namespace": "tester"}
    with refused("code-unnamed", UsageError):
        workflow.init_from_model(tmp_path / "own", source, **options)
    workspace = workflow.init_from_model(tmp_path / "own", "lab/own", **options)
    with refused("code-not-allowed", UsageError, repo_id="lab/own"):
        workflow.adopt(workspace, source, seed=1)
    assert not (tmp_path / "ran").exists()

    path = workspace.path("mixhub.yaml")
    path.write_text(to_yaml({**read_yaml(path), "code": {"lab/own": commit}}))
    (source / "own.py").write_text("raise SystemExit('code that nobody allowed')")
    workspace = workflow.open_workspace(workspace.root)
    adopted = workflow.adopt(workspace, source, seed=1)
    assert adopted.left_out == ("own.py",)
    [checked] = workflow.check(workspace, seed=1, load=True)
    assert (checked.findings, checked.loaded) == ((), True)
    workflow.evaluate(workspace, seed=1, options=workflow.Options(device="cpu"), datasets_hub=hub.url)
    workflow.render_card(workspace)
    workflow.push(workspace, seed=1)
    repo_id = workspace.family().repo_id
    assert type(mixhub.load("own", seed=1, workspace=workspace).model).__name__ == "OwnModel"
    assert workflow.generate(workspace, "the cat", seed=1).text

    (tmp_path / "ran").unlink()
    for family in (None, repo_id, "lab/own"):
        findings = workflow.verify(workspace if family != "lab/own" else None, family=family, hub=hub.url, deep=True)
        assert "unchecked" in {one.level for one in findings.findings}
    assert not (tmp_path / "ran").exists()
    with refused("model-unsupported"):
        mixhub.load(repo_id, revision="seed-1", hub=hub.url)
