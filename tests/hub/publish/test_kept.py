"""What a push leaves as it is: files of others, samples, runs that are not on the hub, cells that do not count."""

from __future__ import annotations

from huggingface_hub import CommitOperationAdd

from mixhub.endpoint import HubChoice
from mixhub.errors import HubError
from mixhub.findings import errors
from mixhub.hub.publish.branch_plans import plan_run
from mixhub.hub.publish.plan import PushOptions
from mixhub.hub.publish.push import push_plan
from mixhub.hub.remote.client import branch_heads, file_content, remote_tree, tags
from mixhub.hub.remote.connect import open_hub
from mixhub.hub.verify.repo import verify
from mixhub.workflow import Options, evaluate, push
from mixhub.workspace.paths import Workspace
from tests.faults import faulty
from tests.made import publish, push_branch
from tests.refusals import codes, faults, refused
from tests.tiny import tiny_workspace_yaml

CELL = "results/tiny_choice.0shot.json"
SAMPLES = "results/tiny_choice.0shot.samples.parquet"


def measure_again(workspace: Workspace, seed: int, **options: int) -> None:
    for path in workspace.results(workspace.family().run(seed=seed)).glob("tiny*"):
        path.unlink()
    evaluate(workspace, seed=seed, options=Options(device="cpu", **options))


def faults_of_main(endpoint, family) -> list[str]:
    return [one.code for one in errors(verify(endpoint, family.repo_id, family).findings) if one.where == "main"]


def test_a_push_deletes_what_pushes_left_and_no_file_of_others(workspace, family, endpoint, api):
    push_branch(workspace, family, family.run(seed=1), endpoint)
    theirs = [".eval_results/gsm8k.yaml", "left/over.bin", "model.gguf", "adapter_model.safetensors", "notes.md"]
    theirs += ["chat_template.jinja", "results/other.json", "onnx/model.onnx", "plots/mine.png"]
    left = ["model-00001-of-00002.safetensors", "model.safetensors.index.json"]
    operations = [CommitOperationAdd(path, b"x") for path in (*theirs, *left)]
    api.create_commit(family.repo_id, operations, commit_message="theirs", revision="seed-1")
    metrics = workspace.run_folder(family.run(seed=1)).metrics
    metrics.write_text(metrics.read_text() + '{"step": 12, "loss": 1.0}\n')
    plan = plan_run(workspace, family, family.run(seed=1), endpoint)
    assert not errors(plan.findings)
    assert {change.path for change in plan.changed if change.action == "delete"} == {*left}
    push_plan(plan, workspace, endpoint)
    tree = remote_tree(endpoint, family.repo_id, "seed-1")
    assert {*theirs} <= {*tree}
    assert not {*left} & {*tree}
    metrics.unlink()
    assert "metrics.jsonl" not in {
        change.path for change in plan_run(workspace, family, family.run(seed=1), endpoint).changed
    }


def test_samples_stay_until_their_figures_change(workspace, family, endpoint):
    run, options = family.run(seed=1), PushOptions(samples=True)
    push_plan(plan_run(workspace, family, run, endpoint, options), workspace, endpoint)
    assert SAMPLES in remote_tree(endpoint, family.repo_id, "seed-1")
    assert not plan_run(workspace, family, run, endpoint).changed
    measure_again(workspace, 1)
    plan = plan_run(workspace, family, run, endpoint)
    assert (SAMPLES, "delete") in {(change.path, change.action) for change in plan.changed}
    assert [(one.code, one.level) for one in plan.findings] == [("samples-stale", "warning")]


def test_cells_that_do_not_count_are_not_published(workspace, family, endpoint):
    push_branch(workspace, family, family.run(seed=1), endpoint)
    measure_again(workspace, 2, limit=1)
    plan = plan_run(workspace, family, family.run(seed=2), endpoint)
    assert [(one.code, one.level) for one in plan.findings] == [("results-unpublished", "warning")]
    assert CELL not in plan.files
    evaluation = {"tasks": [{"name": "arc_easy", "title": "ARC"}], "num_fewshot": [0]}
    workspace.path("mixhub.yaml").write_text(tiny_workspace_yaml(evaluation=evaluation))
    other = Workspace.open(workspace.root)
    plan = plan_run(other, other.family(), other.family().run(seed=1), endpoint)
    assert codes(plan.findings) == ["results-unpublished"]
    assert CELL not in {change.path for change in plan.changed}, "it stays on the branch"


def test_a_push_after_the_history_was_squashed(workspace, family, endpoint, api):
    publish(workspace, endpoint)
    for branch in ("seed-1", "main"):
        api.super_squash_history(family.repo_id, branch=branch)
    workspace.path("revision.md").write_text("## More\n\nMy words\n")
    workspace.path("card.md").write_text("## More\n\nMy words\n")
    head = publish(workspace, endpoint)["seed-1"]
    assert b"My words" in file_content(endpoint, family.repo_id, head, "README.md")
    theirs = b"---\nlicense: mit\n---\n\n# Theirs\n"
    api.upload_file(path_or_fileobj=theirs, path_in_repo="README.md", repo_id=family.repo_id, revision="seed-1")
    api.super_squash_history(family.repo_id, branch="seed-1")
    plan = plan_run(workspace, family, family.run(seed=1), endpoint)
    assert codes(errors(plan.findings)) == ["card-written-on-hub"]


def test_a_push_from_another_machine_after_the_history_was_squashed(workspace, family, endpoint, api):
    """Nothing tells whether the rendered card was changed there, so a push says that it replaces it."""
    publish(workspace, endpoint)
    for branch in ("seed-1", "main"):
        api.super_squash_history(family.repo_id, branch=branch)
    workspace.push_receipts.unlink()
    for name in ("revision.md", "card.md"):
        workspace.path(name).write_text("## More\n\nMy words\n")
    plan = plan_run(workspace, family, family.run(seed=1), endpoint)
    assert ("card-written-on-hub", "warning") in [(one.code, one.level) for one in plan.findings]
    head = publish(workspace, endpoint)["seed-1"]
    assert b"My words" in file_content(endpoint, family.repo_id, head, "README.md")
    assert codes(errors(verify(endpoint, family.repo_id, family).findings)) == ["branch-missing"], "seed-3"


def test_main_covers_what_is_on_the_hub_and_no_more(workspace, family, endpoint):
    """Seeds that are not pushed, and results that were measured since, are for the card of their own push."""
    push(workspace, seed=1, hub=endpoint)
    assert faults_of_main(endpoint, family) == []
    publish(workspace, endpoint)
    measure_again(workspace, 2, limit=1)
    workspace.path("card.md").write_text("## More\n\nMy words\n")
    push(workspace, seed=1, hub=endpoint)
    assert faults_of_main(endpoint, family) == []


def test_branches_that_cannot_be_pushed_do_not_stop_the_others(workspace, family, endpoint):
    with faulty(endpoint.url) as proxy, open_hub(HubChoice(proxy.url, "the test"), workspace) as through:
        fault = proxy.fails("POST", "/commit/seed-1", 403, reason="storage limit reached")
        with refused("push-incomplete", HubError) as caught:
            push(workspace, all=True, hub=through, options=PushOptions(tag="v1"))
        assert faults(caught.value) == [("hub-refused", "seed-1")]
        assert "storage limit reached" in caught.value.message
        assert set(branch_heads(endpoint, family.repo_id)) >= {"main", "seed-2"}
        assert set(tags(endpoint, family.repo_id)) == {"seed-2-v1"}, "main is tagged once all are there"
        assert [one for one in faults_of_main(endpoint, family) if one != "branch-missing"] == []
        fault.times = 0
        results = push(workspace, all=True, hub=through, options=PushOptions(tag="v1"))
        assert [(one.plan.branch, one.sent) for one in results] == [("seed-1", True), ("seed-2", False), ("main", True)]
        assert "v1" in tags(endpoint, family.repo_id)
