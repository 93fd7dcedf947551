"""A fault in an export is found and named; one without passes in silence."""

import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from mixhub.hub.rules.export import check_export
from mixhub.workspace.lineage import file_sha256, weights_sha256
from tests.hub.bench import INDEX, SHARDS, WEIGHTS
from tests.hub.seen import seen
from tests.refusals import codes


def test_an_export_without_fault(bench):
    checked = check_export(bench.export(), "seed-1")
    assert checked.findings == ()
    assert checked.weights_sha256 == weights_sha256(bench.export())
    files = {path.name: file_sha256(path) for path in bench.export().iterdir()}
    assert dict(checked.hashes) == files
    assert (checked.config["hidden_size"], checked.vocab_size, checked.eos_token) == (16, 300, "<|endoftext|>")


def test_sharded_weights_without_fault_pass(bench):
    bench.shard()
    assert bench.check(load=True).findings == ()


def flip_one(tensors):
    tensors["model.norm.weight"][3] = float("nan")


def make_infinite(tensors):
    tensors["lm_head.weight"][0, 0] = float("inf")
    tensors["lm_head.weight"][1, 1] = float("-inf")


def drop(tensors):
    del tensors["model.norm.weight"]


def add(tensors):
    tensors["model.extra.weight"] = torch.zeros(2)


def reshape(tensors):
    tensors["model.norm.weight"] = torch.zeros(8)


def make_whole(tensors):
    tensors["model.norm.weight"] = torch.ones(16, dtype=torch.int64)


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (make_whole, "weights-wrong-dtype model.norm.weight"),
        (flip_one, "weights-not-finite model.norm.weight"),
        (make_infinite, "weights-not-finite lm_head.weight"),
        (drop, "tensor-missing model.norm.weight"),
        (add, "tensor-foreign model.extra.weight"),
        (reshape, "shape-differs model.norm.weight"),
    ],
)
def test_weights_that_cannot_be_right(bench, fault, found):
    bench.weights(fault)
    assert bench.seen() == [found]
    assert not bench.workspace.check_receipts.exists()


def test_numbers_that_are_none_are_counted(bench):
    bench.weights(make_infinite)
    [found] = bench.check().findings
    assert "lm_head.weight (2)" in found.message


def no_shard(bench):
    bench.shard()
    (bench.export() / SHARDS[1]).unlink()


def shard_too_many(bench):
    bench.shard()
    first = bench.export() / SHARDS[0]
    shutil.copyfile(first, first.with_name("model-00003-of-00003.safetensors"))


def index_and_single(bench):
    bench.shard()
    save_file({"a": torch.zeros(1)}, bench.export() / WEIGHTS)


def edit_map(bench, change):
    bench.shard()
    bench.edit(INDEX, lambda index: change(index["weight_map"]))


def index_of_other_shards(bench):
    edit_map(bench, lambda files: files.update({min(files): SHARDS[1], max(files): SHARDS[0]}))


def index_without_a_tensor(bench):
    edit_map(bench, lambda files: files.pop("model.norm.weight"))


def index_with_a_tensor(bench):
    edit_map(bench, lambda files: files.update({"model.ghost.weight": SHARDS[0]}))


def index_that_maps_to_no_file(bench):
    edit_map(bench, lambda files: files.update({"model.norm.weight": 5}))


def index_without_a_map(bench):
    bench.shard()
    bench.edit(INDEX, lambda index: index.pop("weight_map"))


def index_of_nothing(bench):
    edit_map(bench, lambda files: files.clear())


def index_that_is_a_list(bench):
    bench.shard()
    (bench.export() / INDEX).write_text("[]")


def index_of_another_size(bench):
    bench.shard()
    bench.edit(INDEX, lambda index: index["metadata"].update(total_size=index["metadata"]["total_size"] + 2))


def tensor_in_two_shards(bench):
    """Transformers takes the one that the index names; the other is in nobody's sight."""
    bench.shard()
    first, second = (bench.export() / name for name in SHARDS)
    name = min(load_file(second))
    save_file({**load_file(first), name: 5 * load_file(second)[name] + 1}, first, {"format": "pt"})


def no_weights(bench):
    (bench.export() / WEIGHTS).unlink()


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (no_weights, ["weights-missing"]),
        (no_shard, ["shard-missing", "tensor-missing model.layers.0.self_attn.v_proj.weight", "weights-differ"]),
        (shard_too_many, ["shard-foreign", "weights-differ"]),
        (index_and_single, ["weights-ambiguous", "tensor-foreign a", "weights-differ"]),
        (index_that_maps_to_no_file, ["index-malformed"]),
        (index_without_a_map, ["index-malformed"]),
        (index_of_nothing, ["index-malformed"]),
        (index_that_is_a_list, ["index-malformed"]),
        (index_of_other_shards, ["index-differs lm_head.weight"]),
        (index_without_a_tensor, ["index-differs model.norm.weight"]),
        (index_with_a_tensor, ["index-differs model.ghost.weight"]),
        (index_of_another_size, ["warning: index-differs total_size"]),
        (
            tensor_in_two_shards,
            [
                "index-differs model.layers.0.self_attn.v_proj.weight",
                "warning: index-differs total_size",
                "weights-differ",
            ],
        ),
    ],
)
def test_an_index_that_does_not_match(bench, fault, found):
    fault(bench)
    assert seen(check_export(bench.export(), "seed-1").findings, "seed-1") == found


@pytest.mark.parametrize("metadata", [None, {}, {"total_size": "many"}])
def test_an_index_that_states_no_size(bench, metadata):
    bench.shard()
    bench.edit(INDEX, lambda index: index.update(metadata=metadata))
    assert bench.seen() == []


def test_weights_that_are_no_safetensors(bench):
    path = bench.export() / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1])
    [found] = bench.check().findings
    assert (found.code, found.about) == ("weights-malformed", WEIGHTS)
    assert found.message.startswith(f"{WEIGHTS}: "), "a finding of an export names no folder"


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer.json", "train_config.yaml"])
def test_a_missing_file(bench, name):
    (bench.export() / name).unlink()
    assert bench.seen()[0] == f"file-missing {name}"


def test_two_missing_files_are_named_in_one_line(bench):
    for name in ("config.json", "train_config.yaml"):
        (bench.export() / name).unlink()
    [found] = bench.check().findings
    assert (found.code, "config.json, train_config.yaml" in found.message) == ("file-missing", True)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "optimizer.pt", "sub/model.pkl", "model.PT", "x.joblib"])
def test_a_pickle(bench, name):
    path = bench.export() / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    assert bench.seen() == [f"pickle-found {name}"]


@pytest.mark.parametrize("name", [".env", "notes.txt", "sub/x.safetensors"])
def test_a_file_that_nobody_meant_to_publish(bench, name):
    path = bench.export() / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    assert bench.seen() == [f"file-foreign {name}"]


def other_vocabulary(bench):
    bench.edit("config.json", lambda config: config.update(vocab_size=200))


def other_width(bench):
    bench.edit("config.json", lambda config: config.update(hidden_size=32))


def other_activation(bench):
    bench.edit("config.json", lambda config: config.update(hidden_act="relu"))


def other_rope(bench):
    rope = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}
    bench.edit("config.json", lambda config: config.update(rope_parameters=rope))


def other_end(bench):
    bench.edit("tokenizer_config.json", lambda config: config.update(eos_token="e"))


def rope_in_an_old_place(bench):
    """Transformers takes it before `rope_parameters`."""
    bench.edit("config.json", lambda config: config.update(rope_scaling={"rope_type": "linear", "factor": 8.0}))


def base_in_an_old_place(bench):
    rope = {"rope_type": "default"}
    bench.edit("config.json", lambda config: config.update(rope_parameters=rope, rope_theta=5.0))


def no_epsilon(bench):
    bench.edit("config.json", lambda config: config.pop("rms_norm_eps"))


def half_rotary(bench):
    bench.edit("config.json", lambda config: config.update(partial_rotary_factor=0.5))


def quantised(bench):
    given = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    bench.edit("config.json", lambda config: config.update(quantization_config=given))


def other_class(bench):
    bench.edit("config.json", lambda config: config.update(architectures=["GPT2LMHeadModel"]))


def not_causal(bench):
    bench.edit("config.json", lambda config: config.update(is_causal=False))


def other_dtype(bench):
    bench.edit("config.json", lambda config: config.update(dtype="float16"))


def own_code(bench):
    bench.edit("config.json", lambda config: config.update(auto_map={"AutoModelForCausalLM": "a/b--model.Own"}))


def own_tokenizer_code(bench):
    bench.edit("tokenizer_config.json", lambda config: config.update(auto_map={"AutoTokenizer": ["a/b--t.Own", None]}))


def many_layers(bench):
    bench.edit("config.json", lambda config: config.update(num_hidden_layers=300_000))


def tokens_beside(bench):
    """Transformers takes bos and eos from here, whatever `tokenizer_config.json` says."""
    (bench.export() / "special_tokens_map.json").write_text('{"eos_token": "a", "bos_token": "b"}')


def endless_number(bench):
    path = bench.export() / "config.json"
    path.write_text(path.read_text().replace('"vocab_size": 320', f'"vocab_size": {"9" * 5000}'))


def panicking_tokenizer(bench):
    normalizer = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    bench.edit("tokenizer.json", lambda tokenizer: tokenizer.update(normalizer=normalizer))


def no_model(bench):
    bench.edit("config.json", lambda config: config.update(model_type="nonsense"))


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (
            other_vocabulary,
            [
                "shape-differs lm_head.weight",
                "shape-differs model.embed_tokens.weight",
                "vocabulary-exceeded vocab_size",
                "architecture-differs vocab_size",
            ],
        ),
        (
            other_width,
            [
                "shape-differs lm_head.weight",
                "shape-differs model.embed_tokens.weight",
                "shape-differs model.layers.0.input_layernorm.weight",
                "shape-differs",
                "architecture-differs hidden_size",
                "architecture-unsupported head_dim",
            ],
        ),
        (rope_in_an_old_place, ["architecture-unsupported rope_type", "architecture-unsupported factor"]),
        (base_in_an_old_place, ["architecture-differs rope_theta"]),
        (no_epsilon, ["architecture-differs rms_norm_eps"]),
        (half_rotary, ["architecture-unsupported partial_rotary_factor"]),
        (quantised, ["architecture-unsupported quantization_config"]),
        (not_causal, ["architecture-unsupported is_causal"]),
        (other_dtype, ["dtype-differs dtype"]),
        (other_class, ["architecture-unsupported architectures"]),
        (own_code, ["code-required config.json"]),
        (own_tokenizer_code, ["code-required tokenizer_config.json"]),
        (many_layers, ["shape-differs config.json", "architecture-differs num_hidden_layers"]),
        (
            tokens_beside,
            [
                "token-id-differs config.json:bos_token_id",
                "token-id-differs config.json:eos_token_id",
                "token-id-differs generation_config.json:bos_token_id",
                "token-id-differs generation_config.json:eos_token_id",
                "vocabulary-differs eos_token",
            ],
        ),
        (endless_number, ["config-unusable config.json"]),
        (panicking_tokenizer, ["tokenizer-unusable", "tokenizer-differs"]),
        (no_model, ["config-unusable config.json"]),
        (other_activation, ["architecture-unsupported hidden_act"]),
        (other_rope, ["architecture-unsupported rope_type", "architecture-unsupported factor"]),
        (
            other_end,
            [
                "token-id-differs config.json:eos_token_id",
                "token-id-differs generation_config.json:eos_token_id",
                "vocabulary-differs eos_token",
            ],
        ),
    ],
)
def test_a_config_of_another_model(bench, fault, found):
    fault(bench)
    assert bench.seen() == found


def test_a_head_that_the_config_ties_away(bench):
    bench.edit("config.json", lambda config: config.update(tie_word_embeddings=True))
    assert bench.seen() == ["tensors-untied lm_head.weight", "architecture-differs tie_word_embeddings"]
    bench.weights(lambda tensors: tensors.update({"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}))
    assert bench.seen() == ["architecture-differs tie_word_embeddings"]


def test_shapes_are_named_three_at_most(bench):
    other_width(bench)
    said = [finding.message for finding in bench.check().findings if finding.code == "shape-differs"]
    assert "[320, 16]" in said[0]
    assert "[320, 32]" in said[0]
    assert len(said) == 4
    tensors = len(load_file(bench.export() / WEIGHTS))
    assert f"and {tensors - 3} more tensors" in said[3], "each of them has the width of the model"


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
@pytest.mark.parametrize("key", ["bos_token_id", "eos_token_id"])
def test_tokens_that_are_not_the_tokenizers(bench, name, key):
    bench.edit(name, lambda config: config.update({key: 2}))
    assert bench.seen() == [f"token-id-differs {name}:{key}"]


def test_a_list_of_ends_that_has_the_tokenizers(bench):
    bench.edit("generation_config.json", lambda config: config.update(eos_token_id=[2, 0]))
    assert bench.seen() == []
    bench.edit("generation_config.json", lambda config: config.update(eos_token_id=[2, 1]))
    assert bench.seen() == ["token-id-differs generation_config.json:eos_token_id"]


def test_a_tokenizer_that_cannot_be_opened(bench):
    bench.edit("tokenizer.json", lambda tokenizer: tokenizer.update(truncation=None, padding=None, more=1))
    assert bench.seen() == ["tokenizer-unusable", "tokenizer-differs"]


def test_a_tokenizer_of_another_run(bench):
    path = bench.export(2) / "tokenizer.json"
    path.write_text(path.read_text() + "\n")
    assert bench.seen(2) == ["tokenizer-differs"]


def test_a_tokenizer_of_another_size_than_the_family_says(bench):
    bench.edit("tokenizer.json", add_token)
    assert bench.seen() == ["tokenizer-differs", "vocabulary-differs vocab_size"]


@pytest.mark.parametrize("key", ["pad_token", "eos_token"])
def test_a_token_that_the_tokenizer_does_not_have(bench, key):
    """Transformers gives it a new id, which was never trained, and for which there may be no row."""
    bench.edit("tokenizer_config.json", lambda config: config.update({key: "[NEW]"}))
    assert bench.seen()[0] == f"token-missing {key}"


def test_a_settings_file_that_is_no_object(bench):
    (bench.export() / "generation_config.json").write_text("[]")
    assert "file-malformed" in codes(bench.check().findings)


def add_token(tokenizer):
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    tokenizer["added_tokens"].append({"id": 300, "content": "zzz", **flags})


def test_weights_that_are_not_those_of_the_lineage(bench):
    bench.weights(lambda tensors: tensors["model.norm.weight"].mul_(2), told=False)
    assert bench.seen() == ["weights-differ"]


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_lineage_that_is_none(bench, text):
    (bench.export() / "lineage.json").write_text(text)
    assert bench.seen() == ["lineage-malformed"]


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "lineage.json"])
def test_a_link_that_leads_to_itself(bench, name):
    path = bench.export() / name
    path.unlink()
    path.symlink_to(path)
    assert bench.seen()[0] == f"file-missing {name}"


def test_a_name_that_is_no_text_can_be_said(bench):
    (bench.export() / b"\xff.txt".decode(errors="surrogateescape")).write_text("x")
    command = [sys.executable, "-m", "mixhub", "check", "--seed", "1"]
    done = subprocess.run(command, cwd=bench.workspace.root, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"seed-1: \\udcff.txt: " in done.stdout


def test_weights_that_cannot_be_read_are_told_with_the_next_step(bench):
    (bench.export() / WEIGHTS).write_bytes(b"not safetensors")
    broken = [one for one in check_export(bench.export(), "seed-1").findings if one.about == WEIGHTS]
    assert broken
    assert all(finding.hint for finding in broken)


def test_the_dtype_of_weights_is_compared_when_all_could_be_read(bench):
    bench.shard()
    other_dtype(bench)
    assert "dtype-differs dtype" in bench.seen()
    shard = bench.export() / SHARDS[1]
    shard.write_bytes(shard.read_bytes()[:-1])
    assert bench.seen() == [f"weights-malformed {SHARDS[1]}"]
