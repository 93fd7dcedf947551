"""`mixhub.load`: what is asked for is what is loaded, bit for bit, and mistakes say what there is."""

import ast
import inspect
import json
import os
import re
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants
from safetensors.torch import load_file, save_file

import mixhub
from mixhub.endpoint import Endpoint, HubChoice
from mixhub.errors import (
    ExportError,
    HubError,
    HubUnreachableError,
    RepoNotFoundError,
    RevisionNotFoundError,
    UnknownNameError,
    UsageError,
)
from mixhub.hub.load.load import LoadOptions
from mixhub.hub.load.opening import open_folder
from mixhub.hub.remote.connect import open_hub
from mixhub.hub.remote.download import download, require_as_published
from mixhub.hub.rules.config import UnsupportedModelError
from mixhub.hubserver import LOCAL_TOKEN, serve
from tests.adopted import save_tokenizer
from tests.hub.others import WIDE, saved
from tests.made import copied, publish
from tests.refusals import refused


@pytest.fixture(scope="module")
def published(made, tmp_path_factory):
    """A workspace whose first two seeds are on its hub, the hub running, and their commits by branch."""
    workspace = copied(made, tmp_path_factory.mktemp("published"))
    with open_hub(HubChoice("local", "the test"), workspace) as endpoint:
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
    with open_hub(HubChoice("local", "the test"), workspace) as endpoint:
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
    ("options", "said"),
    [
        ({"sead": 1}, "'sead'; did you mean 'seed'?"),
        ({"seed": 1, "verfy": True}, "'verfy'; did you mean 'verify'?"),
        ({"seed": 1, "worksapce": "."}, "'worksapce'; did you mean 'workspace'?"),
        ({"seed": 1, "atention": "eager"}, "'atention': Transformers: LlamaForCausalLM"),
    ],
)
def test_an_option_that_nobody_knows_is_a_type_error(workspace, endpoint, commits, options, said):
    with pytest.raises(TypeError, match=re.escape(f"load() got an unexpected keyword argument {said}")):
        mixhub.load("tiny", **{"workspace": workspace.root, **options})


def test_its_options_are_in_its_signature_and_each_is_documented():
    shown = inspect.signature(mixhub.load).parameters
    assert list(shown) == [
        "family", "seed", "index", "step", "revision", "commit", "hub", "workspace", "options",
    ]  # fmt: skip
    assert shown["options"].annotation == "Unpack[LoadOptions]"
    source = ast.parse(textwrap.dedent(inspect.getsource(LoadOptions))).body[0].body[1:]
    for field, text in zip(source[::2], source[1::2], strict=True):
        assert isinstance(field, ast.AnnAssign)
        assert isinstance(text, ast.Expr)


OF_COMMIT = ("commit", "seed", "index", "step", "revision")
OF_REVISION = ("revision", "seed", "index", "step")


@pytest.mark.parametrize(
    ("family", "options", "error", "code", "fields"),
    [
        ("tiny", {"seed": 3}, RevisionNotFoundError, "revision-not-found", {"revision": "seed-3"}),
        ("tiny", {"seed": 9}, UnknownNameError, "unknown-seed", {"name": 9}),
        ("tiny", {"revision": "sed-1"}, RevisionNotFoundError, "revision-not-found", {"nearest": "seed-1"}),
        ("tiny", {"commit": "0" * 40}, RevisionNotFoundError, "revision-not-found", {"revision": "0" * 40}),
        ("tiny", {"commit": "seed-1"}, UsageError, "option-value", {"option": "commit", "value": "seed-1"}),
        ("tiny", {"commit": "0" * 40, "seed": 1}, UsageError, "option-conflict", {"options": OF_COMMIT}),
        ("tiny", {"seed": 1, "revision": "x"}, UsageError, "option-conflict", {"options": OF_REVISION}),
        ("tiny", {"step": 1, "revision": "x"}, UsageError, "option-conflict", {"options": OF_REVISION}),
        ("tiny", {"seed": 1, "step": 5}, RevisionNotFoundError, "revision-not-found", {"revision": "seed-1-step-5"}),
        ("tiny", {"index": 1}, UsageError, "run-kind", {}),
        ("tiny", {}, UsageError, "option-missing", {"option": "seed"}),
        ("tinny", {"seed": 1}, UnknownNameError, "unknown-family", {"name": "tinny"}),
        ("tester/other", {"seed": 1}, RepoNotFoundError, "repo-not-found", {"repo_id": "tester/other"}),
        ("tester/other", {"step": 1}, UsageError, "option-missing", {"options": ("seed", "index")}),
        ("tester/other", {"seed": 1, "index": 1}, UsageError, "option-conflict", {"options": ("seed", "index")}),
        ("tester/other", {"seed": 1, "step": 2}, RepoNotFoundError, "repo-not-found", {"revision": "seed-1-step-2"}),
        ("tester/other", {"index": 4}, RepoNotFoundError, "repo-not-found", {"revision": "model-index-4"}),
        ("tester/tiny", {"revision": "main"}, ExportError, "model-missing", {}),
    ],
)
def test_a_mistake_says_what_there_is(workspace, endpoint, commits, family, options, error, code, fields):
    with refused(code, error, **fields) as caught:
        mixhub.load(family, workspace=workspace.root, **options)
    if error is RevisionNotFoundError:
        assert caught.value.fields["revisions"] == ("main", "seed-1", "seed-2")
        assert caught.value.hint == "use one of: main, seed-1, seed-2"
        assert caught.value.fields["repo_id"] == "tester/tiny"
        assert caught.value.fields["endpoint"].startswith("http://127.0.0.1")


def test_a_hub_that_does_not_answer():
    with refused("hub-unreachable", HubUnreachableError, endpoint="http://127.0.0.1:9"):
        mixhub.load("human-1b", seed=1, hub="http://127.0.0.1:9")


def test_the_working_directory_and_mixhub_hub_do_not_matter_to_python(workspace, monkeypatch):
    monkeypatch.chdir(workspace.root)
    monkeypatch.setenv("MIXHUB_HUB", "local")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with refused("unknown-family", UnknownNameError, name="tiny"):
        mixhub.load("tiny", seed=1)
    with refused("hub-unreachable", HubUnreachableError, endpoint="http://127.0.0.1:9"):
        mixhub.load("human-1b", seed=1)


def test_local_needs_a_workspace():
    with refused("workspace-required", UsageError):
        mixhub.load("human-1b", seed=1, hub="local")


def test_the_cache_is_that_of_the_store_and_not_of_the_port(workspace, endpoint, commits):
    path = mixhub.load("tiny", seed=1, workspace=workspace.root).path
    assert path.is_relative_to(workspace.cache)
    assert endpoint.cache_dir.name not in endpoint.url
    elsewhere = mixhub.load("tester/tiny", seed=1, hub=endpoint.url).path
    assert elsewhere.is_relative_to(os.environ["HF_HOME"])
    assert endpoint.cache_dir.name in elsewhere.parts


def test_the_cache_serves_when_the_hub_does_not(made, tmp_path, monkeypatch):
    workspace = copied(made, tmp_path)
    store = workspace.hub
    with serve(store) as hub:
        endpoint = Endpoint(hub.url, LOCAL_TOKEN, tmp_path / "cache", store_id=hub.store_id)
        commits = publish(workspace, endpoint)
        assert download(endpoint, "tester/tiny", "seed-1")[0] == commits["seed-1"]
    for offline in (False, True):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        with pytest.warns(UserWarning, match=f"from the cache, commit {commits['seed-1']}"):
            commit, path = download(endpoint, "tester/tiny", "seed-1")
        assert commit == commits["seed-1"]
        assert same(open_folder(path, "x")[0], exported(workspace, 1))
        with pytest.raises(HubUnreachableError):
            download(endpoint, "tester/tiny", "seed-2")


@pytest.mark.parametrize("lost", ["config.json", "tokenizer_config.json", "model-00002-of-*.safetensors"])
def test_an_incomplete_cache_does_not_serve(made, tmp_path, monkeypatch, lost):
    workspace = copied(made, tmp_path)
    family = workspace.family()
    model, tokenizer = open_folder(workspace.export(family.run(seed=1), family.training.steps), "x")
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "sharded", **({"max_shard_size": "30KB"} if part is model else {}))
    with serve(tmp_path / "hub") as hub:
        endpoint = Endpoint(hub.url, LOCAL_TOKEN, tmp_path / "cache", store_id=hub.store_id)
        api = HfApi(endpoint=hub.url, token=LOCAL_TOKEN)
        api.create_repo("tester/sharded")
        api.upload_folder(repo_id="tester/sharded", folder_path=tmp_path / "sharded")
        commit, path = download(endpoint, "tester/sharded", "main")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.warns(UserWarning, match=f"from the cache, commit {commit}"):
        download(endpoint, "tester/sharded", "main")
    (file,) = path.glob(lost)
    file.unlink()
    with pytest.raises(HubUnreachableError):
        download(endpoint, "tester/sharded", "main")


def test_the_cache_serves_when_an_embedded_hub_by_address_does_not(made, tmp_path, monkeypatch):
    workspace = copied(made, tmp_path)
    with serve(workspace.hub) as hub:
        with open_hub(HubChoice(hub.url, "the test"), workspace) as endpoint:
            commits = publish(workspace, endpoint)
        there = mixhub.load("tiny", seed=1, workspace=workspace.root, hub=hub.url)
    for offline in (False, True):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        with pytest.warns(UserWarning, match="from the cache"):
            loaded = mixhub.load("tiny", seed=1, workspace=workspace.root, hub=hub.url)
        assert (loaded.commit, loaded.path) == (commits["seed-1"], there.path)


@pytest.mark.parametrize("noted", ["../../..", "a/b", "", ".", b"\xff"])
def test_a_noted_store_id_that_names_no_folder_is_ignored(made, tmp_path, monkeypatch, noted):
    workspace = copied(made, tmp_path)
    with serve(workspace.hub) as hub, open_hub(HubChoice(hub.url, "the test"), workspace):
        pass
    (note,) = workspace.cache.glob("downloads/*/store_id")
    note.write_bytes(noted if isinstance(noted, bytes) else noted.encode())
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with open_hub(HubChoice(hub.url, "the test"), workspace) as endpoint:
        assert endpoint.store_id is None
        assert endpoint.cache_dir == note.parent


def test_a_branch_of_another_run_is_refused(workspace, endpoint, commits):
    api = HfApi(endpoint=endpoint.url, token=LOCAL_TOKEN)
    api.delete_branch("tester/tiny", branch="seed-1")
    api.create_branch("tester/tiny", branch="seed-1", revision=commits["seed-2"])
    with refused("run-wrong", ExportError, revision="seed-1", actual="seed-2"):
        mixhub.load("tiny", seed=1, workspace=workspace.root)
    api.delete_branch("tester/tiny", branch="seed-1")
    api.create_branch("tester/tiny", branch="seed-1", revision=commits["seed-1"])


def test_another_commit_than_the_one_that_was_asked_for(workspace, endpoint, commits, monkeypatch):
    real = HfApi.model_info
    swapped = {commits["seed-1"]: commits["seed-2"]}
    monkeypatch.setattr(
        HfApi,
        "model_info",
        lambda self, repo, revision=None, **more: real(self, repo, revision=swapped.get(revision, revision), **more),
    )
    with refused("commit-differs", HubError, revision=commits["seed-1"]):
        mixhub.load("tiny", commit=commits["seed-1"], workspace=workspace.root)


def test_a_file_that_was_laid_beside_is_found(workspace, endpoint, commits):
    loaded = mixhub.load("tiny", seed=1, workspace=workspace.root, verify=True)
    (loaded.path / "chat_template.jinja").write_text("x")
    with refused("download-foreign", ExportError, path=loaded.path / "chat_template.jinja"):
        mixhub.load("tiny", seed=1, workspace=workspace.root, verify=True)
    (loaded.path / "chat_template.jinja").unlink()


def test_the_local_hub_serves_where_requests_are_forbidden(workspace, endpoint, commits, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert mixhub.load("tiny", seed=1, workspace=workspace.root).commit == commits["seed-1"]
    assert constants.HF_HUB_OFFLINE


def spoiled_tensor(export):
    weights = load_file(export / "model.safetensors")
    weights.pop("model.layers.0.self_attn.q_proj.weight")
    save_file(weights, export / "model.safetensors", metadata={"format": "pt"})


def spoiled_layers(export):
    config = export / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))


def truncated(export):
    weights = export / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def edited(export, name="config.json", **changes):
    path = export / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("spoil", "missing"),
    [
        (spoiled_tensor, "model.layers.0.self_attn.q_proj.weight"),
        (spoiled_layers, "model.layers.2.input_layernorm.weight"),
        (truncated, None),
        (lambda export: (export / "config.json").write_text("{"), None),
        (lambda export: (export / "config.json").write_text("{}"), None),
        (lambda export: (export / "model.safetensors").unlink(), None),
        (lambda export: [path.unlink() for path in export.glob("tokenizer*")], None),
        (lambda export: (export / "config.json").write_text("[]"), None),
        (lambda export: (export / "tokenizer.json").write_text("{}"), None),
        (lambda export: edited(export, num_attention_heads=0), None),
        (lambda export: edited(export, hidden_size=32), None),
        (lambda export: edited(export, hidden_size="x"), None),
    ],
)
def test_a_damaged_revision_is_an_error_and_never_a_model(made, tmp_path, spoil, missing):
    export = copied(made, tmp_path).path("runs", "tiny", "seed-1", "export", "step-000012")
    spoil(export)
    with refused("weights-unfit" if missing else "model-unloadable", ExportError, path=export) as caught:
        open_folder(export, "tester/tiny@seed-1")
    if missing:
        assert caught.value.fields["missing"][0] == missing


@pytest.mark.parametrize(
    ("model", "config"),
    [("BertModel", "BertConfig"), ("LlamaForSequenceClassification", "LlamaConfig")],
)
def test_a_model_of_another_kind_is_no_damaged_one(tmp_path, model, config):
    """Transformers has causal language models of these types, too, which other weights do not fit."""
    folder = saved(tmp_path, model, config, **WIDE)
    save_tokenizer(folder)
    with refused("model-unsupported", UnsupportedModelError) as caught:
        open_folder(folder, "lab/other@main")
    assert caught.value.message.startswith("lab/other@main: ")
    assert model in caught.value.message


@pytest.fixture
def no_hub():
    """A server that answers everything with what it is given, as a login page does."""
    answer = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(answer.get("status", 200))
            self.send_header("Content-Length", str(len(answer["body"])))
            self.end_headers()
            self.wfile.write(answer["body"])

        def log_message(self, *arguments):
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        answer["url"] = f"http://127.0.0.1:{server.server_port}"
        yield answer
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("body", [b"<html>log in</html>", b"{}", b"[]", b"null"])
def test_what_answers_but_is_no_hub(no_hub, body):
    no_hub["body"] = body
    with refused("hub-answer-malformed", HubError, endpoint=no_hub["url"]) as caught:
        mixhub.load("human-1b", seed=1, hub=no_hub["url"])
    assert "login page" in caught.value.hint


def test_a_server_that_has_no_such_page_is_no_hub(no_hub):
    no_hub |= {"body": b"<html>not found</html>", "status": 404}
    with refused("hub-answer-malformed", HubError, status=404) as caught:
        mixhub.load("human-1b", seed=1, hub=no_hub["url"])
    assert caught.value.hint == "check that this is the address of a hub"


@pytest.mark.parametrize("repo_id", ["a/b/c", "a/b--c", "a/b.git", "-a/b", "a/" + "b" * 96])
def test_what_is_no_repo_id(repo_id):
    with refused("repo-id-malformed", UsageError, repo_id=repo_id):
        mixhub.load(repo_id, hub="http://127.0.0.1:9")


def test_all_seeds_one_after_the_other(workspace, endpoint, commits):
    downloads = workspace.cache / "downloads"
    loaded = mixhub.load_all("tiny", workspace=workspace.root, verify=True)
    with pytest.warns(UserWarning, match="seed-3") as caught:  # planned, and told before anything is loaded
        first = next(loaded)
    assert len(caught) == 1
    assert (first.revision, first.commit) == ("seed-1", commits["seed-1"])
    second = next(loaded)
    assert (second.revision, second.commit) == ("seed-2", commits["seed-2"])
    assert same(second.model, exported(workspace, 2))
    tokenizers = {(one.path / "tokenizer.json").resolve() for one in (first, second)}
    assert len(tokenizers) == 1, "what they share is downloaded once"
    assert next(iter(tokenizers)).is_relative_to(downloads)
    with pytest.raises(StopIteration):
        next(loaded)
    with refused("revision-not-found", RevisionNotFoundError, revision="seed-1-step-5"):  # none has that step
        next(mixhub.load_all("tiny", step=5, workspace=workspace.root))
    with refused("revisions-unknown", UsageError):
        next(mixhub.load_all("somebody/else", hub=endpoint.url))


def test_what_is_verified_is_what_was_published(made, tmp_path):
    workspace = copied(made, tmp_path)
    with open_hub(HubChoice("local", "the test"), workspace) as endpoint:
        publish(workspace, endpoint)
        path = mixhub.load("tiny", seed=1, workspace=workspace.root, verify=True).path
        weights = (path / "model.safetensors").resolve()
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1  # a bit of a number flipped on disk
        weights.write_bytes(data)
        mixhub.load("tiny", seed=1, workspace=workspace.root)
        with refused("download-differs", ExportError, path=path / "model.safetensors") as caught:
            mixhub.load("tiny", seed=1, workspace=workspace.root, verify=True)
        assert str(weights) in caught.value.hint, "the file to delete"
        weights.unlink()
        mixhub.load("tiny", seed=1, workspace=workspace.root, verify=True)


def test_a_file_that_is_damaged_in_the_cache_is_not_the_publishers_fault(made, tmp_path):
    workspace = copied(made, tmp_path)
    with open_hub(HubChoice("local", "the test"), workspace) as endpoint:
        publish(workspace, endpoint)
        path = mixhub.load("tiny", seed=1, workspace=workspace.root).path
        weights = (path / "model.safetensors").resolve()
        weights.write_bytes(b"{" * weights.stat().st_size)
        with refused("download-differs", ExportError, path=path / "model.safetensors") as caught:
            mixhub.load("tiny", seed=1, workspace=workspace.root)
        assert str(weights) in caught.value.hint


def test_verified_without_the_hub_by_the_lineage(made, tmp_path):
    workspace = copied(made, tmp_path)
    with serve(workspace.hub) as hub:
        endpoint = Endpoint(hub.url, LOCAL_TOKEN, tmp_path / "cache", store_id=hub.store_id)
        publish(workspace, endpoint)
        commit, path = download(endpoint, "tester/tiny", "seed-1")
    endpoint = Endpoint("http://127.0.0.1:9", LOCAL_TOKEN, tmp_path / "cache")
    require_as_published(endpoint, "tester/tiny", commit, path)
    lineage = path / "lineage.json"
    text = lineage.read_text()
    lineage.unlink()
    with refused("download-unverifiable", ExportError):
        require_as_published(endpoint, "tester/tiny", commit, path)
    lineage.write_text(re.sub(r'"weights_sha256": "\w+"', f'"weights_sha256": "{"0" * 64}"', text))
    with refused("weights-differ", ExportError, path=path):
        require_as_published(endpoint, "tester/tiny", commit, path)


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"model.safetensors.index.json": b'{"weight_map": {"x": "y.safetensors"}}'}, "weights-ambiguous"),
        ({"generation_config.json": b"{"}, "file-malformed"),
        ({"tokenizer.json": None}, "tokenizer-differs"),
    ],
)
def test_what_transformers_would_pass_over_is_refused(made, tmp_path, files, code):
    workspace = copied(made, tmp_path)
    with open_hub(HubChoice("local", "the test"), workspace) as endpoint:
        publish(workspace, endpoint)
        operations = [
            CommitOperationDelete(path) if content is None else CommitOperationAdd(path, content)
            for path, content in files.items()
        ]
        HfApi(endpoint=endpoint.url, token=endpoint.token).create_commit(
            "tester/tiny", operations, revision="seed-1", commit_message="a fault"
        )
        with refused(code, ExportError):
            mixhub.load("tiny", seed=1, workspace=workspace.root, verify=True)


def test_wrong_tokens_of_a_config_are_corrected_and_said(made, tmp_path):
    """As in the published configs of the first family: bos 1 and eos 2, where the tokenizer has 0."""
    workspace = copied(made, tmp_path)
    with open_hub(HubChoice("local", "the test"), workspace) as endpoint:
        publish(workspace, endpoint)
        api = HfApi(endpoint=endpoint.url, token=endpoint.token)
        for name in ("config.json", "generation_config.json"):
            config = json.loads(workspace.export(workspace.family().run(seed=1), 12).joinpath(name).read_text())
            wrong = json.dumps({**config, "bos_token_id": 1, "eos_token_id": 2}).encode()
            api.upload_file(path_or_fileobj=wrong, path_in_repo=name, repo_id="tester/tiny", revision="seed-1")
        with pytest.warns(UserWarning, match="corrected on the loaded model") as caught:
            model, _ = mixhub.load("tiny", seed=1, workspace=workspace.root)
    said = [str(warning.message) for warning in caught]
    assert said == [
        f"tester/tiny@seed-1: its config says {key} = {value}, but its tokenizer's is 0; corrected on the loaded model"
        for key, value in (("bos_token_id", 1), ("eos_token_id", 2))
    ]
    for config in (model.config, model.generation_config):
        assert (config.bos_token_id, config.eos_token_id) == (0, 0)


@pytest.mark.parametrize(
    ("files", "stated"),
    [
        (("config.json", "generation_config.json"), 2),
        (("config.json", "generation_config.json"), [2, 3]),
        (("generation_config.json",), 2),
    ],
)
def test_tokens_of_a_model_of_others_are_left_as_they_are(made, tmp_path, files, stated):
    """As of a published model whose config is right, and whose tokenizer is not."""
    workspace = copied(made, tmp_path)
    export = workspace.export(workspace.family().run(seed=1), 12)
    (export / "lineage.json").unlink()
    for name in files:
        edited(export, name, eos_token_id=stated)
    with open_hub(HubChoice("local", "the test"), workspace) as endpoint:
        api = HfApi(endpoint=endpoint.url, token=endpoint.token)
        api.create_repo("others/one")
        api.upload_folder(repo_id="others/one", folder_path=export)
        with pytest.warns(UserWarning, match="eos_token_id") as caught:
            model, tokenizer = mixhub.load("others/one", hub=endpoint.url)
    assert len(caught) == 1
    assert tokenizer.eos_token_id == 0
    ends = {"config.json": model.config.eos_token_id, "generation_config.json": model.generation_config.eos_token_id}
    assert ends == {name: stated if name in files else 0 for name in ends}


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_tokenizer_with_ids_for_which_there_is_no_row(made, tmp_path, is_ours):
    """Transformers would raise an IndexError when it meets one. Of repos of others, it is said."""
    workspace = copied(made, tmp_path)
    with open_hub(HubChoice("local", "the test"), workspace) as endpoint:
        publish(workspace, endpoint)
        api = HfApi(endpoint=endpoint.url, token=endpoint.token)
        path = workspace.export(workspace.family().run(seed=1), 12) / "tokenizer.json"
        tokenizer = json.loads(path.read_text())
        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
        more = [{"id": number, "content": f"<{number}>", **flags} for number in range(300, 340)]
        tokenizer["added_tokens"] += more
        operations = [CommitOperationAdd("tokenizer.json", json.dumps(tokenizer).encode())]
        operations += [] if is_ours else [CommitOperationDelete("lineage.json")]
        api.create_commit("tester/tiny", operations, revision="seed-1", commit_message="a fault")
        said = "its tokenizer has ids up to 339, but its model has only 320 rows for them"
        expected = refused("vocabulary-exceeded", ExportError) if is_ours else pytest.warns(UserWarning, match=said)
        with expected:
            mixhub.load("tiny", seed=1, workspace=workspace.root)


def test_a_tokenizer_that_panics_is_a_damaged_file(workspace):
    export = workspace.export(workspace.family().run(seed=1), 12)
    tokenizer = json.loads((export / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    (export / "tokenizer.json").write_text(json.dumps(tokenizer))
    with refused("model-unloadable", ExportError, path=export):
        open_folder(export, "it")


def test_a_namespace_that_replaced_the_owner_is_said(made, tmp_path):
    workspace = copied(made, tmp_path)
    path = workspace.root / "mixhub.yaml"
    path.write_text(f"namespace: me\n{path.read_text()}")
    for attempt in (
        lambda: mixhub.load("human-1b", seed=1, workspace=workspace.root),
        lambda: mixhub.verify(workspace.root, family="human-1b"),
    ):
        with refused("repo-not-found", RepoNotFoundError, repo_id="me/data-mixture-human-1b") as caught:
            attempt()
        assert "sail/data-mixture-human-1b" in caught.value.hint
    with refused("repo-not-found", RepoNotFoundError, repo_id="sail/data-mixture-human-1b") as caught:
        mixhub.load("sail/data-mixture-human-1b", seed=1, workspace=workspace.root)
    assert "namespace" not in caught.value.hint


def test_a_repo_that_was_never_pushed_is_to_be_pushed(made, tmp_path):
    workspace = copied(made, tmp_path)
    for attempt in (
        lambda: mixhub.load(workspace.family().repo_id, seed=1, workspace=workspace.root),
        lambda: mixhub.verify(workspace.root),
    ):
        with refused("repo-not-found", RepoNotFoundError) as caught:
            attempt()
        assert caught.value.hint.startswith("push it first: mixhub push --all; or check the name")
