"""`revisions.main`: the model that `main` holds too is the one of its run's branch, wherever that was pushed from."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from transformers import AutoModelForCausalLM, AutoTokenizer

from mixhub.card.facts.withdrawal import withdrawal_of
from mixhub.endpoint import Endpoint
from mixhub.errors import SpecError
from mixhub.hub.publish.branch_plans import plan_card, plan_run
from mixhub.hub.publish.push import push_plan
from mixhub.hub.remote.client import file_content, remote_tree
from mixhub.hub.remote.files import is_model_file
from mixhub.hub.verify.repo import verify
from mixhub.hubserver import LOCAL_TOKEN, serve
from mixhub.spec.base import parse_yaml, to_yaml
from mixhub.workflow import adopt
from mixhub.workspace.paths import Workspace
from tests.adopted import adopted_workspace, save_model
from tests.hub.wires import heard, wire
from tests.made import copied
from tests.refusals import broken, printed_faults

MODEL, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture(scope="module")
def adopted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds, of which `main` holds the second."""
    revisions = {"seeds": [1, 2], "main": 2}
    return adopted_workspace(tmp_path_factory.mktemp("main"), seeds=(1, 2), changes={"revisions": revisions}).root


@pytest.fixture
def workspace(adopted: Path, tmp_path: Path) -> Workspace:
    return copied(adopted, tmp_path)


@pytest.fixture
def hub(tmp_path: Path):
    with serve(tmp_path / "hub") as running:
        yield Endpoint(running.url, token=LOCAL_TOKEN, cache_dir=tmp_path / "cache")


@pytest.fixture
def push(workspace, hub, mixhub_here):
    def run(*arguments: object, cwd: Path = workspace.root) -> str:
        done = mixhub_here("push", *arguments, "--hub", hub.url, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def said(workspace: Workspace, hub: Endpoint, **options: object) -> dict[str, str]:
    """What `verify` finds, by branch."""
    family = workspace.family()
    found: dict[str, str] = {}
    for finding in verify(hub, family.repo_id, family, **options).findings:
        found[finding.where] = f"{found.get(finding.where, '')}{finding.level}: {finding.message}\n"
    return found


def models(workspace: Workspace, hub: Endpoint, branch: str) -> dict[str, object]:
    tree = remote_tree(hub, workspace.family().repo_id, branch)
    return {path: (file.sha256, file.oid) for path, file in tree.items() if is_model_file(path)}


def card(workspace: Workspace, hub: Endpoint, branch: str = "main") -> str:
    return file_content(hub, workspace.family().repo_id, branch, "README.md").decode()


def put(workspace: Workspace, hub: Endpoint, files: dict[str, bytes]) -> None:
    """Somebody's own files, on `main`."""
    added = [CommitOperationAdd(path, content) for path, content in files.items()]
    api = HfApi(endpoint=hub.url, token=hub.token)
    api.create_commit(workspace.family().repo_id, added, commit_message="mine")


def set_main(workspace: Workspace, number: int | None) -> Workspace:
    path = workspace.path("mixhub.yaml")
    data = parse_yaml(path.read_text(), "mixhub.yaml")
    data["families"]["tiny"]["revisions"]["main"] = number
    path.write_text(to_yaml(data))
    return Workspace.open(workspace.root)


def test_main_loads_without_a_revision_as_the_seed_that_it_holds(workspace, hub, push, tmp_path):
    planned = push("--all", "--dry-run")
    assert f"add     {MODEL}" in planned.split("branch main")[1]
    assert "copied from seed-2" in planned.split("branch main")[1]
    push("--all")
    assert models(workspace, hub, "main") == models(workspace, hub, "seed-2") != models(workspace, hub, "seed-1")
    assert "lineage.json" in models(workspace, hub, "main"), "which says whose it is"
    assert said(workspace, hub, deep=True) == {}
    text = card(workspace, hub)
    assert "`main` also holds the model of `seed-2`, which `from_pretrained` loads if you omit `revision`." in text
    assert "holds only this card" not in text
    assert push("--all").count("nothing to send") == 3
    api = HfApi(endpoint=hub.url, token=hub.token)
    folder = api.snapshot_download(workspace.family().repo_id, cache_dir=tmp_path / "plain")
    export = workspace.run_folder(workspace.family().run(seed=2)).export(workspace.family().training.steps)
    loaded, own = (AutoModelForCausalLM.from_pretrained(one).state_dict() for one in (folder, export))
    assert all(torch.equal(loaded[name], own[name]) for name in own)
    assert AutoTokenizer.from_pretrained(folder).get_vocab() == AutoTokenizer.from_pretrained(export).get_vocab()


def test_what_main_holds_is_copied_and_not_sent(workspace, hub):
    family = workspace.family()
    run = family.run(seed=2)
    branch = push_plan(plan_run(workspace, family, run, hub), workspace, hub)
    plan = plan_card(workspace, family, hub)
    model = models(workspace, hub, "seed-2")
    assert plan.copied == dict.fromkeys(model, branch.commit)
    assert plan.bytes_to_send == sum(file.size for path, file in plan.files.items() if path not in model)
    sent = bytearray()
    with wire(hub.url, heard(sent)) as proxy:
        assert push_plan(plan, workspace, replace(hub, url=proxy)).uploaded == ()
    weights = workspace.export(run, family.training.steps) / "model.safetensors"
    assert len(sent) < plan.bytes_to_send * 4 / 3 + weights.stat().st_size, "base64 of small files, and no weights"
    assert models(workspace, hub, "main") == model


def test_main_waits_for_the_branch_and_says_nothing_of_it_before(workspace, hub, push):
    push("--seed", 1)
    assert models(workspace, hub, "main") == {}
    assert "Each model has its own branch. Select it with `revision`.\n" in card(workspace, hub)
    assert list(said(workspace, hub)) == ["seed-2"], "which is not there"
    push("--seed", 2)
    assert models(workspace, hub, "main") == models(workspace, hub, "seed-2")
    assert said(workspace, hub) == {}


def test_main_is_copied_from_a_branch_that_another_machine_pushed(workspace, hub, push, tmp_path):
    one = copied(workspace.root, tmp_path / "one")
    for place, absent in ((workspace, 1), (one, 2)):
        shutil.rmtree(place.run_folder(place.family().run(seed=absent)).path)
    set_main(workspace, None)
    push("--seed", 2)
    assert models(workspace, hub, "main") == {}
    push("--seed", 1, cwd=one.root)
    assert models(one, hub, "main") == models(one, hub, "seed-2"), "which that machine never had"
    assert said(one, hub) == {}


def test_main_follows_its_branch_and_keeps_no_shard_of_another_model(workspace, hub, push, tmp_path):
    family = workspace.family()
    run = family.run(seed=2)
    source = save_model(tmp_path / "sharded", 22, family.architecture)
    AutoModelForCausalLM.from_pretrained(source).save_pretrained(source, max_shard_size="30KB")
    (source / MODEL).unlink()
    push("--all")
    adopt(workspace, source, seed=run.seed, replace=True)
    push("--seed", 2)
    held = models(workspace, hub, "main")
    assert INDEX in held
    assert MODEL not in held
    assert held == models(workspace, hub, "seed-2")
    assert said(workspace, hub) == {}
    adopt(workspace, save_model(tmp_path / "whole", 23, family.architecture), seed=run.seed, replace=True)
    push("--seed", 2)
    assert [path for path in models(workspace, hub, "main") if path.endswith(("safetensors", "index.json"))] == [MODEL]
    assert said(workspace, hub) == {}


def test_another_run_takes_its_place(workspace, hub, push):
    push("--all")
    set_main(workspace, None)
    assert "`main` holds only this card" not in card(workspace, hub)
    changed = set_main(workspace, 1)
    assert "holds the model of seed-2, but should hold that of seed-1" in said(changed, hub)["main"]
    push("--seed", 1)
    assert models(changed, hub, "main") == models(changed, hub, "seed-1")
    assert "`main` also holds the model of `seed-1`" in card(changed, hub)
    assert said(changed, hub) == {}


def test_a_model_that_the_family_names_no_longer_goes(workspace, hub, push):
    push("--all")
    changed = set_main(workspace, None)
    assert said(changed, hub)["main"].startswith("warning: holds a model, but tiny does not name its revision")
    put(workspace, hub, {"notes.md": b"mine", "adapter_model.safetensors": b"mine"})
    push("--all")
    assert models(changed, hub, "main") == {}
    assert {"notes.md", "adapter_model.safetensors"} <= set(remote_tree(hub, changed.family().repo_id, "main"))
    assert "`main` holds only this card" in card(changed, hub)


def test_a_model_that_somebody_else_put_there_stays(workspace, hub, mixhub_here, push):
    """Neither is it deleted, nor is a model of the family's mixed with it; unless that is asked for."""
    own = {MODEL: b"theirs", "vocab.json": b"theirs", "adapter_model.safetensors": b"theirs"}
    changed = set_main(workspace, None)
    push("--seed", 1)
    put(workspace, hub, own)
    push("--all")
    assert set(own) <= set(remote_tree(hub, changed.family().repo_id, "main"))
    assert "Each model has its own branch. Select it with `revision`.\n" in card(changed, hub)
    assert "holds a model, but tiny does not name its revision" in said(changed, hub)["main"]
    set_main(workspace, 2)
    done = mixhub_here("push", "--seed", 2, "--hub", hub.url, cwd=workspace.root)
    assert printed_faults(done) == [("main-model-foreign", "main")]
    assert f"{MODEL}, vocab.json" in done.stderr
    assert set(own) <= set(remote_tree(hub, changed.family().repo_id, "main"))
    push("--seed", 2, "--force")
    assert models(changed, hub, "main") == models(changed, hub, "seed-2")
    assert "adapter_model.safetensors" in remote_tree(hub, changed.family().repo_id, "main")


def test_a_run_whose_branch_is_not_there_leaves_main_without_a_model(workspace, hub, push):
    set_main(workspace, 1)
    push("--seed", 1)
    changed = set_main(workspace, 2)
    assert "should hold the model of seed-2, which is not on the hub" in said(changed, hub)["main"]
    push("--seed", 1)
    assert models(changed, hub, "main") == {}
    assert list(said(changed, hub)) == ["seed-2"], "which is not there"


def test_main_holds_what_the_branch_holds_and_not_what_this_machine_has(workspace, hub, push, tmp_path):
    push("--all")
    family = workspace.family()
    adopt(workspace, save_model(tmp_path / "new", 24, family.architecture), seed=2, replace=True)
    set_main(workspace, 1)
    push("--seed", 1)
    set_main(workspace, 2)
    push("--seed", 1)
    assert models(workspace, hub, "main") == models(workspace, hub, "seed-2")


def test_main_with_the_model_of_another_seed_or_with_none(workspace, hub, push):
    push("--all")
    repo, api = workspace.family().repo_id, HfApi(endpoint=hub.url, token=hub.token)
    export = workspace.run_folder(workspace.family().run(seed=1)).export(workspace.family().training.steps)
    api.create_commit(repo, [CommitOperationAdd(MODEL, export / MODEL)], commit_message="a fault")
    assert "error: holds the model of seed-1, but should hold that of seed-2\n" in said(workspace, hub)["main"]
    push("--seed", 1)
    assert said(workspace, hub) == {}
    gone = [CommitOperationDelete(path) for path in models(workspace, hub, "main")]
    api.create_commit(repo, gone, commit_message="a fault")
    assert said(workspace, hub)["main"] == "error: holds no model, but should hold that of seed-2\n"
    push("--seed", 1)
    assert said(workspace, hub) == {}


def test_a_promotion_takes_main_with_its_model(workspace, hub, push, tmp_path, mixhub_here):
    push("--all")
    with serve(tmp_path / "public") as running:
        public = Endpoint(running.url, token=LOCAL_TOKEN, cache_dir=tmp_path / "public-cache")
        promote = ("promote", "--from", hub.url, "--hub", public.url)
        first = mixhub_here(*promote, "--seed", 1, cwd=workspace.root)
        assert "main stays unchanged" in first.stdout
        done = mixhub_here(*promote, "--all", cwd=workspace.root)
        assert done.returncode == 0, done.stderr
        assert models(workspace, public, "main") == models(workspace, hub, "seed-2")
        assert said(workspace, public) == {}
        again = mixhub_here(*promote, "--all", cwd=workspace.root)
        assert again.stdout.count("nothing to send") == 3
        family = workspace.family()
        for seed in (1, 2):
            source = save_model(tmp_path / f"new-{seed}", 30 + seed, family.architecture)
            adopt(workspace, source, seed=seed, replace=True)
        push("--all")
        some = mixhub_here(*promote, "--seed", 2, cwd=workspace.root)
        assert "main stays unchanged" in some.stdout
        assert models(workspace, public, "main") == models(workspace, public, "seed-2") != {}


def test_a_promotion_does_not_mix_two_models_on_main(workspace, hub, push, tmp_path, mixhub_here):
    """The staging hub's `main` holds another run's model, in shards."""
    family = workspace.family()
    source = save_model(tmp_path / "sharded", 22, family.architecture)
    AutoModelForCausalLM.from_pretrained(source).save_pretrained(source, max_shard_size="30KB")
    (source / MODEL).unlink()
    adopt(workspace, source, seed=1, replace=True)
    with serve(tmp_path / "public") as running:
        public = Endpoint(running.url, token=LOCAL_TOKEN, cache_dir=tmp_path / "public-cache")
        other = mixhub_here("push", "--seed", 2, "--hub", public.url, cwd=workspace.root)
        assert other.returncode == 0, other.stderr
        set_main(workspace, 1)
        push("--seed", 1)
        assert INDEX in models(workspace, hub, "main")
        set_main(workspace, 2)
        push("--seed", 1)
        done = mixhub_here("promote", "--from", hub.url, "--hub", public.url, "--all", cwd=workspace.root)
        assert done.returncode == 0, done.stderr
        assert models(workspace, public, "main") == models(workspace, public, "seed-2")


def test_a_withdrawn_model_does_not_stay_on_main(workspace, hub, push, mixhub_here, tmp_path):
    push("--all")
    done = mixhub_here("withdraw", "--seed", 2, "--why", "wrong data", "--hub", hub.url, cwd=workspace.root)
    assert done.returncode == 0, done.stderr
    assert "main also holds this model: change or remove revisions.main" in done.stdout
    assert withdrawal_of(card(workspace, hub)).startswith("wrong data (")
    assert "error: holds the model of seed-2, which was withdrawn: wrong data" in said(workspace, hub)["main"]
    done = mixhub_here("push", "--seed", 1, "--hub", hub.url, cwd=workspace.root)
    assert printed_faults(done) == [("weights-withdrawn", "main")]
    with serve(tmp_path / "public") as running:
        promote = ("promote", "--from", hub.url, "--hub", running.url, "--all")
        assert (
            "main: holds the model of seed-2, which was withdrawn" in mixhub_here(*promote, cwd=workspace.root).stderr
        )
    changed = set_main(workspace, 1)
    push("--seed", 1)
    assert models(changed, hub, "main") == models(changed, hub, "seed-1")
    assert withdrawal_of(card(changed, hub)) is None
    assert list(said(changed, hub)) == ["seed-2"], "which was withdrawn"


def test_a_withdrawal_does_not_bring_the_model_to_main(workspace, hub, push, mixhub_here):
    push("--all")
    set_main(workspace, 1)
    done = mixhub_here("withdraw", "--seed", 1, "--why", "wrong data", "--hub", hub.url, cwd=workspace.root)
    assert done.returncode == 0, done.stderr
    assert "holds the model of seed-1 too" not in done.stdout
    assert models(workspace, hub, "main") == models(workspace, hub, "seed-2")
    assert withdrawal_of(card(workspace, hub)) is None
    assert "wrong data" in card(workspace, hub)


def test_main_must_be_one_of_the_runs(workspace):
    with pytest.raises(SpecError) as caught:
        set_main(workspace, 9)
    assert broken(caught.value).keys() == {"revisions.main"}
