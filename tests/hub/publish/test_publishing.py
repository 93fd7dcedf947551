"""The ways to publish: earlier steps, optimizer states, samples, tags, private repos, promotion, withdrawal."""

import io
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from huggingface_hub import HfApi, hf_hub_download
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import mixhub
from mixhub.card.facts.withdrawal import Withdrawal, mark_withdrawn, read_mark, withdrawal_of, withdrawals
from mixhub.card.markdown.parse import read_card
from mixhub.card.markdown.text import plain
from mixhub.card.page.receipts import note_cards
from mixhub.endpoint import Endpoint
from mixhub.errors import ExportError, HubError, PushConflictError, ResultsError, RunError, UsageError
from mixhub.files import write_all, write_bytes
from mixhub.findings import errors
from mixhub.hub.publish.branch_plans import plan_card, plan_run, plan_state
from mixhub.hub.publish.plan import PushOptions
from mixhub.hub.publish.promote import Promotion, download_plan_files, not_yet_promoted, plan_branches
from mixhub.hub.publish.push import push_plan
from mixhub.hub.publish.withdraw import withdraw
from mixhub.hub.remote.client import branch_heads, file_content, remote_tree, tags
from mixhub.hub.verify.repo import verify
from mixhub.hubserver import LOCAL_TOKEN, serve
from mixhub.spec.base import parse_yaml, to_yaml
from mixhub.workflow import status
from mixhub.workspace.cells import read_cells, samples_path
from mixhub.workspace.lineage import read_lineage, weights_sha256
from mixhub.workspace.paths import Workspace
from tests.made import publish
from tests.refusals import codes, error_codes, faults, printed_faults, refused


def content(endpoint, workspace, family, revision, path):
    found = hf_hub_download(
        family.repo_id,
        path,
        revision=revision,
        endpoint=endpoint.url,
        token=endpoint.token,
        cache_dir=workspace.cache / "looked-at",
    )
    return Path(found).read_bytes()


def test_earlier_steps_are_exported_from_their_checkpoints(workspace, family, endpoint, api, mixhub_here):
    run = family.run(seed=1)
    steps = workspace.run_folder(run).checkpoint_steps()
    assert 10 in steps
    done = mixhub_here("push", "--seed", 1, "--checkpoints", "--with-optimizer", cwd=workspace.root)
    assert done.returncode == 0, done.stderr
    assert "seed-1: exported step 10 from its checkpoint" in done.stdout
    heads = branch_heads(endpoint, family.repo_id)
    assert {"main", "seed-1", "seed-1-step-10", "seed-1-optimizer"} <= set(heads)
    lineage = read_lineage(workspace.run_folder(run).export(10))
    assert (lineage.step, lineage.steps, lineage.device) == (10, 12, "cpu")
    early = mixhub.load("tiny", seed=1, step=10, workspace=workspace.root, verify=True)
    late = mixhub.load("tiny", seed=1, workspace=workspace.root, verify=True)
    assert early.revision == "seed-1-step-10"
    assert any((a != b).any() for a, b in zip(early.model.parameters(), late.model.parameters(), strict=True))
    card = content(endpoint, workspace, family, "seed-1-step-10", "README.md").decode()
    assert "from an earlier step of the training" in card
    assert not any(path.startswith("results/") for path in remote_tree(endpoint, family.repo_id, "seed-1-step-10"))
    state = remote_tree(endpoint, family.repo_id, "seed-1-optimizer")
    newest = f"step-{steps[-1]:06d}"
    checkpoint = {f"{newest}/{path.name}" for path in workspace.run_folder(run).checkpoint(steps[-1]).iterdir()}
    assert {f"{newest}/state.json", "train_config.yaml", "README.md", *checkpoint} <= set(state)
    found = [finding for finding in verify(endpoint, family.repo_id, family).findings if finding.level == "error"]
    assert {finding.where for finding in found} == {"seed-2", "seed-3"}, "those that were not pushed"
    again = mixhub_here("push", "--seed", 1, "--checkpoints", "--with-optimizer", cwd=workspace.root)
    assert again.stdout.count("nothing to send") == len(heads)


def test_one_earlier_step_alone(workspace, family, endpoint, mixhub_here):
    done = mixhub_here("push", "--seed", 1, "--step", 10, cwd=workspace.root)
    assert done.returncode == 0, done.stderr
    assert set(branch_heads(endpoint, family.repo_id)) == {"main", "seed-1-step-10"}
    assert error_codes(mixhub_here("push", "--seed", 1, "--step", 7, cwd=workspace.root)) == ["export-missing"]


def test_an_optimizer_state_that_is_not_there(workspace, family, endpoint):
    shutil.rmtree(workspace.run_folder(family.run(seed=1)).checkpoints)
    with refused("checkpoint-missing", RunError, path=workspace.run_folder(family.run(seed=1)).checkpoints):
        plan_state(workspace, family, family.run(seed=1), endpoint)


def test_samples_as_parquet(workspace, family, endpoint):
    plan = plan_run(workspace, family, family.run(seed=1), endpoint, PushOptions(samples=True))
    push_plan(plan, workspace, endpoint)
    data = content(endpoint, workspace, family, "seed-1", "results/tiny_choice.0shot.samples.parquet")
    frame = pd.read_parquet(io.BytesIO(data))
    lines = (workspace.results(family.run(seed=1)) / "tiny_choice.0shot.samples.jsonl").read_text().splitlines()
    assert len(frame) == len(lines) == 2
    for row, line in zip(frame.to_dict("records"), map(json.loads, lines), strict=True):
        assert row["doc_id"] == line["doc_id"]
        assert json.loads(row["doc"]) == line["doc"]
    assert not plan_run(workspace, family, family.run(seed=1), endpoint, PushOptions(samples=True)).changed


def test_tags_name_what_was_pushed_and_do_not_move(workspace, family, endpoint, api, mixhub_here):
    done = mixhub_here("push", "--all", "--tag", "v1", cwd=workspace.root)
    assert done.returncode == 0, done.stderr
    heads = branch_heads(endpoint, family.repo_id)
    first = tags(endpoint, family.repo_id)
    assert first == {"seed-1-v1": heads["seed-1"], "seed-2-v1": heads["seed-2"], "v1": heads["main"]}
    assert mixhub_here("push", "--all", "--tag", "v1", cwd=workspace.root).returncode == 0
    metrics = workspace.run_folder(family.run(seed=1)).metrics
    metrics.write_text(metrics.read_text() + '{"step": 12, "loss": 1.0, "tokens": 1536}\n')
    wrong = mixhub_here("push", "--all", "--tag", "v1", cwd=workspace.root)
    assert ("tag-taken", "seed-1") in printed_faults(wrong)
    assert tags(endpoint, family.repo_id) == first
    assert branch_heads(endpoint, family.repo_id) == heads
    assert mixhub_here("push", "--all", "--tag", "a/b", cwd=workspace.root).returncode == 2


def test_a_private_repo_stays_private_and_a_public_one_public(workspace, family, endpoint, api):
    run = family.run(seed=1)
    push_plan(plan_run(workspace, family, run, endpoint, PushOptions(private=True)), workspace, endpoint)
    assert api.model_info(family.repo_id).private
    push_plan(plan_run(workspace, family, run, endpoint), workspace, endpoint)
    assert api.model_info(family.repo_id).private
    api.delete_repo(family.repo_id)
    push_plan(plan_run(workspace, family, run, endpoint), workspace, endpoint)
    with refused("repo-public", HubError, repo_id=family.repo_id):
        push_plan(plan_run(workspace, family, run, endpoint, PushOptions(private=True)), workspace, endpoint)


def test_a_plan_tells_what_is_wrong_and_is_not_carried_out(workspace, family, endpoint, api, mixhub_here):
    (workspace.export(family.run(seed=2), 12) / "optimizer.pt").write_bytes(b"x")
    plan = plan_run(workspace, family, family.run(seed=2), endpoint)
    assert codes(plan.findings) == ["pickle-found"]
    with refused("release-unsound", ExportError) as caught:
        push_plan(plan, workspace, endpoint)
    assert faults(caught.value) == [("pickle-found", "seed-2")]
    done = mixhub_here("push", "--all", cwd=workspace.root)
    assert printed_faults(done) == [("pickle-found", "seed-2")]
    assert not api.repo_exists(family.repo_id), "no seed is sent when one is not fit"


def test_images_of_ones_own_are_sent_with_the_card(workspace, family, endpoint):
    folder = workspace.card(family).parent
    write_bytes(folder / "pics" / "mine.png", b"mine")
    write_bytes(folder / "secret.txt", b"not linked")
    workspace.path("card.md").write_text("## Pictures\n\n![mine](pics/mine.png) and [up](../../mixhub.yaml)\n")
    publish(workspace, endpoint)
    tree = remote_tree(endpoint, family.repo_id, "main")
    assert "pics/mine.png" in tree
    assert not {"secret.txt", "mixhub.yaml"} & set(tree)
    assert not plan_card(workspace, family, endpoint).changed


def test_a_withdrawn_seed_says_so_wherever_it_is_met(workspace, family, endpoint, api, mixhub_here):
    publish(workspace, endpoint)
    before = branch_heads(endpoint, family.repo_id)
    why = "the corpus held [test] data, & more"
    done = mixhub_here("withdraw", "--seed", 2, "--why", why, cwd=workspace.root)
    assert done.returncode == 0, done.stderr
    heads = branch_heads(endpoint, family.repo_id)
    assert heads["seed-1"] == before["seed-1"]
    assert tags(endpoint, family.repo_id) == {"seed-2-withdrawn": before["seed-2"]}
    card = content(endpoint, workspace, family, "seed-2", "README.md").decode()
    assert "withdrawn" in read_card(card).metadata["tags"]
    assert withdrawal_of(card).startswith(why)
    main = content(endpoint, workspace, family, "main", "README.md").decode()
    assert "was withdrawn on" in main[main.index("## Errata") :]
    with pytest.warns(UserWarning, match=re.escape(f"was withdrawn by its publisher: {why}")):
        loaded = mixhub.load("tiny", seed=2, workspace=workspace.root)
    assert loaded.commit == heads["seed-2"]
    pinned = mixhub.load("tiny", commit=before["seed-2"], workspace=workspace.root)
    assert pinned.commit == before["seed-2"], "what others pinned is there"
    assert not plan_run(workspace, family, family.run(seed=2), endpoint).changed
    assert not plan_card(workspace, family, endpoint).changed
    assert status(workspace, family=family)[1].withdrawn == why
    assert "warning: seed-2: was withdrawn" in mixhub_here("verify", cwd=workspace.root).stdout
    assert mixhub_here("withdraw", "--seed", 2, "--why", " ", cwd=workspace.root).returncode == 2


def test_withdrawing_again_and_of_a_seed_that_is_not_there(workspace, family, endpoint):
    publish(workspace, endpoint)
    first = withdraw(workspace, family, endpoint, "seed-1", "one reason")
    second = withdraw(workspace, family, endpoint, "seed-1", "one reason")
    assert first.tag == second.tag == "seed-1-withdrawn"
    assert tags(endpoint, family.repo_id)[first.tag] == first.was != second.was
    assert first.commit == second.commit
    with refused("withdrawal-noted", UsageError, revision="seed-1", why="one reason"):
        withdraw(workspace, family, endpoint, "seed-1", "another reason")
    assert [one.why for one in withdrawals(workspace, family)] == ["one reason"]
    with refused("revision-not-found", HubError, revision="seed-3"):
        withdraw(workspace, family, endpoint, "seed-3", "why")


def test_a_withdrawal_without_exports_leaves_the_rest_of_main(workspace, family, endpoint, mixhub_here):
    publish(workspace, endpoint)
    before = content(endpoint, workspace, family, "main", "README.md").decode()
    shutil.rmtree(workspace.path("runs"))
    shutil.rmtree(workspace.path("results"))
    done = mixhub_here("withdraw", "--seed", 1, "--why", "bad", cwd=workspace.root)
    assert done.returncode == 0, done.stderr
    after = content(endpoint, workspace, family, "main", "README.md").decode()
    added = [line for line in after.splitlines() if line not in before.splitlines()]
    new = branch_heads(endpoint, family.repo_id)["seed-1"]
    words = [line for line in added if line and new not in line]
    assert words == ["## Errata", *[line for line in words if line.startswith("- seed")]]
    assert len(words) == 2
    gone = [line for line in before.splitlines() if line not in after.splitlines()]
    assert len(gone) == len([line for line in added if new in line]) == 2, "those that name the branch's commit"


@pytest.mark.parametrize(
    "head", ["", "---\nlicense: mit\n---\n", "---\ntags: [a, b]\nlicense: mit\n---\n", "---\ntags:\n  - a\nx: 1\n---\n"]
)
def test_a_card_of_any_shape_is_marked_once(workspace, family, head):
    one = Withdrawal(family="f", revision="r", weights_sha256="0" * 64, why="it *is* bad", date="2026-11-23")
    marked = mark_withdrawn(f"{head}\n# Title\n\nText.\n", one)
    card = read_card(marked)
    assert "withdrawn" in card.metadata["tags"]
    assert set(card.metadata) >= ({"license"} if "license" in head else set())
    assert withdrawal_of(marked) == "it *is* bad (2026-11-23)"
    assert mark_withdrawn(marked, one) == marked
    assert "# Title\n\nText.\n" in marked


def test_promotion_of_one_seed_leaves_main_until_all_are_there(workspace, family, endpoint, tmp_path, mixhub_here):
    publish(workspace, endpoint)
    with serve(tmp_path / "public") as public:
        arguments = ("promote", "--from", endpoint.url, "--hub", public.url)
        first = mixhub_here(*arguments, "--seed", 1, cwd=workspace.root)
        assert first.returncode == 0, first.stderr
        assert "main stays unchanged" in first.stdout
        api = HfApi(endpoint=public.url, token=LOCAL_TOKEN)
        assert api.list_repo_files(family.repo_id) == [".gitattributes"]
        second = mixhub_here(*arguments, "--seed", 2, cwd=workspace.root)
        assert second.returncode == 0, second.stderr
        assert "README.md" in api.list_repo_files(family.repo_id)
        there = {ref.name: ref.target_commit for ref in api.list_repo_refs(family.repo_id).branches}
        card = api.hf_hub_download(family.repo_id, "README.md", local_dir=tmp_path)
        text = Path(card).read_text(encoding="utf-8")
        assert there["seed-1"] in text
        assert branch_heads(endpoint, family.repo_id)["seed-1"] not in text


def test_weights_that_are_no_numbers_are_not_promoted(workspace, family, endpoint, api, tmp_path, mixhub_here):
    """What `verify` does not read is read when it is fetched, and before anything is sent."""
    publish(workspace, endpoint)
    path = tmp_path / "model.safetensors"
    tensors = load_file(workspace.export(family.run(seed=2), 12) / path.name)
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, path, {"format": "pt"})
    lineage = workspace.export(family.run(seed=2), 12) / "lineage.json"
    told = {**json.loads(lineage.read_text()), "weights_sha256": weights_sha256(tmp_path)}
    for content, name in ((path, path.name), (json.dumps(told).encode(), "lineage.json")):
        api.upload_file(path_or_fileobj=content, path_in_repo=name, repo_id=family.repo_id, revision="seed-2")
    for name in [n for n in api.list_repo_files(family.repo_id, revision="seed-2") if n.startswith("results/")]:
        api.delete_file(name, family.repo_id, revision="seed-2")
    with serve(tmp_path / "public") as public:
        done = mixhub_here("promote", "--from", "local", "--hub", public.url, "--seed", 2, cwd=workspace.root)
        assert error_codes(done) == ["weights-not-finite"]
        assert "model.norm.weight" in done.stderr
        assert not HfApi(endpoint=public.url, token=LOCAL_TOKEN).repo_exists(family.repo_id)


def test_samples_and_states_of_another_run_are_not_sent(workspace, family, endpoint):
    one, two = family.run(seed=1), family.run(seed=2)
    cell = read_cells(workspace.results(one))[0].path
    write_bytes(samples_path(cell), samples_path(cell).read_bytes().replace(b": ", b":  ", 1))
    assert not errors(plan_run(workspace, family, one, endpoint).findings)
    with refused("samples-differ", ResultsError, path=samples_path(cell)):
        plan_run(workspace, family, one, endpoint, PushOptions(samples=True))
    plan_state(workspace, family, one, endpoint)
    folder = workspace.run_folder(one)
    step = folder.checkpoint_steps()[-1]
    shutil.rmtree(folder.checkpoint(step))
    shutil.copytree(workspace.run_folder(two).checkpoint(step), folder.checkpoint(step))
    with refused("checkpoint-foreign", RunError, path=folder.checkpoint(step)):
        plan_state(workspace, family, one, endpoint)


def test_a_word_in_another_list_is_no_mark():
    one = Withdrawal(family="f", revision="r", weights_sha256="0" * 64, why="x", date="2026-11-23")
    marked = mark_withdrawn("---\ndatasets:\n- withdrawn\n---\n\n# Title\n", one)
    assert read_card(marked).metadata["tags"] == ["withdrawn"]
    assert withdrawal_of(marked) == "x (2026-11-23)"


def test_a_withdrawal_that_is_too_late_leaves_nothing(workspace, family, endpoint, api, monkeypatch):
    publish(workspace, endpoint)

    def meanwhile(card, withdrawal):
        api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=family.repo_id, revision="seed-1")
        return mark_withdrawn(card, withdrawal)

    monkeypatch.setattr("mixhub.card.facts.withdrawal.mark_withdrawn", meanwhile)
    with pytest.raises(PushConflictError):
        withdraw(workspace, family, endpoint, "seed-1", "bad")
    assert tags(endpoint, family.repo_id) == {}
    assert withdrawals(workspace, family) == []


def test_what_is_wrong_on_the_staging_hub_is_not_promoted(workspace, family, endpoint, api, tmp_path, mixhub_here):
    publish(workspace, endpoint)
    api.upload_file(path_or_fileobj=b"x", path_in_repo="model.bin", repo_id=family.repo_id, revision="seed-1")
    with serve(tmp_path / "public") as public:
        done = mixhub_here("promote", "--from", "local", "--hub", public.url, "--seed", 1, cwd=workspace.root)
        assert ("pickle-found", "seed-1") in printed_faults(done)
        assert not HfApi(endpoint=public.url, token=LOCAL_TOKEN).repo_exists(family.repo_id)
    same = mixhub_here("promote", "--from", "local", "--seed", 1, cwd=workspace.root)
    assert (same.returncode, "is also the hub to push to" in same.stderr) == (2, True)


def test_a_branch_that_moves_is_promoted_as_it_was_verified(workspace, family, endpoint, api, tmp_path):
    publish(workspace, endpoint)
    verified = verify(endpoint, family.repo_id, family)
    was = remote_tree(endpoint, family.repo_id, "seed-1")
    with serve(tmp_path / "public") as public:
        target = Endpoint(public.url, token=LOCAL_TOKEN, cache_dir=tmp_path / "cache")
        promotion = Promotion(family, endpoint, target, verified)
        [plan] = plan_branches(promotion, ["seed-1"])
        api.upload_file(path_or_fileobj=b"x", path_in_repo="metrics.jsonl", repo_id=family.repo_id, revision="seed-1")
        api.upload_file(path_or_fileobj=b"x", path_in_repo="model.bin", repo_id=family.repo_id, revision="seed-1")
        push_plan(download_plan_files(plan, promotion), workspace, target)
        assert remote_tree(target, family.repo_id, "seed-1") == was
        assert not_yet_promoted(promotion, ()) == ["seed-2"]


def test_a_wrong_card_of_main_is_not_promoted(workspace, family, endpoint, api, tmp_path, mixhub_here):
    publish(workspace, endpoint)
    card = content(endpoint, workspace, family, "main", "README.md").decode()
    commit = branch_heads(endpoint, family.repo_id)["seed-1"]
    assert commit in card
    stale = card.replace(commit, "0" * 40).encode()
    api.upload_file(path_or_fileobj=stale, path_in_repo="README.md", repo_id=family.repo_id)
    with serve(tmp_path / "public") as public:
        arguments = ("promote", "--from", "local", "--hub", public.url)
        done = mixhub_here(*arguments, "--all", cwd=workspace.root)
        assert printed_faults(done) == [("card-commit-differs", "main")]
        assert "000000000000 for seed-1" in done.stderr
        assert not HfApi(endpoint=public.url, token=LOCAL_TOKEN).repo_exists(family.repo_id)
        one = mixhub_here(*arguments, "--seed", 1, cwd=workspace.root)
        assert one.returncode == 0, "main waits for the other seed"


def test_a_card_that_was_changed_on_the_target_is_not_replaced(workspace, family, endpoint, tmp_path, mixhub_here):
    publish(workspace, endpoint)
    with serve(tmp_path / "public") as public:
        there = HfApi(endpoint=public.url, token=LOCAL_TOKEN)
        arguments = ("promote", "--from", "local", "--hub", public.url, "--all")
        assert mixhub_here(*arguments, cwd=workspace.root).returncode == 0
        card = b"---\nlicense: mit\n---\n\n# Theirs\n"
        there.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=family.repo_id, revision="seed-1")
        assert printed_faults(mixhub_here(*arguments, cwd=workspace.root)) == [("card-written-on-hub", "seed-1")]
        assert mixhub_here(*arguments, "--force", cwd=workspace.root).returncode == 0


def test_hubs_that_store_large_files_otherwise(workspace, family, endpoint, api, tmp_path, mixhub_here):
    """Which files are large is for each hub to say; those are named by another hash."""
    publish(workspace, endpoint)
    with serve(tmp_path / "public") as public:
        there = HfApi(endpoint=public.url, token=LOCAL_TOKEN)
        there.create_repo(family.repo_id)
        rules = api.hf_hub_download(family.repo_id, ".gitattributes", local_dir=tmp_path / "rules")
        text = Path(rules).read_bytes() + b"*.jsonl filter=lfs diff=lfs merge=lfs -text\n"
        there.upload_file(path_or_fileobj=text, path_in_repo=".gitattributes", repo_id=family.repo_id)
        there.super_squash_history(family.repo_id)
        arguments = ("promote", "--from", "local", "--hub", public.url, "--all")
        first = mixhub_here(*arguments, cwd=workspace.root)
        assert first.returncode == 0, first.stderr
        target = Endpoint(public.url, token=LOCAL_TOKEN, cache_dir=tmp_path / "cache")
        assert remote_tree(target, family.repo_id, "seed-1")["metrics.jsonl"].sha256
        assert not remote_tree(endpoint, family.repo_id, "seed-1")["metrics.jsonl"].sha256
        assert "main stays unchanged" not in first.stdout
        assert mixhub_here(*arguments, cwd=workspace.root).stdout.count("nothing to send") == 3


def test_status_as_json_tells_all_without_a_hub(workspace, family, endpoint, mixhub_here):
    publish(workspace, endpoint)
    mixhub_here("verify", cwd=workspace.root)
    one, two, three = json.loads(mixhub_here("status", "--json", cwd=workspace.root).stdout)["runs"]
    commit = branch_heads(endpoint, family.repo_id)["seed-1"]
    assert one["pushed"] == {"local": commit}
    assert (one["step"], one["checked"], one["cells"], one["card"]) == (12, True, 1, "fresh")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\dZ", one["verified"]["local"])
    assert (three["step"], three["checked"], three["card"], three["pushed"]) == (None, False, None, {})
    config = workspace.export(family.run(seed=2), 12) / "config.json"
    config.write_text(config.read_text() + " ")
    workspace.revision_card(family.run(seed=2)).write_text("mine")
    _, two, _ = status(workspace.root, family=family)
    assert (two.checked, two.card) == (False, "stale")


def test_generate_takes_the_export_or_the_hub(workspace, family, endpoint, mixhub_here):
    local = mixhub_here("generate", "--seed", 1, "the cat", "--tokens", 5, cwd=workspace.root)
    assert local.returncode == 0, local.stderr
    assert local.stdout.startswith("the cat")
    assert local.stderr.startswith(str(workspace.export(family.run(seed=1), 12)))
    publish(workspace, endpoint)
    remote = mixhub_here("generate", "--seed", 1, "the cat", "--tokens", 5, "--hub", "local", cwd=workspace.root)
    assert remote.stdout == local.stdout
    assert branch_heads(endpoint, family.repo_id)["seed-1"] in remote.stderr
    drawn = [
        mixhub_here("generate", "--seed", 1, "the", "--temperature", 2, "--draw-seed", seed, cwd=workspace.root).stdout
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert mixhub_here("generate", "--seed", 9, "the", cwd=workspace.root).returncode == 2
    for wrong in (("--temperature", 1e-45), ("--draw-seed", 2**70), ("--hub", "ftp://x")):
        done = mixhub_here("generate", "--seed", 1, "the", *wrong, cwd=workspace.root)
        assert (done.returncode, wrong[0] in done.stderr) == (2, True)
    long = mixhub_here("generate", "--seed", 1, "the cat " * 40, cwd=workspace.root)
    assert (long.returncode, "the model's context is 32" in long.stderr) == (2, True)


def test_a_licence_of_ones_own_lies_on_every_branch(workspace, endpoint, mixhub_here):
    config = workspace.path("mixhub.yaml")
    data = parse_yaml(config.read_text(), "mixhub.yaml")
    own = {"license": "other", "license_name": "ours-1.0", "license_link": "LICENCE.txt"}
    data["families"]["tiny"]["card"].update(own)
    data["families"]["tiny"]["revisions"]["seeds"] = [1, 2]
    config.write_text(to_yaml(data))
    done = mixhub_here("check", "--seed", 1, cwd=workspace.root)
    assert done.returncode == 1
    assert "card.license_link = 'LICENCE.txt': must be a file beside mixhub.yaml" in done.stdout
    workspace.path("LICENCE.txt").write_text("You may.\n")
    workspace = Workspace.open(workspace.root)
    family = workspace.family()
    publish(workspace, endpoint)
    for branch in ("main", "seed-1", "seed-2"):
        assert file_content(endpoint, family.repo_id, branch, "LICENCE.txt") == b"You may.\n"
    assert verify(endpoint, family.repo_id, family).findings == ()
    api = HfApi(endpoint=endpoint.url, token=endpoint.token)
    assert "LICENCE.txt" in plan_state(workspace, family, family.run(seed=1), endpoint).files
    workspace.path("LICENCE.txt").write_text("You may not.\n")
    assert mixhub_here("push", "--seed", 1, cwd=workspace.root).returncode == 0
    found = [one.message for one in verify(endpoint, family.repo_id, family).findings if one.code == "file-differs"]
    assert len(found) == 1
    assert found[0].startswith("LICENCE.txt differs from that of ")
    for branch in ("main", "seed-1"):
        api.delete_file("LICENCE.txt", family.repo_id, revision=branch)
    found = verify(endpoint, family.repo_id, family).findings
    lacking = [finding.where for finding in found if finding.message == "lacks LICENCE.txt"]
    assert sorted(lacking) == ["main", "seed-1"]


@given(st.text())
def test_a_reason_comes_back_from_a_card_as_it_went_in(text):
    """Else two machines would each put their reading of it on the branch, for ever."""
    why = plain(text)
    one = Withdrawal(family="f", revision="r", weights_sha256="0" * 64, why=why or "x", date="2026-11-23")
    assert read_mark(mark_withdrawn("# Title\n", one)) == (one.why, one.date)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "metrics.jsonl", "results/x.0shot.json"])
def test_a_card_does_not_replace_what_was_checked(workspace, family, endpoint, name):
    """What a card links to is sent with it; a file of the branch is not to be found in the folder of the card."""
    folder = workspace.revision_card(family.run(seed=1)).parent
    write_bytes(folder / name, b"another")
    workspace.path("revision.md").write_text(f"## More\n\n[it]({name})\n")
    with refused("card-file-reserved", ExportError, path=folder / name):
        plan_run(workspace, family, family.run(seed=1), endpoint)
    (folder / name).unlink()
    plan = plan_run(workspace, family, family.run(seed=1), endpoint)
    assert errors(plan.findings) == [], "the link means the branch's"


def test_a_card_that_links_to_itself(workspace, family, endpoint):
    workspace.path("revision.md").write_text("## More\n\n[this](README.md)\n")
    run = family.run(seed=1)
    old = {workspace.revision_card(run): b"an old render"}
    note_cards(workspace, old)
    write_all(old)
    files = plan_run(workspace, family, run, endpoint).files
    assert b"# " in files["README.md"].source
