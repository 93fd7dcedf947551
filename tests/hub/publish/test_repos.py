"""A repo for each run, `main` as the branch of a run or with merged weights, and seeds that are words."""

import json
import shutil

from huggingface_hub import CommitOperationAdd, HfApi

from mixhub.errors import ExportError, UnknownNameError
from mixhub.findings import errors
from mixhub.hub.publish.branch_plans import plan_run
from mixhub.hub.publish.compare import compare_with_hub
from mixhub.hub.publish.push import push_plan
from mixhub.hub.remote.client import branch_heads, remote_tree, tags
from mixhub.workflow import PushOptions, TrainOptions, check, plan_push, push, train, withdraw
from mixhub.workspace.lineage import read_lineage
from tests.adopted import save_model
from tests.hub.publish.test_names import REPOS, card, exported, places, renamed, weights
from tests.made import copied
from tests.refusals import codes, faults, refused


def test_weights_are_compared_across_the_repos_of_a_family(workspace, endpoint, tmp_path):
    workspace = renamed(workspace, REPOS, {"seeds": "1-3", "branch": "main"})
    push(workspace, seed=1, hub=endpoint)
    one, two, _ = workspace.family().runs()
    export = workspace.run_folder(two).export(12)
    wrong = copied(workspace.root, tmp_path / "other")
    shutil.copy(workspace.run_folder(one).export(12) / "model.safetensors", export / "model.safetensors")
    lineage = json.loads((export / "lineage.json").read_text())
    lineage["weights_sha256"] = exported(workspace, one)
    (export / "lineage.json").write_text(json.dumps(lineage))
    shutil.rmtree(workspace.run_folder(one).path)
    shutil.rmtree(workspace.results(two))
    plan = plan_run(workspace, workspace.family(), two, endpoint)
    [found] = compare_with_hub([plan], wrong, workspace.family(), endpoint)
    assert ("weights-repeated", "tester/tiny-seed2@main", "tester/tiny-seed1@main") in [
        (finding.code, finding.where, finding.about) for finding in errors(found.findings)
    ]
    with refused("release-unsound", ExportError) as caught:
        push(workspace, seed=2, hub=endpoint)
    assert ("weights-repeated", "tester/tiny-seed2@main") in faults(caught.value)
    assert not HfApi(endpoint=endpoint.url, token=endpoint.token).repo_exists("tester/tiny-seed2")


def test_optimizer_states_and_tags_of_named_branches(workspace, endpoint):
    workspace = renamed(workspace, REPOS, {"seeds": "1-3", "branch": "main", "step_pattern": "step{step}"})
    options = PushOptions(tag="v1", private=True)
    pushed = push(workspace, all=True, checkpoints=True, with_optimizer=True, hub=endpoint, options=options)
    each = ("step10", "main", "main-optimizer")
    assert places(pushed) == [f"tester/tiny-seed{seed}@{branch}" for seed in (1, 2) for branch in each]
    api = HfApi(endpoint=endpoint.url, token=endpoint.token)
    for seed in (1, 2):
        assert api.model_info(f"tester/tiny-seed{seed}").private
        heads = branch_heads(endpoint, f"tester/tiny-seed{seed}")
        assert tags(endpoint, f"tester/tiny-seed{seed}") == {"v1": heads["main"], "step10-v1": heads["step10"]}
    assert "`main`" in card(endpoint, "tester/tiny-seed1", "main-optimizer")


def test_a_plan_names_repos_and_their_cards(workspace, endpoint):
    workspace = renamed(workspace, REPOS, {"seeds": "1-3"})
    with plan_push(workspace, all=True, hub=endpoint) as plan:
        data = plan.to_data()
    assert [(one["repo_id"], one["branch"]) for one in data["branches"]] == [
        ("tester/tiny-seed1", "seed-1"),
        ("tester/tiny-seed2", "seed-2"),
    ]
    assert [(one["repo_id"], one["branch"]) for one in data["mains"]] == [
        ("tester/tiny-seed1", "main"),
        ("tester/tiny-seed2", "main"),
    ]
    assert (data["main"], data["main_follows"]) == (None, True)


def test_merged_weights_on_main_stay(workspace, endpoint):
    workspace = renamed(workspace, "tester/tiny", {"seeds": "1-3", "main_is_merged": True})
    push(workspace, all=True, hub=endpoint)
    export = workspace.run_folder(workspace.family().run(seed=1)).export(12)
    merged = {name: (export / name).read_bytes() for name in ("config.json", "lineage.json", "tokenizer.json")}
    merged |= {"model.safetensors": save_model(workspace.path("merged"), 7).joinpath("model.safetensors").read_bytes()}
    added = [CommitOperationAdd(path, content) for path, content in merged.items()]
    HfApi(endpoint=endpoint.url, token=endpoint.token).create_commit("tester/tiny", added, commit_message="soup")
    before = weights(endpoint, "tester/tiny@main")
    push(workspace, all=True, hub=endpoint, options=PushOptions(force=True))
    assert {*merged} <= {*remote_tree(endpoint, "tester/tiny", "main")}
    assert weights(endpoint, "tester/tiny@main") == before is not None
    withdraw(workspace, "bad", seed=2, hub=endpoint)
    assert weights(endpoint, "tester/tiny@main") == before
    assert "bad" in card(endpoint, "tester/tiny", "main").split("## Errata")[1]


def test_a_failed_repo_leaves_the_others(workspace, endpoint):
    workspace = renamed(workspace, REPOS, {"seeds": "1-3", "branch": "main"})
    family = workspace.family()
    one, two, _ = family.runs()
    push_plan(plan_run(workspace, family, two, endpoint), workspace, endpoint)
    api = HfApi(endpoint=endpoint.url, token=endpoint.token)
    with plan_push(workspace, all=True, hub=endpoint) as plan:
        api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=two.repo_id)  # meanwhile
        with refused("push-incomplete") as caught:
            plan.send()
    assert faults(caught.value) == [("push-conflict", "tester/tiny-seed2@main")]
    assert weights(endpoint, f"{one.repo_id}@main") == exported(workspace, one)


def test_seeds_that_are_words_are_trained_with_chosen_seeds(workspace, endpoint):
    seeds = {"seeds": ["default", "small-aux"]}
    workspace = renamed(workspace, "tester/tiny", seeds)
    with refused("seed-unpublished"):
        train(workspace, seed="default", options=TrainOptions(device="cpu"))
    with refused("unknown-seed", UnknownNameError):
        train(workspace, seed=1, options=TrainOptions(device="cpu"))
    workspace = renamed(workspace, "tester/tiny", {**seeds, "chosen_seeds": {"default": 5, "small-aux": 6}})
    trained = train(workspace, seed="small-aux", options=TrainOptions(device="cpu"))
    lineage = read_lineage(trained.export)
    assert (lineage.revision, lineage.number, lineage.init_seed) == ("seed-small-aux", "small-aux", 6)
    assert codes(check(workspace, seed="small-aux")[0].findings) == []
    assert places(push(workspace, seed="small-aux", hub=endpoint)) == ["tester/tiny@seed-small-aux", "tester/tiny@main"]


def test_branches_with_slashes_and_dots(workspace, endpoint):
    workspace = renamed(
        workspace, "tester/tiny", {"seeds": "1-3", "branch": "v1.0/seed.{seed}", "step_pattern": "steps/{seed}/{step}"}
    )
    pushed = push(workspace, seed=1, checkpoints=True, hub=endpoint)
    assert places(pushed) == ["tester/tiny@steps/1/10", "tester/tiny@v1.0/seed.1", "tester/tiny@main"]
    assert not any(one.sent for one in push(workspace, seed=1, checkpoints=True, hub=endpoint))
