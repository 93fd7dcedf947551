"""`mixhub.load`: what is asked for is what is loaded, bit for bit, and mistakes say what there is."""

import os

import pytest
import torch
from huggingface_hub import HfApi
from safetensors.torch import load_file

import mixhub
from mixhub.endpoint import HubChoice
from mixhub.errors import (
    HubUnreachableError,
    MixhubError,
    RepoNotFoundError,
    RevisionNotFoundError,
    UnknownNameError,
    UsageError,
)
from mixhub.hub.opening import opened
from tests.made import copied, publish


@pytest.fixture(scope="module")
def published(made, tmp_path_factory):
    """A workspace whose first two seeds are on its hub, the hub running, and their commits by branch."""
    workspace = copied(made, tmp_path_factory.mktemp("published"))
    with opened(HubChoice("local", "the test"), workspace) as endpoint:
        yield workspace, endpoint, publish(workspace, endpoint)


@pytest.fixture
def workspace(published):
    return published[0]


@pytest.fixture
def endpoint(published):
    return published[1]


@pytest.fixture
def commits(published):
    return published[2]


def exported(workspace, seed):
    family = workspace.family()
    return load_file(workspace.export(family.run(seed=seed), family.training.steps) / "model.safetensors")


def same(model, weights):
    state = model.state_dict()
    return state.keys() == weights.keys() and all(torch.equal(state[name], weights[name]) for name in state)


def test_it_unpacks_and_knows_what_it_is(workspace, endpoint, commits):
    loaded = mixhub.load("tiny", seed=2, workspace=workspace.root)
    model, tokenizer = loaded
    assert same(model, exported(workspace, 2))
    assert not same(model, exported(workspace, 1))
    assert tokenizer.decode(tokenizer("the cat sat").input_ids) == "the cat sat"
    assert (loaded.repo_id, loaded.revision, loaded.commit) == ("tester/tiny", "seed-2", commits["seed-2"])
    assert loaded.endpoint.startswith("http://127.0.0.1:")


def test_the_ways_to_name_a_revision_agree(workspace, endpoint, commits):
    asked = [
        ("tiny", {"commit": commits["seed-1"], "workspace": workspace.root}),
        ("tester/tiny", {"revision": "seed-1", "workspace": workspace.root}),
        ("tester/tiny", {"seed": 1, "hub": endpoint.url}),
        ("tester/tiny", {"revision": commits["seed-1"], "hub": endpoint.url}),
    ]
    for family, options in asked:
        loaded = mixhub.load(family, **options)
        assert loaded.commit == commits["seed-1"]
        assert same(loaded.model, exported(workspace, 1))


def test_a_pinned_commit_does_not_follow_the_branch(made, tmp_path):
    workspace = copied(made, tmp_path)
    with opened(HubChoice("local", "the test"), workspace) as endpoint:
        commits = publish(workspace, endpoint)
        api = HfApi(endpoint=endpoint.url, token=endpoint.token)
        api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="tester/tiny", revision="seed-1")
    assert mixhub.load("tiny", commit=commits["seed-1"], workspace=workspace.root).commit == commits["seed-1"]
    assert mixhub.load("tiny", seed=1, workspace=workspace.root).commit != commits["seed-1"]


def test_options_go_to_transformers(workspace, endpoint, commits):
    model, _ = mixhub.load("tiny", seed=1, workspace=workspace.root, dtype=torch.bfloat16, attn_implementation="eager")
    assert model.dtype == torch.bfloat16
    assert model.config._attn_implementation == "eager"


@pytest.mark.parametrize(
    ("family", "options", "error", "said"),
    [
        ("tiny", {"seed": 3}, RevisionNotFoundError, "no revision 'seed-3'; did you mean seed-"),
        ("tiny", {"seed": 9}, UnknownNameError, "unknown seed 9 in tiny; did you mean 3?"),
        ("tiny", {"revision": "sed-1"}, RevisionNotFoundError, "did you mean seed-1?"),
        ("tiny", {"commit": "0" * 40}, RevisionNotFoundError, "no revision '0000"),
        ("tiny", {"commit": "seed-1"}, UsageError, "must be 40 hexadecimal digits"),
        ("tiny", {"commit": "0" * 40, "seed": 1}, UsageError, "commit says all"),
        ("tiny", {"seed": 1, "revision": "x"}, UsageError, "either revision, or seed"),
        ("tiny", {"seed": 1, "step": 5}, RevisionNotFoundError, "no revision 'seed-1-step-5'"),
        ("tiny", {"index": 1}, UsageError, "tiny has seeds, not indices"),
        ("tiny", {}, UsageError, "which seed of tiny?"),
        ("tinny", {"seed": 1}, UnknownNameError, "did you mean tiny?"),
        ("tester/other", {"seed": 1}, RepoNotFoundError, "no repo tester/other"),
        ("tester/tiny", {"revision": "main"}, MixhubError, "holds no model"),
    ],
)
def test_a_mistake_says_what_there_is(workspace, endpoint, commits, family, options, error, said):
    with pytest.raises(error) as caught:
        mixhub.load(family, workspace=workspace.root, **options)
    assert said in str(caught.value)
    if error is RevisionNotFoundError:
        assert caught.value.hint == "it has: main, seed-1, seed-2"
        assert caught.value.fields["repo_id"] == "tester/tiny"
        assert caught.value.fields["endpoint"].startswith("http://127.0.0.1")


def test_a_hub_that_does_not_answer():
    with pytest.raises(HubUnreachableError, match=r"http://127\.0\.0\.1:9: nothing answers"):
        mixhub.load("human-1b", seed=1, hub="http://127.0.0.1:9")


def test_the_working_directory_and_mixhub_hub_do_not_matter_to_python(workspace, monkeypatch):
    monkeypatch.chdir(workspace.root)
    monkeypatch.setenv("MIXHUB_HUB", "local")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UnknownNameError, match="unknown family 'tiny'"):
        mixhub.load("tiny", seed=1)
    with pytest.raises(HubUnreachableError, match=r"127\.0\.0\.1:9"):
        mixhub.load("human-1b", seed=1)


def test_local_needs_a_workspace():
    with pytest.raises(UsageError, match="the embedded hub of a workspace, and there is none"):
        mixhub.load("human-1b", seed=1, hub="local")


def test_the_cache_is_that_of_the_store_and_not_of_the_port(workspace, endpoint, commits):
    path = mixhub.load("tiny", seed=1, workspace=workspace.root).path
    assert path.is_relative_to(workspace.cache)
    assert endpoint.cache_dir.name not in endpoint.url
    elsewhere = mixhub.load("tester/tiny", seed=1, hub=endpoint.url).path
    assert elsewhere.is_relative_to(os.environ["HF_HOME"])
    assert endpoint.cache_dir.name in elsewhere.parts
