"""Whole families: pushed, verified, promoted to a second hub, and loaded there by plain Transformers."""

import json
import os
import subprocess
import sys

import pytest
from huggingface_hub import HfApi

from mixhub.endpoint import HubChoice
from mixhub.hub.remote.connect import open_hub
from mixhub.hub.verify.repo import verify
from mixhub.hubserver import LOCAL_TOKEN, serve
from mixhub.workspace.lineage import read_lineage
from tests.adopted import adopted_workspace

LOAD = """
import hashlib, json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
from safetensors.torch import save
repo, names = sys.argv[1], sys.argv[2:]
found = {}
for name in names:
    model = AutoModelForCausalLM.from_pretrained(repo, revision=name)
    assert AutoTokenizer.from_pretrained(repo, revision=name)("the cat").input_ids
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    found[name] = hashlib.sha256(save(state)).hexdigest()
print(json.dumps(found))
"""


def loaded(url, repo, names, home):
    """What plain Transformers loads from a hub, by revision: a hash of the state dict."""
    environ = {
        **os.environ, "HF_ENDPOINT": url, "HF_TOKEN": LOCAL_TOKEN, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", LOAD, repo, *names], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def exported(workspace, run):
    import hashlib

    from safetensors.torch import save
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(workspace.export(run, 12))
    return hashlib.sha256(save({key: value.contiguous() for key, value in model.state_dict().items()})).hexdigest()


@pytest.mark.parametrize("numbers", [{"seeds": range(1, 6)}, {"indices": range(1, 17)}], ids=["seeds", "indices"])
def test_a_family(tmp_path, numbers, mixhub_here):
    workspace = adopted_workspace(tmp_path, **numbers)
    family = workspace.family()
    names = [run.revision for run in family.runs()]
    with serve(tmp_path / "staging") as staging, serve(tmp_path / "public") as public:
        pushed = mixhub_here("push", "--all", "--hub", staging.url, "--tag", "v1", cwd=workspace.root)
        assert pushed.returncode == 0, pushed.stderr
        checked = mixhub_here("verify", "--hub", staging.url, cwd=workspace.root)
        assert checked.stdout.splitlines()[-1] == f"tester/tiny: {len(names) + 1} branches, no findings"
        promote = ("promote", "--all", "--from", staging.url, "--hub", public.url)
        promoted = mixhub_here(*promote, cwd=workspace.root)
        assert promoted.returncode == 0, promoted.stderr
        again = mixhub_here(*promote, cwd=workspace.root)
        assert again.stdout.count("nothing to send") == len(names) + 1
        checked = mixhub_here("verify", "--hub", public.url, cwd=workspace.root)
        assert checked.stdout.splitlines()[-1] == f"tester/tiny: {len(names) + 1} branches, no findings"
        api = HfApi(endpoint=public.url, token=LOCAL_TOKEN)
        heads = {ref.name: ref.target_commit for ref in api.list_repo_refs("tester/tiny").branches}
        assert {len(api.list_repo_commits("tester/tiny", revision=name)) for name in heads} == {2}
        some = names if len(names) < 10 else names[::5]
        first = {name: exported(workspace, run) for name, run in zip(names, family.runs(), strict=True) if name in some}
        assert loaded(public.url, "tester/tiny", some, tmp_path / "home") == first
        tags = {tag.name for tag in HfApi(endpoint=staging.url, token=LOCAL_TOKEN).list_repo_refs("tester/tiny").tags}
        assert tags == {"v1", *(f"{name}-v1" for name in names)}


def test_runs_that_share_an_init_seed_are_no_fault(workspace):
    """Two runs that began alike, since the family says so."""
    family = workspace.family()
    first = read_lineage(workspace.export(family.run(seed=1), 12))
    for run in family.runs()[:2]:
        path = workspace.export(run, 12) / "lineage.json"
        data = json.loads(path.read_text())
        data |= {"init_seed": 1, "initial_weights_sha256": first.initial_weights_sha256}
        path.write_text(json.dumps(data))
        config = workspace.export(run, 12) / "train_config.yaml"
        config.write_text(config.read_text().replace("init_seed: 2", "init_seed: 1", 1))
    from mixhub.hub.check.run import check_run

    found = check_run(workspace, family, family.run(seed=2)).findings
    assert {finding.code for finding in found} <= {"seed-wrong", "recipe-differs", "train-config-differs"}
    assert not any(finding.code.startswith("initial-weights") for finding in found)


def test_a_hub_without_network_is_verified_by_its_family(tmp_path):
    workspace = adopted_workspace(tmp_path, seeds=[1])
    with open_hub(HubChoice("local", "the test"), workspace) as endpoint:
        HfApi(endpoint=endpoint.url, token=endpoint.token).create_repo("tester/tiny")
        found = verify(endpoint, "tester/tiny", workspace.family())
    assert [str(finding) for finding in found.findings] == [
        "seed-1: tester/tiny has no such branch",
        "main: has no card",
    ]
