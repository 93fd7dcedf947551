"""A family of our own with a repo for each run, and repos that cannot be read."""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import CommitOperationAdd, HfApi
from safetensors.torch import load_file, save_file

import mixhub
from mixhub.endpoint import Endpoint, HubChoice
from mixhub.errors import HubUnreachableError, RepoNotFoundError
from mixhub.hub.remote.connect import open_hub
from mixhub.hub.verify.repo import verify_repos
from mixhub.workflow import push
from mixhub.workspace.paths import Workspace
from tests.faults import faulty, waits
from tests.hub.seen import seen
from tests.made import copied

__all__ = ["waits"]

ONE, TWO, THREE = (f"tester/tiny-seed{seed}" for seed in (1, 2, 3))


@pytest.fixture(scope="module")
def released(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose three seeds have repos of their own; two of them are published."""
    workspace = copied(made, tmp_path_factory.mktemp("released"))
    config = workspace.path("mixhub.yaml")
    text = config.read_text().replace("repo_id: tester/tiny", "repo_id: tester/tiny-seed{seed}")
    config.write_text(text.replace("seeds: 1-3", "seeds: 1-3\n      branch: main\n      step_pattern: step{step}"))
    workspace = Workspace.open(workspace.root)
    with open_hub(HubChoice("local", "the test"), workspace) as endpoint:
        push(workspace, all=True, hub=endpoint)
    return workspace.root


@pytest.fixture
def workspace(released: Path, tmp_path: Path) -> Workspace:
    return copied(released, tmp_path)


@pytest.fixture
def api(endpoint: Endpoint) -> HfApi:
    return HfApi(endpoint=endpoint.url, token=endpoint.token)


def put(api: HfApi, repo_id: str, files: dict[str, bytes | Path], branch: str = "main") -> None:
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    api.create_commit(repo_id, operations, revision=branch, commit_message="a fault")


def test_published_runs_pass_and_a_planned_one_is_a_warning(workspace, endpoint):
    verification = mixhub.verify(workspace, hub=endpoint, deep=True)
    [finding] = verification.findings
    assert (finding.where, finding.code, finding.level) == (f"{THREE}@main", "repo-not-found", "warning")
    assert verification.repo_id == "tester/tiny-seed{seed}"
    branches = [(branch.repo_id, branch.name, branch.commit is None) for branch in verification.branches]
    assert branches == [(ONE, "main", False), (TWO, "main", False), (THREE, "main", True)]
    [noted] = json.loads(workspace.verify_receipts.read_text())["branches"].values()
    assert {repo_id: [*branches] for repo_id, branches in noted.items() if branches} == {ONE: ["main"], TWO: ["main"]}


def test_one_of_the_repos(workspace, endpoint):
    verification = mixhub.verify(workspace, family=TWO, hub=endpoint)
    assert (verification.repo_id, verification.findings) == (TWO, ())
    with pytest.raises(RepoNotFoundError):
        mixhub.verify(workspace, family=THREE, hub=endpoint)


def test_weights_of_another_repo(workspace, endpoint, api):
    weights = workspace.export(workspace.family().run(seed=1), 12) / "model.safetensors"
    put(api, TWO, {"model.safetensors": weights})
    verification = mixhub.verify(workspace, hub=endpoint)
    assert f"weights-repeated {ONE}@main" in seen(verification.findings, f"{TWO}@main")
    assert f"weights-repeated {TWO}@main" in seen(verification.findings, f"{ONE}@main")
    [noted] = json.loads(workspace.verify_receipts.read_text())["branches"].values()
    assert not any(noted.values())


def test_weights_that_were_cast_are_found_by_their_numbers(workspace, endpoint, api, tmp_path):
    weights = load_file(workspace.export(workspace.family().run(seed=1), 12) / "model.safetensors")
    save_file({name: one.to(torch.float64) for name, one in weights.items()}, tmp_path / "cast", {"format": "pt"})
    put(api, TWO, {"model.safetensors": tmp_path / "cast"})
    repeated = f"weights-repeated {ONE}@main"
    assert repeated not in seen(mixhub.verify(workspace, hub=endpoint).findings, f"{TWO}@main")
    assert repeated in seen(mixhub.verify(workspace, hub=endpoint, deep=True).findings, f"{TWO}@main")


def test_another_tokenizer_than_in_the_other_repo(workspace, endpoint, api):
    export = workspace.export(workspace.family().run(seed=2), 12)
    put(api, TWO, {"tokenizer.json": (export / "tokenizer.json").read_bytes() + b"\n"})
    assert "file-differs tokenizer.json" in seen(mixhub.verify(workspace, hub=endpoint).findings, f"{TWO}@main")


def test_the_command(workspace, endpoint, mixhub_here):
    done = mixhub_here("verify", "--hub", endpoint.url, cwd=workspace.root)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "tester/tiny-seed{seed}: 3 repos, 3 branches, 1 finding"
    printed = json.loads(mixhub_here("verify", "--json", "--hub", endpoint.url, cwd=workspace.root).stdout)
    assert [branch["repo_id"] for branch in printed["branches"]] == [ONE, TWO, THREE]
    assert [finding["where"] for finding in printed["findings"]] == [f"{THREE}@main"]


def test_a_repo_that_cannot_be_read_is_not_checked(workspace, endpoint, waits):
    family = workspace.family()
    with faulty(endpoint.url) as proxy:
        through = Endpoint(proxy.url, endpoint.token, workspace.path("cache"))
        proxy.fails("GET", "tiny-seed2/refs", 503)
        findings = verify_repos(through, family).findings
        assert seen(findings, f"{TWO}@main") == ["unchecked: hub-refused"]
        assert seen(findings, f"{THREE}@main") == ["repo-not-found"]
    with pytest.raises(HubUnreachableError):
        verify_repos(through, family)


def test_no_repo_at_all(workspace, endpoint, api):
    api.delete_repo(ONE)
    api.delete_repo(TWO)
    with pytest.raises(RepoNotFoundError):
        mixhub.verify(workspace, hub=endpoint)
