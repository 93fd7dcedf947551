import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from mixhub.spec.base import parse_yaml
from mixhub.training.checkpoints.state import State
from mixhub.training.export import saved_weights_sha256, write_export
from mixhub.training.loop import train
from mixhub.training.model import build_model
from mixhub.training.options import TrainOptions
from mixhub.training.weights import save_weights
from mixhub.workspace.lineage import file_sha256, read_lineage, weights_sha256
from mixhub.workspace.manifest import read_manifest
from mixhub.workspace.paths import RunFolder
from tests.tiny import tiny_family

FAMILY = tiny_family(training={"steps": 2, "warmup_steps": 0})
RUN = FAMILY.run(seed=3)
CPU = TrainOptions(device="cpu")


@pytest.fixture(scope="module")
def export(tokens: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "seed-3")
    return train(FAMILY, RUN, tokens=tokens, folder=folder, options=CPU)


def test_plain_transformers_opens_it(export: Path, tokens: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(export)
    tokenizer = AutoTokenizer.from_pretrained(export)
    assert model.dtype == torch.float32
    assert sum(weight.numel() for weight in model.parameters()) == FAMILY.architecture.parameters
    packed = AutoTokenizer.from_pretrained(tokens / "tokenizer")
    text = "The cat sat – on 12 + 7 = 19 ☂<|endoftext|>"
    assert tokenizer(text)["input_ids"] == packed(text)["input_ids"]
    assert tokenizer(text)["input_ids"][-1] == tokenizer.eos_token_id == model.config.eos_token_id == 0
    made = model.generate(**tokenizer("The cat", return_tensors="pt"), max_new_tokens=4, do_sample=False)
    assert made.shape[1] > len(tokenizer("The cat")["input_ids"])


def test_ids_and_dtype_are_right_in_both_configs(export: Path) -> None:
    for name in ("config.json", "generation_config.json"):
        config = json.loads((export / name).read_text())
        assert [config[f"{token}_token_id"] for token in ("bos", "eos", "pad")] == [0, 0, 0]
    config = json.loads((export / "config.json").read_text())
    assert config["dtype"] == "float32"
    assert config["vocab_size"] == 320


def test_no_file_names_a_path_of_this_machine(export: Path) -> None:
    for path in export.iterdir():
        assert str(export.parent.parent).encode() not in path.read_bytes()


def test_lineage_says_what_it_is_made_of(export: Path, tokens: Path, folder: RunFolder) -> None:
    lineage = read_lineage(export)
    assert (lineage.family, lineage.revision, lineage.kind, lineage.number) == ("tiny", "seed-3", "seed", 3)
    assert (lineage.step, lineage.steps, lineage.tokens) == (2, 2, 2 * 8 * 16)
    assert (lineage.init_seed, lineage.order_seed) == (3, 3)
    assert lineage.weights_sha256 == weights_sha256(export)
    assert lineage.tokenizer_sha256 == file_sha256(export / "tokenizer.json")
    assert lineage.corpus_sha256 == read_manifest(tokens).sha256()
    assert (lineage.device, lineage.processes) == ("cpu", 1)
    assert "unknown" not in lineage.versions.values()


def test_the_initial_hash_is_that_of_an_export_of_step_0(export: Path, tokens: Path, folder: RunFolder) -> None:
    model = build_model(FAMILY.architecture, FAMILY.training, init_seed=3, eos_id=0)
    folder.path.mkdir(parents=True)
    initial = saved_weights_sha256(model, folder.path)
    lineage = read_lineage(export)
    state = State(
        step=0,
        train_config_sha256=lineage.train_config_sha256,
        corpus_sha256=lineage.corpus_sha256,
        initial_weights_sha256=initial,
        versions={},
    )
    path = folder.export(0)
    write_export(model, state, FAMILY, RUN, tokens=tokens, path=path)
    assert read_lineage(export).initial_weights_sha256 == initial == weights_sha256(path)
    assert read_lineage(export).weights_sha256 != initial


def test_train_config_has_regmix_keys_and_ours(export: Path) -> None:
    config = parse_yaml((export / "train_config.yaml").read_text(), "train_config.yaml")
    assert config == FAMILY.train_config(RUN)
    assert config["train"]["train_prose"] == 0.5
    assert config["model_name"] == "tiny"


def test_weights_and_configs_are_the_bytes_that_transformers_writes(export: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(export)
    model.save_pretrained(tmp_path)
    for name in ("model.safetensors", "generation_config.json"):
        assert (export / name).read_bytes() == (tmp_path / name).read_bytes(), name
    ours, theirs = (json.loads((folder / "config.json").read_text()) for folder in (export, tmp_path))
    assert ours == theirs


@pytest.mark.parametrize("tied", [False, True])
def test_weights_in_several_files_load_as_they_were(tied: bool, tmp_path: Path) -> None:
    family = tiny_family(architecture={"tie_word_embeddings": tied})
    model = build_model(family.architecture, family.training, init_seed=3, eos_id=0)
    save_weights(model, tmp_path, torch.bfloat16, max_file_size=20_000)
    model.config.save_pretrained(tmp_path)
    files = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert files == [f"model-{number:05d}-of-{len(files):05d}.safetensors" for number in range(1, len(files) + 1)]
    assert len(files) > 1
    largest = max(weight.numel() for weight in model.parameters())
    for name in files:
        stored = load_file(tmp_path / name).values()
        assert sum(2 * tensor.numel() for tensor in stored) <= max(20_000, 2 * largest)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_parameters"] == family.architecture.parameters
    assert index["metadata"]["total_size"] == 2 * family.architecture.parameters
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    for name, weight in model.named_parameters():
        assert torch.equal(loaded.get_parameter(name), weight.bfloat16()), name
