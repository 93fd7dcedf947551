"""Several workspaces and several hubs hold one family: none loses what another said."""

import json
import re
import shutil
from pathlib import Path

import pytest
from huggingface_hub import HfApi

import mixhub
from mixhub.card.facts.withdrawal import withdrawals
from mixhub.endpoint import Endpoint
from mixhub.errors import ExportError, HubError, PushConflictError
from mixhub.hub.publish.branch_plans import plan_card, plan_run
from mixhub.hub.publish.plan import PushOptions
from mixhub.hub.publish.push import push_plan
from mixhub.hub.publish.receipts import local_weights
from mixhub.hub.remote.client import branch_heads, file_content, tags
from mixhub.hub.verify.repo import verify
from mixhub.hubserver import LOCAL_TOKEN, serve
from mixhub.workspace.paths import Workspace
from tests.adopted import adopted_workspace
from tests.hub.bench import SHARDS, Bench
from tests.made import copied, publish
from tests.refusals import codes, error_codes, printed_faults, refused

THEIRS = b"---\nlicense: mit\n---\n\n# Theirs\n"


@pytest.fixture
def public(tmp_path):
    """A second hub."""
    with serve(tmp_path / "public") as running:
        yield Endpoint(running.url, token=LOCAL_TOKEN, cache_dir=tmp_path / "public-cache")


def card_of(endpoint, family, branch: str) -> str:
    commit = branch_heads(endpoint, family.repo_id)[branch]
    return file_content(endpoint, family.repo_id, commit, "README.md").decode()


def alone(workspace: Workspace, seed: int, folder: Path) -> Workspace:
    """The workspace of a machine that has one of the seeds."""
    own = copied(workspace.root, folder)
    for run in own.family().runs():
        if run.label != seed:
            shutil.rmtree(own.run_folder(run).path, ignore_errors=True)
            shutil.rmtree(own.results(run), ignore_errors=True)
    shutil.rmtree(own.path("cards"), ignore_errors=True)
    shutil.rmtree(own.path("receipts"), ignore_errors=True)
    shutil.rmtree(own.path("hub"), ignore_errors=True)
    return own


def test_the_card_of_main_tells_of_seeds_that_other_machines_pushed(workspace, family, public, tmp_path, mixhub_here):
    one, two = alone(workspace, 1, tmp_path / "one"), alone(workspace, 2, tmp_path / "two")
    for place, seed in ((one, 1), (two, 2)):
        done = mixhub_here("push", "--seed", seed, "--hub", public.url, cwd=place.root)
        assert done.returncode == 0, done.stderr
    both = alone(workspace, 0, tmp_path / "both")
    for run in family.runs()[:2]:
        shutil.copytree(workspace.run_folder(run).path, both.run_folder(run).path)
        shutil.copytree(workspace.results(run), both.results(run))
    main = card_of(public, family, "main")
    heads = branch_heads(public, family.repo_id)
    assert heads["seed-1"] in main
    assert heads["seed-2"] in main
    assert not plan_card(two, family, public).changed
    found = [finding for finding in verify(public, family.repo_id, family).findings if finding.where != "seed-3"]
    assert found == []
    again = mixhub_here("push", "--all", "--hub", public.url, cwd=both.root)
    assert again.stdout.count("nothing to send") == 3, "one machine with both seeds would have pushed the same"


def test_a_seed_on_the_hub_that_was_trained_otherwise_stops_the_card(workspace, family, public, tmp_path, mixhub_here):
    one, two = alone(workspace, 1, tmp_path / "one"), alone(workspace, 2, tmp_path / "two")
    assert mixhub_here("push", "--seed", 1, "--hub", public.url, cwd=one.root).returncode == 0
    config = two.path("mixhub.yaml")
    config.write_text(config.read_text().replace("warmup_steps: 2", "warmup_steps: 3"))
    train_config = two.export(family.run(seed=2), 12) / "train_config.yaml"
    assert "warmup_steps: 2" in train_config.read_text()
    done = mixhub_here("push", "--seed", 2, "--hub", public.url, cwd=two.root)
    assert done.returncode == 2
    assert "seed-2" not in branch_heads(public, family.repo_id)


def test_what_another_withdrew_stays_withdrawn(workspace, family, endpoint, public, tmp_path, mixhub_here):
    first, second = (copied(workspace.root, tmp_path / name) for name in ("first", "second"))
    for place in (first, second):
        for seed in (1, 2):
            done = mixhub_here("push", "--seed", seed, "--hub", public.url, cwd=place.root)
            assert done.returncode == 0, done.stderr
    assert (
        mixhub_here("withdraw", "--seed", 2, "--why", "a [bad] mix", "--hub", public.url, cwd=first.root).returncode
        == 0
    )
    heads = branch_heads(public, family.repo_id)
    done = mixhub_here("push", "--seed", 2, "--hub", public.url, cwd=second.root)
    assert done.returncode == 0, done.stderr
    assert "was withdrawn on" in done.stdout
    assert branch_heads(public, family.repo_id) == heads, "it is all there"
    assert [one.why for one in withdrawals(second, family)] == ["a [bad] mix"]
    other = mixhub_here("push", "--seed", 1, "--hub", public.url, cwd=second.root)
    assert other.returncode == 0, other.stderr
    assert "a \\[bad\\] mix" in card_of(public, family, "main")
    with pytest.warns(UserWarning, match="was withdrawn"):
        mixhub.load("tiny", seed=2, hub=public.url, token=LOCAL_TOKEN, workspace=second.root)


def test_a_promotion_does_not_take_a_withdrawal_back(workspace, family, endpoint, public, mixhub_here):
    publish(workspace, endpoint)
    promote = ("promote", "--from", "local", "--hub", public.url, "--all")
    assert mixhub_here(*promote, cwd=workspace.root).returncode == 0
    assert mixhub_here("withdraw", "--seed", 2, "--why", "bad", "--hub", public.url, cwd=workspace.root).returncode == 0
    heads = branch_heads(public, family.repo_id)
    again = mixhub_here(*promote, cwd=workspace.root)
    assert again.returncode == 0, again.stderr
    assert branch_heads(public, family.repo_id)["seed-2"] == heads["seed-2"]
    assert "> **Withdrawn on" in card_of(public, family, "seed-2")
    main = card_of(public, family, "main")
    assert "was withdrawn on" in main
    assert heads["seed-2"] in main
    [found] = [finding for finding in verify(public, family.repo_id, family).findings if finding.where != "seed-3"]
    assert (found.level, found.code, found.where) == ("warning", "weights-withdrawn", "seed-2")


def test_a_changed_card_of_main_stops_a_promotion_before_it_begins(workspace, family, endpoint, public, mixhub_here):
    publish(workspace, endpoint)
    there = HfApi(endpoint=public.url, token=LOCAL_TOKEN)
    there.create_repo(family.repo_id)
    there.upload_file(path_or_fileobj=THEIRS, path_in_repo="README.md", repo_id=family.repo_id)
    done = mixhub_here("promote", "--from", "local", "--hub", public.url, "--all", cwd=workspace.root)
    assert printed_faults(done) == [("card-written-on-hub", "main")]
    assert list(branch_heads(public, family.repo_id)) == ["main"]


def test_tags_of_seeds_that_are_pushed_one_by_one(workspace, family, endpoint, mixhub_here):
    """NAME on `main` is that of a release, so only a push of all sets it, and one that would move stops it all."""
    for seed in (1, 2):
        done = mixhub_here("push", "--seed", seed, "--tag", "v1", cwd=workspace.root)
        assert done.returncode == 0, done.stderr
        assert f"tagged: seed-{seed}-v1\n" in done.stdout
    assert set(tags(endpoint, family.repo_id)) == {"seed-1-v1", "seed-2-v1"}
    api = HfApi(endpoint=endpoint.url, token=endpoint.token)
    api.create_tag(family.repo_id, tag="v2", revision="main")
    metrics = workspace.run_folder(family.run(seed=1)).metrics
    metrics.write_text(metrics.read_text() + '{"step": 12, "loss": 1.0, "tokens": 1536}\n')
    heads = branch_heads(endpoint, family.repo_id)
    done = mixhub_here("push", "--all", "--tag", "v2", cwd=workspace.root)
    assert printed_faults(done) == [("tag-taken", "main")]
    assert branch_heads(endpoint, family.repo_id) == heads


def test_a_branch_that_moves_while_nothing_is_to_be_sent(workspace, family, endpoint, api):
    publish(workspace, endpoint)
    plan = plan_run(workspace, family, family.run(seed=1), endpoint)
    assert not plan.changed
    api.upload_file(path_or_fileobj=b"x", path_in_repo="config.json", repo_id=family.repo_id, revision="seed-1")
    with refused("push-conflict", PushConflictError, revision="seed-1"):
        push_plan(plan, workspace, endpoint)


def test_a_repo_that_another_makes_public_meanwhile(workspace, family, endpoint, api):
    plan = plan_run(workspace, family, family.run(seed=1), endpoint, PushOptions(private=True))
    api.create_repo(family.repo_id)
    with refused("repo-public", HubError, repo_id=family.repo_id):
        push_plan(plan, workspace, endpoint)
    assert list(branch_heads(endpoint, family.repo_id)) == ["main"]


def test_an_export_that_is_gone_when_it_is_sent(workspace, family, endpoint):
    plan = plan_run(workspace, family, family.run(seed=1), endpoint)
    shutil.rmtree(workspace.export(family.run(seed=1), 12))
    with refused("file-unreadable", ExportError):
        push_plan(plan, workspace, endpoint)


def test_the_card_names_commits_that_the_hub_has(workspace, family, endpoint, api, mixhub_here):
    publish(workspace, endpoint)
    api.delete_repo(family.repo_id)
    assert mixhub_here("push", "--seed", 2, cwd=workspace.root).returncode == 0
    main = card_of(endpoint, family, "main")
    named = set(re.findall(r"`([0-9a-f]{40})`", main))
    assert named == {branch_heads(endpoint, family.repo_id)["seed-2"]}


def test_a_title_that_begins_like_ours_is_not_ours(workspace, family, endpoint, api):
    publish(workspace, endpoint)
    api.upload_file(
        path_or_fileobj=THEIRS, path_in_repo="README.md", repo_id=family.repo_id, commit_message="Publish notes"
    )
    assert codes(plan_card(workspace, family, endpoint).findings) == ["card-written-on-hub"]


def test_an_earlier_step_alone_makes_no_branch_stale(tmp_path):
    workspace = adopted_workspace(tmp_path, seeds=[1])
    family = workspace.family()
    folder = workspace.run_folder(family.run(seed=1))
    assert set(local_weights(workspace, family)) == {"seed-1"}
    folder.export(12).rename(folder.export(6))
    assert local_weights(workspace, family) == {}


@pytest.mark.parametrize("spoil", ["template", "card"])
def test_a_withdrawal_where_the_card_cannot_be_rendered(workspace, family, endpoint, mixhub_here, spoil):
    publish(workspace, endpoint)
    if spoil == "template":
        workspace.path("card.md.j2").write_text("{% nonsense %}")
    else:
        workspace.card(family).write_text("edited by hand")
    was = branch_heads(endpoint, family.repo_id)["seed-1"]
    for _ in range(2):
        done = mixhub_here("withdraw", "--seed", 1, "--why", "bad", cwd=workspace.root)
        assert done.returncode == 0, done.stderr
        assert "could not be rendered" in done.stdout
        assert tags(endpoint, family.repo_id) == {"seed-1-withdrawn": was}
    main = card_of(endpoint, family, "main")
    assert main.count("was withdrawn on") == 1
    assert branch_heads(endpoint, family.repo_id)["seed-1"] in main
    found = [finding for finding in verify(endpoint, family.repo_id, family).findings if finding.level == "error"]
    assert {finding.where for finding in found} == {"seed-3"}


def test_a_withdrawal_that_another_made_keeps_its_reason(workspace, family, public, tmp_path, mixhub_here):
    first, second = (copied(workspace.root, tmp_path / name) for name in ("first", "second"))
    assert mixhub_here("push", "--seed", 1, "--hub", public.url, cwd=first.root).returncode == 0
    withdraw = ("withdraw", "--seed", 1, "--hub", public.url)
    assert mixhub_here(*withdraw, "--why", "one", cwd=first.root).returncode == 0
    assert error_codes(mixhub_here(*withdraw, "--why", "two", cwd=second.root)) == ["withdrawal-noted"]
    assert mixhub_here(*withdraw, "--why", "one", cwd=second.root).returncode == 0


def test_weights_that_another_machine_pushed_as_an_earlier_step(workspace, family, public, tmp_path, mixhub_here):
    """Of another run; the run's own last step may have a second name."""
    one, two = alone(workspace, 1, tmp_path / "one"), alone(workspace, 2, tmp_path / "two")
    seed_1 = one.export(family.run(seed=1), 12)
    lineage = shutil.copytree(seed_1, seed_1.with_name("step-000005")) / "lineage.json"
    lineage.write_text(
        lineage.read_text().replace('"step": 12', '"step": 5').replace('"tokens": 1536', '"tokens": 640')
    )
    shutil.rmtree(seed_1)
    shutil.rmtree(one.results(family.run(seed=1)))
    done = mixhub_here("push", "--seed", 1, "--step", 5, "--hub", public.url, cwd=one.root)
    assert done.returncode == 0, done.stderr
    held, asked = lineage.parent / "model.safetensors", two.export(family.run(seed=2), 12)
    shutil.copyfile(held, asked / "model.safetensors")
    told = json.loads((asked / "lineage.json").read_text())
    told["weights_sha256"] = json.loads(lineage.read_text())["weights_sha256"]
    (asked / "lineage.json").write_text(json.dumps(told))
    shutil.rmtree(two.results(family.run(seed=2)))
    done = mixhub_here("push", "--seed", 2, "--hub", public.url, cwd=two.root)
    assert printed_faults(done) == [("weights-repeated", "seed-2")]
    assert "seed-1-step-5" in done.stderr
    assert "seed-2" not in branch_heads(public, family.repo_id)


def test_a_shard_that_another_machine_pushed(workspace, family, public, tmp_path, mixhub_here):
    one, two = alone(workspace, 1, tmp_path / "one"), alone(workspace, 2, tmp_path / "two")
    first, second = Bench(one, family), Bench(two, family)
    for bench, seed in ((first, 1), (second, 2)):
        bench.shard(seed)
        shutil.rmtree(bench.workspace.results(family.run(seed=seed)))
    done = mixhub_here("push", "--seed", 1, "--hub", public.url, cwd=one.root)
    assert done.returncode == 0, done.stderr
    shutil.copyfile(first.export(1) / SHARDS[0], second.export(2) / SHARDS[0])
    second.tell_weights(2)
    done = mixhub_here("push", "--seed", 2, "--hub", public.url, cwd=two.root)
    assert printed_faults(done) == [("tensors-shared", "seed-2")]


def test_a_start_that_a_run_of_another_machine_had(workspace, family, public, tmp_path, mixhub_here):
    one, two = alone(workspace, 1, tmp_path / "one"), alone(workspace, 2, tmp_path / "two")
    assert mixhub_here("push", "--seed", 1, "--hub", public.url, cwd=one.root).returncode == 0
    first, second = (place.export(family.run(seed=seed), 12) / "lineage.json" for place, seed in ((one, 1), (two, 2)))
    start = json.loads(first.read_text())["initial_weights_sha256"]
    second.write_text(json.dumps(json.loads(second.read_text()) | {"initial_weights_sha256": start}))
    done = mixhub_here("push", "--seed", 2, "--hub", public.url, cwd=two.root)
    assert printed_faults(done) == [("initial-weights-repeated", "seed-2")]
    assert "seed-2" not in branch_heads(public, family.repo_id)
