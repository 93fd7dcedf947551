"""Results of benchmarks in the Hub's own format: when a push writes them, and that they are the cells'."""

from __future__ import annotations

import json

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, parse_eval_result_entries

from mixhub.endpoint import Endpoint
from mixhub.findings import errors
from mixhub.hub.publish.branch_plans import plan_card, plan_run
from mixhub.hub.publish.promote import Promotion, plan_branches
from mixhub.hub.publish.push import push_plan
from mixhub.hub.remote.client import file_content, remote_tree
from mixhub.hub.remote.eval_results import eval_result_files
from mixhub.hub.verify.repo import verify
from mixhub.hubserver import LOCAL_TOKEN, serve
from mixhub.progress import SILENT
from mixhub.spec.base import parse_yaml
from mixhub.workflow import Options, evaluate, withdraw
from mixhub.workspace.cells import read_cells
from mixhub.workspace.paths import Workspace
from tests.tiny import tiny_workspace_yaml

DATASET = "tester/bench"
TASK = """
task: bench_choice
dataset_path: tester/bench
dataset_name: {config}
test_split: test
{more}
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: gold
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 1}}
"""
CARD = """---
configs:
- config_name: plain
  data_files: [{split: test, path: plain.jsonl}]
- config_name: other
  data_files: [{split: test, path: plain.jsonl}]
---
"""
EVAL = """
name: Bench
description: Two questions.
evaluation_framework: inspect-ai
tasks:
- {id: bench, config: plain, split: test}
- {id: elsewhere, config: plain, split: validation}
- {id: twice, config: other}
- {id: again, config: other}
"""
OWN = ".eval_results/mixhub-bench_choice.0shot.yaml"


@pytest.fixture
def measure(workspace: Workspace, endpoint: Endpoint):
    """Measures seed 1 on a dataset repo with an `eval.yaml`; the workspace with its cells."""

    def measured(config: str = "plain", more: str = "", benchmark: str = EVAL, main: int | None = None) -> Workspace:
        api = HfApi(endpoint.url, endpoint.token)
        api.create_repo(DATASET, repo_type="dataset", exist_ok=True)
        rows = (workspace.root / "tasks" / "choice.jsonl").read_bytes()
        files = {"README.md": CARD.encode(), "plain.jsonl": rows, "eval.yaml": benchmark.encode()}
        operations = [CommitOperationAdd(path, content) for path, content in files.items() if content]
        api.create_commit(DATASET, operations, commit_message="data", repo_type="dataset")
        (workspace.root / "tasks" / "bench.yaml").write_text(TASK.format(config=config, more=more).lstrip())
        evaluation = {
            "tasks": [{"name": "bench_choice", "title": "Bench", "config": "tasks/bench.yaml"}],
            "num_fewshot": [0],
        }
        revisions = {"seeds": [1, 2, 3], **({"main": main} if main else {})}
        (workspace.root / "mixhub.yaml").write_text(tiny_workspace_yaml(evaluation=evaluation, revisions=revisions))
        opened = Workspace.open(workspace.root)
        evaluate(opened, seed=1, options=Options(device="cpu"), datasets_hub=endpoint.url)
        return opened

    return measured


def pushed(workspace: Workspace, endpoint: Endpoint, *, card: bool = False) -> Workspace:
    family = workspace.family()
    push_plan(plan_run(workspace, family, family.run(seed=1), endpoint), workspace, endpoint)
    if card:
        push_plan(plan_card(workspace, family, endpoint), workspace, endpoint)
    return workspace


def entry(endpoint: Endpoint, branch: str = "seed-1", path: str = OWN):
    text = file_content(endpoint, "tester/tiny", branch, path).decode()
    (found,) = parse_eval_result_entries(parse_yaml(text, path))
    return found


def differing(workspace: Workspace, endpoint: Endpoint) -> list[tuple[str, str]]:
    findings = errors(verify(endpoint, "tester/tiny", workspace.family()).findings)
    return [(one.where, one.about) for one in findings if one.code == "eval-result-differs"]


def test_a_push_states_what_the_cell_measured(measure, endpoint):
    workspace = pushed(measure(), endpoint)
    family = workspace.family()
    (cell,) = (one for one in read_cells(workspace.results(family.run(seed=1))) if one.task == "bench_choice")
    found = entry(endpoint)
    assert (found.dataset_id, found.task_id, found.value) == (DATASET, "bench", 100 * cell.metrics["acc"])
    commit = HfApi(endpoint.url, endpoint.token).dataset_info(DATASET).sha
    assert found.dataset_revision == commit == cell.provenance.dataset.fingerprint
    assert found.verify_token is found.source_url is None  # the embedded hub has no lasting address
    assert {"0-shot", "acc in percent", "not with inspect-ai"} <= {*str(found.notes).split(", ")}
    assert differing(workspace, endpoint) == []
    assert not plan_run(workspace, family, family.run(seed=1), endpoint).changed


def test_the_source_is_the_result_on_the_branch(measure, endpoint):
    workspace = measure()
    cells = read_cells(workspace.results(workspace.family().run(seed=1)))
    files = eval_result_files(cells, Endpoint("https://hub.example"), "tester/tiny", "stage1/seed-1")
    ((path, content),) = files.items()
    assert path == OWN
    (found,) = parse_eval_result_entries(parse_yaml(content.decode(), path))
    assert found.source_url == "https://hub.example/tester/tiny/blob/stage1%2Fseed-1/results/bench_choice.0shot.json"


@pytest.mark.parametrize(
    "options",
    [
        {"config": "other"},  # two tasks of the same documents
        {"benchmark": EVAL.replace("split: test", "split: train")},
        {"benchmark": EVAL.replace("config: plain, split: test", "split: test")},
        {"benchmark": "- no mapping"},
        {"benchmark": ""},
        {"more": "process_docs: !function filters.first"},  # not all documents
    ],
)
def test_what_eval_yaml_does_not_name_is_not_stated(measure, endpoint, options, workspace):
    (workspace.root / "tasks" / "filters.py").write_text("def first(docs):\n    return docs.select([0])\n")
    own = measure(**options)
    (cell,) = (one for one in read_cells(own.results(own.family().run(seed=1))) if one.task == "bench_choice")
    assert cell.provenance.dataset.benchmark is None
    plan = plan_run(own, own.family(), own.family().run(seed=1), endpoint)
    assert not [path for path in plan.files if path.startswith(".eval_results/")]


def test_reformatted_documents_are_the_benchmarks(measure, workspace):
    (workspace.root / "tasks" / "filters.py").write_text("def same(docs):\n    return docs.map(lambda doc: doc)\n")
    own = measure(more="process_docs: !function filters.same", benchmark=EVAL.replace("inspect-ai", "lm-eval"))
    (cell,) = (one for one in read_cells(own.results(own.family().run(seed=1))) if one.task == "bench_choice")
    assert cell.provenance.dataset.benchmark is not None
    assert cell.provenance.dataset.benchmark.to_data() == {"task_id": "bench", "split": "test", "framework": "lm-eval"}


def test_files_of_others_stay_and_ours_follow_the_cells(measure, endpoint):
    workspace = pushed(measure(), endpoint)
    api, family = HfApi(endpoint.url, endpoint.token), workspace.family()
    theirs = ".eval_results/bench.yaml"
    content = b"- dataset: {id: tester/bench, task_id: bench}\n  value: 99.0\n"
    operations = [CommitOperationAdd(theirs, content), CommitOperationAdd(OWN, content)]
    api.create_commit("tester/tiny", operations, commit_message="theirs", revision="seed-1")
    assert differing(workspace, endpoint) == [("seed-1", OWN)]
    pushed(workspace, endpoint)
    assert entry(endpoint, path=theirs).value == 99
    assert differing(workspace, endpoint) == []
    path = workspace.results(family.run(seed=1)) / "bench_choice.0shot.json"
    data = json.loads(path.read_text())
    del data["mixhub"]["dataset"]["benchmark"]
    path.write_text(json.dumps(data))
    plan = plan_run(workspace, family, family.run(seed=1), endpoint)
    assert {change.path for change in plan.changed if change.action == "delete"} == {OWN}


def test_results_without_their_cell_differ(measure, endpoint):
    workspace = pushed(measure(), endpoint)
    operations = [CommitOperationDelete("results/bench_choice.0shot.json")]
    HfApi(endpoint.url, endpoint.token).create_commit(
        "tester/tiny", operations, commit_message="less", revision="seed-1"
    )
    assert differing(workspace, endpoint) == [("seed-1", OWN)]


def test_main_has_the_results_of_its_model(measure, endpoint):
    workspace = pushed(measure(main=1), endpoint, card=True)
    assert entry(endpoint, "main") == entry(endpoint)
    assert differing(workspace, endpoint) == []
    assert not plan_card(workspace, workspace.family(), endpoint).changed
    changed = CommitOperationAdd(OWN, b"- dataset: {id: tester/bench, task_id: bench}\n  value: 99.0\n")
    HfApi(endpoint.url, endpoint.token).create_commit("tester/tiny", [changed], commit_message="more")
    assert differing(workspace, endpoint) == [("main", OWN)]
    assert OWN in remote_tree(endpoint, "tester/tiny", "main")


def test_a_withdrawn_run_leaves_the_leaderboards_and_stays_away(measure, endpoint, tmp_path):
    workspace = pushed(measure(main=1), endpoint, card=True)
    family, theirs = workspace.family(), ".eval_results/bench.yaml"
    content = b"- dataset: {id: tester/bench, task_id: bench}\n  value: 99.0\n"
    operations = [CommitOperationAdd(theirs, content)]
    HfApi(endpoint.url, endpoint.token).create_commit("tester/tiny", operations, commit_message="x", revision="seed-1")
    with serve(tmp_path / "staging") as running:
        staging = Endpoint(running.url, token=LOCAL_TOKEN, cache_dir=tmp_path / "cache")
        pushed(workspace, staging)
        withdraw(workspace, "wrong data", seed=1, hub=endpoint)
        for branch in ("seed-1", "main"):
            tree = remote_tree(endpoint, "tester/tiny", branch)
            assert OWN not in tree
            assert "results/bench_choice.0shot.json" in tree or branch == "main"
        assert entry(endpoint, path=theirs).value == 99
        assert not plan_run(workspace, family, family.run(seed=1), endpoint).changed
        promotion = Promotion.read(family, staging, endpoint, SILENT)
        (plan,) = plan_branches(promotion, ["seed-1"])
        assert not plan.changed
    assert differing(workspace, endpoint) == []
