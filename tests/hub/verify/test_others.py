"""Repos of others: what cannot be checked is said to be unchecked, and what is in order raises no alarm."""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
import torch
from huggingface_hub import CommitOperationAdd, HfApi
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from mixhub.endpoint import Endpoint
from mixhub.findings import exit_status
from mixhub.hub.verify.repo import Verification, verify
from mixhub.hubserver import LOCAL_TOKEN, serve
from tests.faults import faulty, waits
from tests.hub.others import T5, WIDE, edited, saved
from tests.hub.seen import seen

__all__ = ["waits"]

REPO, MODEL, INDEX = "lab/model", "model.safetensors", "model.safetensors.index.json"
NOT_CHECKED = "unchecked: model-unsupported"


@dataclass
class Lab:
    """A repo of others on a hub."""

    endpoint: Endpoint
    folder: Path
    """A tiny Llama with its tokenizer."""
    api: HfApi

    def push(self, folder: Path | dict[str, bytes], branch: str = "main") -> None:
        if branch != "main":
            self.api.create_branch(REPO, branch=branch, exist_ok=True)
        files = folder if isinstance(folder, dict) else contents(folder)
        operations = [CommitOperationAdd(path, content) for path, content in files.items()]
        self.api.create_commit(REPO, operations, commit_message="a model", revision=branch)

    def verify(self, **options) -> Verification:
        return verify(self.endpoint, REPO, **options)

    def seen(self, branch: str = "main", **options) -> list[str]:
        return seen(self.verify(**options).findings, branch)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def llama(folder: Path, seed: int = 0, **options) -> Path:
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**WIDE, num_key_value_heads=2, bos_token_id=0, eos_token_id=1))
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    model.save_pretrained(folder, **options)
    return folder


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(tmp_path_factory.mktemp("hub")) as hub:
        yield hub.url


@pytest.fixture
def lab(hub: str, tmp_path: Path) -> Iterator[Lab]:
    folder = tmp_path / "model"
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    made = Lab(Endpoint(hub, LOCAL_TOKEN, tmp_path / "cache"), llama(folder), HfApi(hub, token=LOCAL_TOKEN))
    made.api.create_repo(REPO)
    yield made
    made.api.delete_repo(REPO)


@pytest.fixture
def proxy(lab):
    with faulty(lab.endpoint.url) as proxy:
        lab.endpoint = Endpoint(proxy.url, LOCAL_TOKEN, lab.endpoint.cache_dir)
        yield proxy


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"model.Q4_K_M.gguf": b"GGUF", "notes.txt": b"x"}, "model.Q4_K_M.gguf"),
        ({"flax_model.msgpack": b"x", "tf_model.h5": b"x"}, "flax_model.msgpack"),
        ({"adapter_config.json": b"{}", "adapter_model.safetensors": b"x", "training_args.bin": b"x"}, "an adapter"),
        ({"adapter_config.json": b"{}", "adapter_model.bin": b"x"}, "an adapter"),
        ({f"step-{n}/{name}": b"{}" for n in (1, 2) for name in ("config.json", MODEL)}, "step-1, step-2"),
        ({"lora.safetensors": b"x"}, "lora.safetensors without config.json"),
    ],
)
def test_a_repo_without_a_model_that_can_be_checked(lab, files, named):
    lab.push(files)
    verification = lab.verify()
    [finding] = verification.findings
    assert (finding.code, finding.level, finding.where) == ("model-unsupported", "unchecked", "main")
    assert named in finding.message
    assert exit_status(verification.findings) == 3


@pytest.mark.parametrize("files", [{}, {"notes.txt": b"x"}])
def test_a_repo_without_anything(lab, files):
    if files:
        lab.push(files)
    assert lab.seen() == ["unchecked: model-missing"]


def test_weights_in_another_format_beside_a_config(lab):
    files = contents(lab.folder)
    del files[MODEL]
    lab.push({**files, "flax_model.msgpack": b"x"})
    assert lab.seen() == [f"{NOT_CHECKED} flax_model.msgpack"]


@pytest.mark.parametrize(
    "extra",
    [
        {"consolidated.safetensors": b"x", "params.json": b"{}"},
        {"adapter_config.json": b"{}", "adapter_model.safetensors": b"x"},
        {"model.fp16.safetensors": b"x"},
        {"original/consolidated.00.safetensors": b"x", "metal/model.bin": b"x"},
        {"model.Q8_0.gguf": b"GGUF"},
        {"onnx/model.onnx": b"x", "onnx/config.json": b"{}"},
    ],
)
def test_other_layouts_beside_a_model_are_in_order(lab, extra):
    lab.push({**contents(lab.folder), **extra})
    assert lab.verify().findings == ()


@pytest.mark.parametrize(
    ("dtype", "branch", "found"),
    [
        (torch.float16, "float16", []),
        (torch.bfloat16, "step3-bf16", []),
        (torch.bfloat16, "step9-bf16", ["weights-repeated step3"]),
        (torch.float16, "step9", ["weights-repeated step3"]),
        (torch.float32, "step3-fp16", ["weights-repeated step3"]),
    ],
)
def test_a_copy_in_the_dtype_that_its_branch_names(lab, dtype, branch, found):
    lab.push(lab.folder, "step3")
    path = lab.folder / MODEL
    save_file({name: one.to(dtype) for name, one in load_file(path).items()}, path, {"format": "pt", "copy": "1"})
    edited(lab.folder, dtype=str(dtype).removeprefix("torch."))
    lab.push(lab.folder, branch)
    assert [one for one in lab.seen(branch, deep=True) if "file-differs" not in one] == found


@pytest.mark.parametrize("size", ["1GB", "40KB"])
def test_a_head_beside_the_embedding_that_it_is_tied_to(lab, proxy, waits, size):
    """A copy is in order, in one file or several; another head is found by a few bytes of each."""
    llama(lab.folder, max_shard_size=size)
    edited(lab.folder, tie_word_embeddings=True)
    files = {path: load_file(path) for path in lab.folder.glob("*.safetensors")}
    embedding = next(one["model.embed_tokens.weight"] for one in files.values() if "model.embed_tokens.weight" in one)
    lab.push(lab.folder)
    assert lab.seen() == ["warning: tensors-untied lm_head.weight"]
    assert lab.seen(deep=True) == ["warning: tensors-untied lm_head.weight"], "not twice"
    [path] = [path for path, one in files.items() if "lm_head.weight" in one]
    save_file({**files[path], "lm_head.weight": embedding.clone()}, path, {"format": "pt"})
    lab.push(lab.folder)
    assert lab.seen(deep=True) == []
    proxy.fails("GET", f"/resolve/.*{path.name}", 503)
    assert {one.level for one in lab.verify().findings} == {"unchecked"}


def test_a_second_set_of_shards_is_a_warning(lab):
    llama(lab.folder, max_shard_size="40KB")
    lab.push({**contents(lab.folder), "model-00001-of-00009.safetensors": b"x"})
    assert lab.seen() == ["warning: shard-foreign model-00001-of-00009.safetensors"]


def test_a_stated_size_that_is_wrong_is_a_warning(lab):
    llama(lab.folder, max_shard_size="40KB")
    index = json.loads((lab.folder / INDEX).read_text())
    index["metadata"]["total_size"] += 1
    (lab.folder / INDEX).write_text(json.dumps(index))
    lab.push(lab.folder)
    assert lab.seen(deep=True) == ["warning: index-differs total_size"]


@pytest.mark.parametrize("metadata", [None, {}, {"made_by": "hand"}])
def test_metadata_of_safetensors_do_not_matter(lab, metadata):
    save_file(load_file(lab.folder / MODEL), lab.folder / MODEL, metadata)
    lab.push(lab.folder)
    assert lab.verify(deep=True).findings == ()


@pytest.mark.parametrize(
    ("model", "config", "values"),
    [
        ("T5ForConditionalGeneration", "T5Config", T5),
        ("BertForSequenceClassification", "BertConfig", WIDE),
    ],
)
def test_a_complete_repo_of_a_model_of_another_kind(lab, model, config, values):
    (lab.folder / MODEL).unlink()
    lab.push(saved(lab.folder, model, config, **values))
    [finding] = lab.verify(deep=True).findings
    assert (finding.code, finding.level) == ("model-unsupported", "unchecked")
    assert model in finding.message


def test_a_repo_with_its_own_code(lab):
    code = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}
    lab.push({**contents(edited(lab.folder, model_type="own", auto_map=code)), "own.py": b"x = 1"})
    found = lab.verify(deep=True).findings
    assert {finding.level for finding in found} == {"warning", "unchecked"}
    assert not any(str(lab.endpoint.cache_dir) in f"{finding.message} {finding.hint}" for finding in found)


PIECES = b"\x0a\x0e\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02"
RANKS = b"IQ== 0\nIg== 1\n"


@pytest.mark.parametrize(
    ("content", "absent", "hint"),
    [
        (PIECES, ["sentencepiece", "google.protobuf", "tiktoken"], "install sentencepiece and protobuf"),
        (PIECES, ["sentencepiece", "google.protobuf"], "install sentencepiece and protobuf"),
        (RANKS, ["sentencepiece", "google.protobuf", "tiktoken"], "install tiktoken"),
    ],
)
def test_a_package_that_is_not_installed(lab, monkeypatch, content, absent, hint):
    """Transformers tries sentencepiece, then tiktoken, and reports the last; the file says which one is needed."""
    for module in absent:
        monkeypatch.setitem(sys.modules, module, None)
    if "tiktoken" not in absent:
        monkeypatch.setitem(sys.modules, "tiktoken", ModuleType("tiktoken"))
        monkeypatch.setitem(sys.modules, "tiktoken.load", ModuleType("tiktoken.load"))
        sys.modules["tiktoken.load"].load_tiktoken_bpe = lambda path: int("damaged")
    files = contents(lab.folder)
    del files["tokenizer.json"]
    settings = {**json.loads(files["tokenizer_config.json"]), "tokenizer_class": "LlamaTokenizer"}
    lab.push({**files, "tokenizer_config.json": json.dumps(settings).encode(), "tokenizer.model": content})
    assert lab.verify().findings == ()
    [finding] = lab.verify(deep=True).findings
    assert (finding.code, finding.level, finding.hint) == ("package-missing", "unchecked", hint)
    assert "main" not in finding.message, "so that many branches share a line"


def test_a_damaged_tokenizer_needs_no_other_package(lab, monkeypatch):
    """With sentencepiece, Transformers tries tiktoken on what it cannot read."""
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    for module in ("sentencepiece", "google", "google.protobuf"):
        monkeypatch.setitem(sys.modules, module, stub := ModuleType(module))
        stub.__spec__, stub.__path__ = ModuleSpec(module, None), []
    files = contents(lab.folder)
    del files["tokenizer.json"]
    settings = {**json.loads(files["tokenizer_config.json"]), "tokenizer_class": "LlamaTokenizer"}
    lab.push({**files, "tokenizer_config.json": json.dumps(settings).encode(), "tokenizer.model": PIECES})
    [finding] = lab.verify(deep=True).findings
    assert (finding.code, finding.level) == ("load-failed", "error"), finding


def test_a_passing_fault_of_the_network_is_no_finding(lab, proxy, waits):
    lab.push(lab.folder)
    for path in ("/tree/", MODEL, "config.json"):
        proxy.fails("GET", path, 503, times=1)
    assert lab.verify().findings == ()
    assert len(waits) == 3


@pytest.mark.parametrize("path", [f"step1.*|{MODEL}", "tokenizer.json"])
def test_a_fault_of_the_network_that_stays_is_no_fault_of_the_repo(lab, proxy, waits, path):
    lab.push(lab.folder)
    lab.push({"notes.txt": b"x"}, "step1")
    proxy.fails("GET", f"/resolve/.*({path})", 503)
    found = lab.verify().findings
    assert {finding.level for finding in found} == {"unchecked"}
    assert {finding.code for finding in found} == {"hub-refused"}
    assert not any("push it again" in finding.hint for finding in found)


def test_a_file_that_the_hub_lists_and_does_not_have_is_a_fault_of_the_repo(lab, proxy):
    lab.push(lab.folder)
    proxy.fails("GET", f"/resolve/.*{MODEL}", 404, headers={"X-Error-Code": "EntryNotFound"})
    assert [finding.level for finding in lab.verify().findings] == ["error"]


def test_branches_cost_few_requests(lab, proxy):
    """Each commit is listed once, each content is read once, and of each file of weights only its start."""
    names = ["main", *(f"step{number}" for number in range(1, 12))]
    for number, name in enumerate(names):
        lab.push(llama(lab.folder, number), name)
    for number in range(3):
        lab.api.create_branch(REPO, branch=f"alias{number}", revision="step1")
    proxy.requests.clear()
    assert len(lab.verify().branches) == len(names) + 3
    calls = [one for one in proxy.requests if " /api/" in one]
    assert len(calls) <= len(names) + 5
    assert len(proxy.requests) <= 3 * len(names)
    assert proxy.count("GET", "/tree/") == proxy.count("GET", MODEL) == len(names)
    assert proxy.count("HEAD", ".") == 0
    proxy.requests.clear()
    shutil.rmtree(lab.endpoint.cache_dir / "models--lab--model" / "snapshots")
    lab.verify()
    assert proxy.count("GET", "json") == 0, "the contents are in the cache"
