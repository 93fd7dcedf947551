"""Repos of others in `load`, `generate` and `evaluate`: each gives a result or one line, never a traceback."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import transformers
from huggingface_hub import HfApi

import mixhub
from mixhub import workflow
from mixhub.errors import ExportError
from mixhub.hub.rules.config import UnsupportedModelError
from mixhub.hubserver import LOCAL_TOKEN, RunningHub, serve
from mixhub.workspace.paths import Workspace
from tests.made import copied
from tests.refusals import refused

TOKENS = {"vocab_size": 320, "bos_token_id": 0, "eos_token_id": 0}
SIZES = {**TOKENS, "hidden_size": 32, "num_hidden_layers": 2}
WIDE = {**SIZES, "num_attention_heads": 2, "intermediate_size": 64}
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
FEW = workflow.Sampling(tokens=4)
CODE = """
from transformers import LlamaConfig, LlamaForCausalLM

class OwnConfig(LlamaConfig):
    model_type = "own_kind"

class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with serve(tmp_path_factory.mktemp("others") / "hub") as running:
        yield running


@pytest.fixture(scope="module")
def workspace(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return copied(made, tmp_path_factory.mktemp("workspace"))


@pytest.fixture
def llama(workspace: Workspace, tmp_path: Path) -> Path:
    """A folder of the tiny family without what tells of mixhub."""
    shutil.copytree(workspace.export(workspace.family().run(seed=1), 12), tmp_path / "llama")
    (tmp_path / "llama" / "lineage.json").unlink()
    return tmp_path / "llama"


@pytest.fixture
def push(hub: RunningHub, tmp_path: Path) -> Callable[[Path], str]:
    """Pushes a folder to a repo of its own; gives the repo_id."""
    api = HfApi(endpoint=hub.url, token=LOCAL_TOKEN)

    def push(folder: Path) -> str:
        repo_id = f"others/{tmp_path.name.strip('-_.')}".replace("--", "-")
        api.create_repo(repo_id)
        api.upload_folder(repo_id=repo_id, folder_path=folder)
        return repo_id

    return push


def edit(folder: Path, name: str = "config.json", **values) -> Path:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return folder


def generated(repo_id: str, hub: RunningHub) -> str:
    return workflow.generate(None, "the cat", family=repo_id, hub=hub.url, sampling=FEW).text


def evaluated(repo_id: str, hub: RunningHub, workspace: Workspace, folder: Path) -> list[str]:
    options = workflow.Options(device="cpu")
    done = workflow.evaluate_model(repo_id, folder / "out", workspace=workspace, hub=hub.url, options=options)
    return [cell.task for cell in done.cells]


@pytest.mark.parametrize(
    ("model", "values"),
    [
        ("Mamba", {**SIZES, "state_size": 4}),
        ("Mamba2", {**SIZES, "state_size": 8, "num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 16}),
        ("Bloom", {**TOKENS, "hidden_size": 32, "n_layer": 2, "n_head": 2}),
        ("Mpt", {**TOKENS, "d_model": 32, "n_layers": 2, "n_heads": 2}),
        ("Rwkv", {**SIZES, "context_length": 64}),
        ("GPTNeoX", WIDE),
    ],
)
def test_models_with_and_without_a_context_length(hub, llama, push, tmp_path, model, values):
    folder = tmp_path / "other"
    getattr(transformers, f"{model}ForCausalLM")(getattr(transformers, f"{model}Config")(**values)).save_pretrained(
        folder
    )
    for name in TOKENIZER:
        shutil.copy(llama / name, folder)
    assert generated(push(folder), hub).startswith("the cat")


@pytest.mark.parametrize("context", [0, -1])
def test_a_context_that_is_none_does_not_limit(hub, llama, push, context):
    assert generated(push(edit(llama, max_position_embeddings=context)), hub).startswith("the cat")


UNSUPPORTED = {
    "gptq": ({"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}}, "package-missing"),
    "compressed": ({"quantization_config": {"quant_method": "compressed-tensors"}}, "package-missing"),
    "bnb": ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}, "package-missing"),
    "newer": ({"model_type": "llama9000"}, "model-unsupported"),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_what_is_not_here_is_named_and_no_fault_of_the_files(hub, workspace, llama, push, tmp_path, kind):
    values, code = UNSUPPORTED[kind]
    repo_id = push(edit(llama, **values))
    for attempt in (
        lambda: mixhub.load(repo_id, hub=hub.url),
        lambda: generated(repo_id, hub),
        lambda: evaluated(repo_id, hub, workspace, tmp_path),
    ):
        with refused(code, UnsupportedModelError) as caught:
            attempt()
        assert repo_id in caught.value.message
        assert "snapshots" not in caught.value.message
        assert "publish" not in caught.value.hint or kind == "newer"


def test_a_model_of_another_kind_is_not_damaged(hub, workspace, llama, push, tmp_path):
    values = {"vocab_size": 320, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2}
    transformers.T5ForConditionalGeneration(transformers.T5Config(**values)).save_pretrained(tmp_path / "t5")
    for name in TOKENIZER:
        shutil.copy(llama / name, tmp_path / "t5")
    repo_id = push(tmp_path / "t5")
    for attempt in (
        mixhub.load,
        lambda repo_id, hub: evaluated(repo_id, RunningHub(hub, "", Path()), workspace, tmp_path),
    ):
        with refused("model-unsupported", UnsupportedModelError):
            attempt(repo_id, hub=hub.url)


def test_an_encoder_is_no_causal_language_model_though_its_weights_fit_one(hub, llama, push, tmp_path):
    values = {**WIDE, "max_position_embeddings": 64}
    transformers.BertForMaskedLM(transformers.BertConfig(**values)).save_pretrained(tmp_path / "bert")
    for name in TOKENIZER:
        shutil.copy(llama / name, tmp_path / "bert")
    repo_id = push(tmp_path / "bert")
    for attempt in (lambda: mixhub.load(repo_id, hub=hub.url), lambda: generated(repo_id, hub)):
        with refused("model-unsupported", UnsupportedModelError) as caught:
            attempt()
        assert "BertForMaskedLM" in caught.value.message


def test_branches_with_dots_and_slashes_have_cells_of_their_own(hub, workspace, llama, push, tmp_path):
    repo_id = push(llama)
    api = HfApi(endpoint=hub.url, token=LOCAL_TOKEN)
    api.create_branch(repo_id, branch="v1.0/step4-seed-default")
    api.create_tag(repo_id, tag="v1.0")
    for revision in ("v1.0/step4-seed-default", "v1.0"):
        assert evaluated(f"{repo_id}@{revision}", hub, workspace, tmp_path) == ["tiny_choice"]
    cells = mixhub.results(tmp_path / "out", frame="cells")
    assert {*zip(cells["model"], cells["revision"], strict=True)} == {
        (repo_id, "v1.0/step4-seed-default"),
        (repo_id, "v1.0"),
    }


def test_custom_code_is_named_and_runs_only_if_asked(hub, workspace, llama, push, tmp_path):
    (llama / "own.py").write_text(CODE)
    mapping = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    repo_id = push(edit(llama, model_type="own_kind", auto_map=mapping))
    for attempt in (
        lambda: mixhub.load(repo_id, hub=hub.url),
        lambda: generated(repo_id, hub),
        lambda: evaluated(repo_id, hub, workspace, tmp_path),
    ):
        with refused("model-unsupported", UnsupportedModelError) as caught:
            attempt()
        assert "trust_remote_code=True" in caught.value.hint
    assert type(mixhub.load(repo_id, hub=hub.url, trust_remote_code=True).model).__name__ == "OwnModel"


@pytest.mark.parametrize(
    ("change", "is_damaged"),
    [
        (lambda folder: edit(folder, hidden_act="nonsense"), False),
        (lambda folder: edit(folder, vocab_size=None), False),
        (lambda folder: edit(folder, "generation_config.json", cache_implementation="nonsense"), False),
        (lambda folder: (folder / "config.json").write_text("[]"), True),
        (lambda folder: (folder / "config.json").write_text("{"), True),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), True),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"version https://git-lfs"), True),
    ],
)
def test_files_are_called_damaged_only_if_they_are(hub, llama, push, change, is_damaged):
    change(llama)
    repo_id = push(llama)
    for attempt in (lambda: mixhub.load(repo_id, hub=hub.url), lambda: generated(repo_id, hub)):
        with refused("model-unloadable", ExportError, damaged=is_damaged) as caught:
            attempt()
        assert "snapshots" not in caught.value.message


def test_a_model_whose_own_code_fails(hub, llama, push, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("of many\nlines")

    monkeypatch.setattr(transformers.LlamaForCausalLM, "generate", fail)
    with refused("generation-failed", ExportError):
        generated(push(llama), hub)


def test_too_little_memory_is_named(hub, llama, push, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", fail)
    with refused("memory-exceeded", UnsupportedModelError):
        mixhub.load(push(llama), hub=hub.url)


def test_a_tokenizer_without_a_token_that_begins_or_ends_text(hub, workspace, llama, push, tmp_path):
    """Log-likelihoods begin with one; loading and generating need none."""
    path = llama / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in settings.items() if not key.endswith("_token")}))
    repo_id = push(llama)
    assert generated(repo_id, hub).startswith("the cat")
    with refused("tokenizer-unusable", ExportError):
        evaluated(repo_id, hub, workspace, tmp_path)
