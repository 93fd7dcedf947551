"""Pushes, on the embedded hub, by the real client."""

import json
import re
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, hf_hub_download

from mixhub.endpoint import Endpoint, HubChoice
from mixhub.errors import (
    ExportError,
    PushConflictError,
    ResultsError,
    RevisionNotFoundError,
    RunError,
    UsageError,
)
from mixhub.findings import errors
from mixhub.hub.check.run import check_run
from mixhub.hub.publish.branch_plans import plan_card, plan_run
from mixhub.hub.publish.plan import PushOptions
from mixhub.hub.publish.push import push_plan
from mixhub.hub.publish.receipts import pushed_commits, read_receipts
from mixhub.hub.publish.release import run_files
from mixhub.hub.publish.withdraw import withdraw
from mixhub.hub.remote.client import branch_heads, remote_tree
from mixhub.hub.remote.connect import open_hub
from mixhub.hub.remote.files import local_file, require_unchanged, same_content
from mixhub.hubserver import LOCAL_TOKEN, serve
from mixhub.workflow import status
from mixhub.workflow.release.pushes import push_card
from mixhub.workspace.lineage import file_sha256, read_lineage
from tests.adopted import adopted_workspace
from tests.made import publish, push_branch
from tests.refusals import codes, faults, printed_faults, refused


def push(workspace, family, endpoint, seed):
    return push_branch(workspace, family, family.run(seed=seed), endpoint)


def test_each_seed_is_one_commit_on_its_branch_and_the_card_is_on_main(workspace, family, endpoint, api):
    pushed = [push(workspace, family, endpoint, seed) for seed in (1, 2)]
    card = push_card(workspace, family, endpoint)
    first = api.list_repo_commits(family.repo_id)[-1].commit_id
    for seed, push_ in zip((1, 2), pushed, strict=True):
        history = api.list_repo_commits(family.repo_id, revision=f"seed-{seed}")
        assert [commit.commit_id for commit in history] == [push_.commit, first]
        export = workspace.export(family.run(seed=seed), family.training.steps)
        tree = remote_tree(endpoint, family.repo_id, f"seed-{seed}")
        assert tree["model.safetensors"].sha256 == file_sha256(export / "model.safetensors")
        on_disk = {path.relative_to(export).as_posix() for path in export.rglob("*") if path.is_file()}
        assert set(tree) == on_disk | {"README.md", ".gitattributes", "metrics.jsonl", "results/tiny_choice.0shot.json"}
    main = ModelCard.load(
        hf_hub_download(family.repo_id, "README.md", endpoint=endpoint.url, cache_dir=workspace.cache)
    )
    assert all(push_.commit[:7] in main.text for push_ in pushed), "the card on main names the commits of the branches"
    assert [commit.commit_id for commit in api.list_repo_commits(family.repo_id)] == [card.commit, first]


def test_a_second_push_sends_nothing(workspace, family, endpoint, api):
    before = [push(workspace, family, endpoint, 1), push_card(workspace, family, endpoint)]
    again = [push(workspace, family, endpoint, 1), push_card(workspace, family, endpoint)]
    assert [push.commit for push in again] == [push.commit for push in before]
    assert not any(push.sent for push in again)
    assert len(api.list_repo_commits(family.repo_id, revision="seed-1")) == 2


def test_a_branch_that_moved_meanwhile_is_a_conflict_and_stays_as_it_is(workspace, family, endpoint, api):
    push(workspace, family, endpoint, 1)
    with workspace.run_folder(family.run(seed=1)).metrics.open("a") as metrics:
        metrics.write('{"step": 12, "loss": 1.0}\n')
    plan = plan_run(workspace, family, family.run(seed=1), endpoint)
    theirs = api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=family.repo_id, revision="seed-1").oid
    with refused("push-conflict", PushConflictError, repo_id="tester/tiny", revision="seed-1", status=412):
        push_plan(plan, workspace, endpoint)
    assert api.repo_info(family.repo_id, revision="seed-1").sha == theirs


def test_a_file_that_changes_while_it_is_pushed_stops_the_push(workspace, family, endpoint, api):
    plan = plan_run(workspace, family, family.run(seed=1), endpoint)
    weights = workspace.export(family.run(seed=1), 12) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    with refused("export-changed", ExportError, path=weights):
        push_plan(plan, workspace, endpoint)
    assert not api.repo_exists(family.repo_id)
    config = workspace.export(family.run(seed=2), 12) / "config.json"
    plan = plan_run(workspace, family, family.run(seed=2), endpoint)
    config.write_text(config.read_text().replace("320", "321"))
    with refused("export-changed", ExportError, path=config):
        push_plan(plan, workspace, endpoint)


def test_a_card_that_was_changed_on_the_hub_is_not_replaced(workspace, family, endpoint, api, mixhub_here):
    push(workspace, family, endpoint, 1)
    push_card(workspace, family, endpoint)
    api.upload_file(path_or_fileobj=b"x", path_in_repo="notes.txt", repo_id=family.repo_id)
    workspace.path("card.md").write_text("## More\n\nWords.\n")
    push_card(workspace, family, endpoint)  # another file is no matter
    api.upload_file(
        path_or_fileobj=b"---\nlicense: mit\n---\n\n# Theirs\n", path_in_repo="README.md", repo_id=family.repo_id
    )
    heads = branch_heads(endpoint, family.repo_id)
    for arguments in (("push", "--seed", 2), ("push", "--seed", 2, "--dry-run")):
        done = mixhub_here(*arguments, cwd=workspace.root)
        assert printed_faults(done) == [("card-written-on-hub", "main")]
        assert "'Upload README.md with" in done.stderr
        assert branch_heads(endpoint, family.repo_id) == heads, "no seed went either"
    assert mixhub_here("push", "--seed", 2, "--force", cwd=workspace.root).returncode == 0
    assert same_content(local_file(workspace.card(family)), remote_tree(endpoint, family.repo_id, "main")["README.md"])
    theirs = b"---\nlicense: mit\n---\n\n# Theirs\n"
    api.upload_file(path_or_fileobj=theirs, path_in_repo="README.md", repo_id=family.repo_id, revision="seed-1")
    assert printed_faults(mixhub_here("push", "--all", cwd=workspace.root)) == [("card-written-on-hub", "seed-1")]


def test_a_config_that_was_changed_on_the_hub_is_replaced_with_a_warning(workspace, family, endpoint, api):
    publish(workspace, endpoint)
    assert codes(plan_run(workspace, family, family.run(seed=1), endpoint).findings) == []
    theirs = (workspace.export(family.run(seed=1), 12) / "config.json").read_bytes() + b"\n"
    api.upload_file(path_or_fileobj=theirs, path_in_repo="config.json", repo_id=family.repo_id, revision="seed-1")
    [warning] = plan_run(workspace, family, family.run(seed=1), endpoint).findings
    assert (warning.code, warning.level, warning.where) == ("model-changed-on-hub", "warning", "seed-1")
    assert "config.json" in warning.message
    push(workspace, family, endpoint, 1)
    assert codes(plan_run(workspace, family, family.run(seed=1), endpoint).findings) == []


def test_a_card_that_was_changed_on_the_hub_and_then_withdrawn_is_not_replaced(workspace, family, endpoint, api):
    publish(workspace, endpoint)
    theirs = b"---\nlicense: mit\n---\n\n# Theirs\n"
    api.upload_file(path_or_fileobj=theirs, path_in_repo="README.md", repo_id=family.repo_id, revision="seed-1")
    withdraw(workspace, family, endpoint, "seed-1", "a reason")
    withdraw(workspace, family, endpoint, "seed-2", "a reason")
    api.upload_file(path_or_fileobj=b"x", path_in_repo="n.txt", repo_id=family.repo_id, revision="seed-2")
    first, second = (errors(plan_run(workspace, family, family.run(seed=n), endpoint).findings) for n in (1, 2))
    assert codes([first[0]]) == ["card-written-on-hub"]
    assert "'Upload README.md" in first[0].message
    assert not second, "a mark is mixhub's own, and another file is no card"


def test_results_that_only_the_branch_has_do_not_go_unasked(workspace, family, endpoint):
    run = family.run(seed=1)
    publish(workspace, endpoint)
    lost = sorted(workspace.results(run).glob("*.json"))[0]
    lost.unlink()
    (found,) = errors(plan_run(workspace, family, run, endpoint).findings)
    assert found.code == "results-lost"
    assert f"results/{lost.name} " in found.message
    assert "mixhub evaluate --seed 1" in found.hint
    plan = plan_run(workspace, family, run, endpoint, PushOptions(force=True))
    assert not errors(plan.findings)
    assert ("delete", f"results/{lost.name}") in [(one.action, one.path) for one in plan.changed]


@pytest.mark.parametrize("body", ["", "\n# Somebody's words\n"], ids=["metadata alone", "words"])
def test_a_repo_that_was_made_with_a_card(workspace, family, endpoint, api, body):
    """A hub's page for new repos writes a card that holds the licence alone into the first commit."""
    api.create_repo(family.repo_id)
    card = f"---\nlicense: mit\n---\n{body}".encode()
    api.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=family.repo_id, commit_message="first")
    api.super_squash_history(family.repo_id, commit_message="initial commit")
    push(workspace, family, endpoint, 1) if not body else None
    seed = plan_run(workspace, family, family.run(seed=1), endpoint)
    assert not seed.findings, "nobody wrote the first commit's card for a new branch"
    assert bool(plan_card(workspace, family, endpoint).findings) == bool(body)


def test_weights_that_the_hub_has_on_another_branch_are_refused(tmp_path, mixhub_here):
    """Seeds come from several machines, so the other run is on the hub alone."""
    with serve(tmp_path / "hub") as hub:
        first = adopted_workspace(tmp_path / "a", seeds=[1, 2])
        assert mixhub_here("push", "--seed", 1, "--hub", hub.url, cwd=first.root).returncode == 0
        second = adopted_workspace(tmp_path / "b", seeds=[1, 2])
        shutil.rmtree(second.run_folder(second.family().run(seed=1)).path)
        arguments = ("adopt", tmp_path / "a" / "source-1", "--seed", 2, "--replace")
        assert mixhub_here(*arguments, cwd=second.root).returncode == 0
        done = mixhub_here("push", "--seed", 2, "--hub", hub.url, cwd=second.root)
        assert printed_faults(done) == [("weights-repeated", "seed-2")]
        assert f"seed-1 on {hub.url}" in done.stderr
        assert "seed-2" not in branch_heads(Endpoint(hub.url, token=LOCAL_TOKEN), "tester/tiny")
        assert mixhub_here("push", "--seed", 2, "--hub", hub.url, cwd=first.root).returncode == 0


def test_hashes_hold_for_the_files_that_were_checked(workspace, family, endpoint):
    run = family.run(seed=1)
    checked = check_run(workspace, family, run)
    config = workspace.export(run, 12) / "config.json"
    config.write_text(config.read_text() + "\n")
    files = run_files(workspace, family, checked, endpoint)
    with refused("export-changed", ExportError, path=config):
        require_unchanged(files)


def test_a_push_between_is_not_lost_from_the_card_of_main(workspace, family, endpoint):
    first = push(workspace, family, endpoint, 1)
    stale = plan_card(workspace, family, endpoint)
    second = push(workspace, family, endpoint, 2)
    push_card(workspace, family, endpoint)
    with pytest.raises(PushConflictError):
        push_plan(stale, workspace, endpoint)
    push_card(workspace, family, endpoint)
    main = hf_hub_download(family.repo_id, "README.md", endpoint=endpoint.url, cache_dir=workspace.cache)
    assert all(pushed.commit in Path(main).read_text() for pushed in (first, second))


def test_what_nobody_meant_to_publish_is_not_published(workspace, family, endpoint, api):
    (workspace.export(family.run(seed=1), family.training.steps) / ".env").write_text("TOKEN=secret")
    with refused("release-unsound", ExportError) as caught:
        push(workspace, family, endpoint, 1)
    assert faults(caught.value) == [("file-foreign", "seed-1")]
    assert ".env" in caught.value.message
    assert not api.repo_exists(family.repo_id)


def test_a_broken_result_of_another_seed_stops_a_push_before_it_sends(workspace, family, endpoint, api):
    (workspace.results(family.run(seed=2)) / "tiny_choice.0shot.json").write_text("{")
    with refused("file-malformed", ResultsError):
        push(workspace, family, endpoint, 1)
    assert not api.repo_exists(family.repo_id)


def test_receipts_of_a_local_hub_that_is_gone_do_not_count(workspace, family):
    with open_hub(HubChoice("local", "the test"), workspace) as endpoint:
        commit = push(workspace, family, endpoint, 1).commit
    assert dict(status(workspace, family=family)[0].pushed) == {"local": commit}
    shutil.rmtree(workspace.hub)
    assert dict(status(workspace, family=family)[0].pushed) == {}


def test_a_dry_plan_touches_nothing(workspace, family, endpoint, api):
    plan = plan_run(workspace, family, family.run(seed=1), endpoint)
    assert {change.action for change in plan.changes} == {"add"}
    assert plan.bytes_to_send == sum(file.size for file in plan.files.values())
    assert not api.repo_exists(family.repo_id)
    assert not workspace.push_receipts.exists()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "lineage.json"])
def test_an_export_that_misses_a_file_is_refused(workspace, family, endpoint, api, name):
    (workspace.export(family.run(seed=1), family.training.steps) / name).unlink()
    with refused("release-unsound", ExportError) as caught:
        push(workspace, family, endpoint, 1)
    assert all(where == "seed-1" for _, where in faults(caught.value))
    assert name in caught.value.message
    assert not api.repo_exists(family.repo_id)


def test_results_of_other_weights_are_refused(workspace, family, endpoint, api):
    cell = workspace.results(family.run(seed=1)) / "tiny_choice.0shot.json"
    content = json.loads(cell.read_text())
    content["mixhub"]["weights_sha256"] = "0" * 64
    cell.write_text(json.dumps(content))
    with refused("release-unsound", ExportError) as caught:
        push(workspace, family, endpoint, 1)
    assert faults(caught.value) == [("results-foreign", "seed-1")]
    assert "tiny_choice.0shot" in caught.value.message
    assert not api.repo_exists(family.repo_id)


def test_a_run_without_export_is_refused(workspace, family, endpoint):
    with refused("export-missing", RunError, path=workspace.run_folder(family.run(seed=3)).exports):
        push(workspace, family, endpoint, 3)


def test_the_receipt_names_commit_and_weights(workspace, family, endpoint):
    pushed = push(workspace, family, endpoint, 2)
    weights = read_lineage(workspace.export(family.run(seed=2), family.training.steps)).weights_sha256
    receipt = read_receipts(workspace, endpoint.store_id, family.repo_id)["seed-2"]
    assert (receipt.commit, receipt.weights_sha256) == (pushed.commit, weights)
    assert endpoint.token not in workspace.push_receipts.read_text()


def test_status_needs_no_hub(workspace, family, endpoint):
    commit = push(workspace, family, endpoint, 1).commit
    one, two, three = status(workspace, family=family)
    assert (one.step, one.cells, one.cells_expected, dict(one.pushed)) == (12, 1, 1, {"local": commit})
    assert (two.step, two.cells, dict(two.pushed)) == (12, 1, {})
    assert (three.step, three.weights_sha256, three.cells) == (None, None, 0)


def test_status_counts_only_cells_of_the_export(workspace, family):
    cell = workspace.results(family.run(seed=1)) / "tiny_choice.0shot.json"
    content = json.loads(cell.read_text())
    content["mixhub"]["weights_sha256"] = "0" * 64
    cell.write_text(json.dumps(content))
    assert status(workspace, family=family)[0].cells == 0


def test_weights_that_are_not_those_of_the_lineage_are_refused(workspace, family, endpoint, api):
    exports = [workspace.export(family.run(seed=seed), family.training.steps) for seed in (1, 2)]
    (exports[0] / "model.safetensors").write_bytes((exports[1] / "model.safetensors").read_bytes())
    with refused("release-unsound", ExportError) as caught:
        push(workspace, family, endpoint, 1)
    assert ("weights-differ", "seed-1") in faults(caught.value)
    assert not api.repo_exists(family.repo_id)


def test_main_does_not_name_a_commit_of_other_weights(workspace, family, endpoint):
    commits = publish(workspace, endpoint)
    lineage = workspace.export(family.run(seed=1), family.training.steps) / "lineage.json"
    lineage.write_text(re.sub(r'"weights_sha256": "\w+"', f'"weights_sha256": "{"0" * 64}"', lineage.read_text()))
    assert pushed_commits(workspace, endpoint.store_id, family) == {"seed-2": commits["seed-2"]}


def test_the_card_of_main_does_not_touch_other_files_there(workspace, family, endpoint, api):
    api.create_repo(family.repo_id)
    push_card(workspace, family, endpoint)
    stale = (workspace.card(family).parent / "plots" / "scores.png").read_bytes()
    api.delete_repo(family.repo_id)
    api.create_repo(family.repo_id)
    for path in ("notes.txt", "plots/mine.png", "plots/difference-mine.png"):
        api.upload_file(path_or_fileobj=b"x", path_in_repo=path, repo_id=family.repo_id)
    api.upload_file(path_or_fileobj=stale, path_in_repo="plots/difference-old.png", repo_id=family.repo_id)
    changed = {change.path: change.action for change in plan_card(workspace, family, endpoint).changed}
    plots = {path for path in changed if path.startswith("plots/")}
    assert "plots/mixture.png" in plots
    assert changed == {"README.md": "add", **dict.fromkeys(plots, "add"), "plots/difference-old.png": "delete"}
    push_card(workspace, family, endpoint)
    there = {".gitattributes", "README.md", "notes.txt", "plots/mine.png", "plots/difference-mine.png", *plots} - {
        "plots/difference-old.png"
    }
    assert set(remote_tree(endpoint, family.repo_id, "main")) == there


def test_what_main_shows_is_what_lies_in_the_workspace(workspace, family, endpoint):
    publish(workspace, endpoint)
    folder = workspace.card(family).parent
    tree = remote_tree(endpoint, family.repo_id, "main")
    for path in ("README.md", "plots/scores.png", "plots/losses.svg"):
        assert same_content(local_file(folder / path), tree[path]), path


def test_a_card_that_was_edited_by_hand_stops_a_push(workspace, family, endpoint):
    push(workspace, family, endpoint, 1)
    push_card(workspace, family, endpoint)
    card = workspace.card(family)
    card.write_text(card.read_text() + "Mine.\n")
    with refused("card-edited", UsageError):
        push(workspace, family, endpoint, 2)
    with pytest.raises(RevisionNotFoundError):
        remote_tree(endpoint, family.repo_id, "seed-2")
