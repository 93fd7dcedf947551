"""Repos of others: only files that Transformers opens are downloaded, and a repo without a model says what it has."""

import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file

import mixhub
from mixhub.errors import ExportError
from mixhub.hub.remote.download import download
from mixhub.hubserver import LOCAL_TOKEN, RunningHub
from mixhub.hubserver.transfers import lfs
from tests.hub.bench import INDEX, SHARDS, WEIGHTS, Bench
from tests.made import copied
from tests.refusals import refused

Push = Callable[..., str]


@pytest.fixture(scope="module")
def bench(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    workspace = copied(made, tmp_path_factory.mktemp("bench"))
    one = Bench(workspace, workspace.family())
    one.shard(2)
    return one


@pytest.fixture
def model(bench: Bench, tmp_path: Path) -> Path:
    """A folder in Transformers format that mixhub did not make."""
    return foreign(bench.export(1), tmp_path / "model")


@pytest.fixture
def sharded(bench: Bench, tmp_path: Path) -> Path:
    return foreign(bench.export(2), tmp_path / "sharded")


def foreign(export: Path, folder: Path) -> Path:
    shutil.copytree(export, folder)
    for name in ("lineage.json", "train_config.yaml"):
        (folder / name).unlink()
    return folder


@pytest.fixture
def push(hub: RunningHub, request: pytest.FixtureRequest) -> Push:
    """Pushes a folder as a repo of its own; gives the repo_id."""
    api = HfApi(endpoint=hub.url, token=LOCAL_TOKEN)
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name).strip("-")[-60:].strip("-")
    repo_id = f"others/{name.replace('--', '-').replace('--', '-')}"

    def push(folder: Path, branch: str = "main") -> str:
        api.create_repo(repo_id, exist_ok=True)
        if branch != "main":
            api.create_branch(repo_id, branch=branch)
        api.upload_folder(repo_id=repo_id, folder_path=folder, revision=branch)
        return repo_id

    return push


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the large files that the hub sends."""
    names: list[str] = []

    class Recorded(lfs._BlobResponse):
        def __init__(self, *arguments, **options):
            names.append(options["filename"])
            super().__init__(*arguments, **options)

    monkeypatch.setattr(lfs, "_BlobResponse", Recorded)
    return names


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


OTHERS = (
    *("consolidated.safetensors", "consolidated.00.pth", "model.fp16.safetensors", "original/model.safetensors"),
    *("metal/model.bin", "onnx/model.onnx", "onnx/model.onnx_data", "m.q4.gguf", "flax_model.msgpack", "tf_model.h5"),
    *("rust_model.ot", "pytorch_model.bin", "training_args.bin", "model-00001-of-00003.safetensors", "plot.png"),
    *("coreml/model.mlmodel", "weights.npz", "data/train.parquet", "odd"),
)


@pytest.mark.parametrize("kind", ["model", "sharded"])
def test_only_the_weights_that_transformers_opens_are_fetched(kind, endpoint, push, sent, request):
    folder = request.getfixturevalue(kind)
    opened = {path.name for path in folder.glob("*.safetensors")}
    write(folder, {name: b"\0" * 100_000 for name in OTHERS if name not in opened})
    write(folder, {"own/code.py": b"", "additional_chat_templates/tool.jinja": b"x", "results/a.json": b"{}"})
    repo_id = push(folder)
    sent.clear()
    _, path = download(endpoint, repo_id, "main")
    assert set(sent) == opened
    files = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    assert files & {*OTHERS} == opened & {*OTHERS}
    assert {"own/code.py", "additional_chat_templates/tool.jinja", "tokenizer.json", "config.json"} <= files
    assert "results/a.json" not in files
    size = sum((path / name).stat().st_size for name in files)
    assert (
        size
        < sum(file.stat().st_size for file in folder.iterdir() if file.name not in OTHERS or file.name in opened) + 2000
    )
    mixhub.load(repo_id, hub=endpoint.url)


def test_the_single_file_goes_before_the_index(model, sharded, endpoint, push, sent):
    """As in Transformers, which opens the stray file, too."""
    shutil.copy(model / WEIGHTS, sharded)
    repo_id = push(sharded)
    sent.clear()
    with pytest.warns(UserWarning, match=SHARDS[0]):
        loaded = mixhub.load(repo_id, hub=endpoint.url)
    assert set(sent) == {WEIGHTS}
    weights = load_file(model / WEIGHTS)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in loaded.model.state_dict().items())


def test_shards_may_lie_in_a_folder(sharded, endpoint, push, sent):
    (sharded / "part").mkdir()
    for shard in SHARDS:
        shutil.move(sharded / shard, sharded / "part")
    index = json.loads((sharded / INDEX).read_text())
    index["weight_map"] = {name: f"part/{shard}" for name, shard in index["weight_map"].items()}
    (sharded / INDEX).write_text(json.dumps(index))
    repo_id = push(sharded)
    sent.clear()
    mixhub.load(repo_id, hub=endpoint.url)
    assert set(sent) == {*SHARDS}


def test_pickles_are_fetched_if_there_is_nothing_else(model, endpoint, push, sent):
    torch.save(load_file(model / WEIGHTS), model / "pytorch_model.bin")
    (model / WEIGHTS).unlink()
    write(model, {"training_args.bin": b"\0" * 100, "tf_model.h5": b"\0" * 100})
    repo_id = push(model)
    sent.clear()
    mixhub.load(repo_id, hub=endpoint.url)
    assert set(sent) == {"pytorch_model.bin"}


def test_an_option_may_choose_other_weights(model, endpoint, push):
    shutil.move(model / WEIGHTS, model / "model.fp16.safetensors")
    repo_id = push(model)
    with refused("weights-missing", ExportError, files=("model.fp16.safetensors",)):
        mixhub.load(repo_id, hub=endpoint.url)
    assert mixhub.load(repo_id, hub=endpoint.url, variant="fp16").model.num_parameters() > 0


def test_a_model_in_a_folder(model, endpoint, push, tmp_path, sent):
    for step in ("step-1", "step-2"):
        shutil.copytree(model, tmp_path / "all" / step)
    repo_id = push(tmp_path / "all")
    with refused("model-in-folder", ExportError, folders=("step-1", "step-2")):
        mixhub.load(repo_id, hub=endpoint.url)
    sent.clear()
    loaded = mixhub.load(repo_id, hub=endpoint.url, subfolder="step-2")
    assert (loaded.path / "step-2" / WEIGHTS).is_file()
    assert not (loaded.path / "step-1").exists()
    assert set(sent) == {WEIGHTS}
    with refused("model-missing", ExportError):
        mixhub.load(repo_id, hub=endpoint.url, subfolder="step-3")


def test_an_adapter_is_no_model(model, endpoint, push, tmp_path, sent):
    config = json.dumps({"base_model_name_or_path": "lab/base"}).encode()
    adapter = {"adapter_config.json": config, "adapter_model.safetensors": (model / WEIGHTS).read_bytes()}
    write(tmp_path / "adapter", adapter)
    repo_id = push(tmp_path / "adapter")
    with refused("model-adapter", ExportError, base="lab/base"):
        mixhub.load(repo_id, hub=endpoint.url)
    assert sent == []


def test_an_adapter_beside_a_model_is_left_alone_and_said(model, endpoint, push, sent):
    """With peft installed, Transformers would apply it: what is loaded must not depend on that."""
    write(model, {"adapter_config.json": b"{}", "adapter_model.safetensors": (model / WEIGHTS).read_bytes()})
    repo_id = push(model)
    sent.clear()
    with pytest.warns(UserWarning, match="adapter") as caught:
        loaded = mixhub.load(repo_id, hub=endpoint.url)
    assert len(caught) == 1
    assert set(sent) == {WEIGHTS}
    assert not (loaded.path / "adapter_config.json").exists()


@pytest.mark.parametrize(
    ("files", "code", "named"),
    [
        ({"README.md": b"---\nlicense: mit\n---\n"}, "model-missing", ()),
        ({"m.gguf": b"GGUF\0", "README.md": b"---\nlicense: mit\n---\n"}, "model-missing", ("m.gguf",)),
        ({"config.json": b"{}", "m.gguf": b"GGUF\0"}, "weights-missing", ("m.gguf",)),
        ({"config.json": b"{}", "flax_model.msgpack": b"\0"}, "weights-missing", ("flax_model.msgpack",)),
        ({"config.json": b"{}", SHARDS[0]: b"\0", SHARDS[1]: b"\0"}, "index-missing", (INDEX,)),
        ({"config.json": b"{}", INDEX: b"{"}, "file-malformed", None),
        ({"config.json": b"{}", INDEX: b'{"weight_map": []}'}, "index-malformed", None),
        (
            {"config.json": b"{}", INDEX: json.dumps({"weight_map": {"a": SHARDS[0]}}).encode()},
            "shard-missing",
            (SHARDS[0],),
        ),
    ],
)
def test_what_holds_no_model_says_what_it_holds(endpoint, push, tmp_path, sent, files, code, named):
    write(tmp_path / "other", files)
    repo_id = push(tmp_path / "other")
    sent.clear()
    fields = {} if named is None else {"files": named}
    with refused(code, ExportError, **fields) as caught:
        mixhub.load(repo_id, hub=endpoint.url)
    assert sent == [], "refused before anything large was downloaded"
    assert str(endpoint.cache_dir) not in caught.value.message
    assert repo_id in caught.value.message


def test_a_branch_without_a_model_names_the_others(model, endpoint, push, tmp_path):
    write(tmp_path / "card", {"README.md": b"---\nlicense: mit\n---\n"})
    repo_id = push(tmp_path / "card")
    push(model, "step-1")
    with refused("model-missing", ExportError) as caught:
        mixhub.load(repo_id, hub=endpoint.url)
    assert "step-1" in caught.value.hint


def test_a_file_that_is_cut_in_the_cache_is_downloaded_again(sharded, endpoint, push, caplog):
    repo_id = push(sharded)
    _, path = download(endpoint, repo_id, "main")
    cut = [path / "config.json", path / SHARDS[1]]
    whole = [file.read_bytes() for file in cut]
    for file in cut:
        file.resolve().write_bytes(file.read_bytes()[:-5])
    cut, whole = [*cut, path / "tokenizer.json"], [*whole, (path / "tokenizer.json").read_bytes()]
    cut[-1].resolve().write_bytes(b"{" * len(whole[-1]))
    with caplog.at_level("WARNING"):
        assert download(endpoint, repo_id, "main")[1] == path
    assert [file.read_bytes() for file in cut] == whole
    assert "damaged in the cache" in caplog.text


def test_a_damaged_file_that_cannot_be_replaced_is_named(model, endpoint, push, monkeypatch):
    repo_id = push(model)
    _, path = download(endpoint, repo_id, "main")
    file = (path / WEIGHTS).resolve()
    file.write_bytes(file.read_bytes()[:-5])

    def read_only(*arguments, force_download=False, original=mixhub.hub.remote.branches.snapshot, **options):
        if force_download:
            raise PermissionError(13, "Permission denied")
        return original(*arguments, **options)

    monkeypatch.setattr("mixhub.hub.remote.branches.snapshot", read_only)
    with refused("download-differs", ExportError, path=file):
        download(endpoint, repo_id, "main")


def test_weights_beside_those_of_a_model_of_ours_are_refused(bench, endpoint, push, tmp_path):
    shutil.copytree(bench.export(1), tmp_path / "ours")
    save_file({"a": torch.zeros(1)}, tmp_path / "ours" / "extra.safetensors")
    repo_id = push(tmp_path / "ours")
    with refused("shard-foreign", ExportError, files=("extra.safetensors",)), warnings.catch_warnings():
        mixhub.load(repo_id, hub=endpoint.url)
