"""A fault in an export, or around it, is found and named; a run without one passes in silence."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mixhub.card.facts.withdrawal import Withdrawal, note_withdrawal
from mixhub.card.page.write import write_cards
from mixhub.errors import RunError
from mixhub.findings import errors
from mixhub.hub.check import check
from mixhub.hub.check.check import check_run
from mixhub.hub.rules import export as export_check
from mixhub.hub.rules.weights import scan
from mixhub.spec.base import data_sha256, read_yaml, to_yaml
from mixhub.spec.family import Family
from mixhub.workflow.status import family_status
from mixhub.workspace.lineage import file_sha256, read_lineage, weights_sha256
from mixhub.workspace.paths import Workspace


@dataclass
class Bench:
    """A workspace to break, and how to look at it."""

    workspace: Workspace
    family: Family

    def export(self, seed: int = 1) -> Path:
        return self.workspace.export(self.family.run(seed=seed), self.family.training.steps)

    def check(self, seed: int = 1, **options):
        return check_run(self.workspace, self.family, self.family.run(seed=seed), **options)

    def said(self, seed: int = 1, **options) -> dict[str, str]:
        """What is found, by kind."""
        found: dict[str, str] = {}
        for finding in self.check(seed, **options).findings:
            found[finding.kind] = f"{found.get(finding.kind, '')}{finding.message}\n"
        return found

    def edit(self, name: str, change: Callable[[dict], object], seed: int = 1) -> None:
        """Changes a JSON file of an export."""
        path = self.export(seed) / name
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))

    def weights(self, change: Callable[[dict], object], seed: int = 1, *, told: bool = True) -> None:
        """Changes the weights of an export, and the hash in its lineage."""
        path = self.export(seed) / "model.safetensors"
        tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
        change(tensors)
        save_file(tensors, path, {"format": "pt"})
        if told:
            self.tell_weights(seed)

    def tell_weights(self, seed: int = 1) -> None:
        digest = weights_sha256(self.export(seed))
        self.edit("lineage.json", lambda lineage: lineage.update(weights_sha256=digest), seed)

    def shard(self, seed: int = 1) -> dict:
        """Divides the weights of an export into two files; the index."""
        export = self.export(seed)
        tensors = load_file(export / "model.safetensors")
        names = sorted(tensors)
        files = {
            "model-00001-of-00002.safetensors": names[: len(names) // 2],
            "model-00002-of-00002.safetensors": names[len(names) // 2 :],
        }
        for file, own in files.items():
            save_file({name: tensors[name] for name in own}, export / file, {"format": "pt"})
        (export / "model.safetensors").unlink()
        total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        index = {
            "metadata": {"total_size": total},
            "weight_map": {name: file for file, own in files.items() for name in own},
        }
        (export / "model.safetensors.index.json").write_text(json.dumps(index))
        self.tell_weights(seed)
        return index


@pytest.fixture
def bench(workspace):
    shutil.rmtree(workspace.path("results"))
    return Bench(workspace, workspace.family())


def test_runs_without_fault_pass_and_are_not_read_again(workspace, monkeypatch):
    bench = Bench(workspace, workspace.family())
    first = [bench.check(seed) for seed in (1, 2)]
    assert [checked.findings for checked in first] == [(), ()]
    assert not any(checked.was_known for checked in first)
    read = []
    monkeypatch.setattr(export_check, "scan", lambda path: read.append(path) or scan(path))
    again = bench.check(1)
    assert (again.was_known, again.findings, read) == (True, (), [])
    assert again.content == first[0].content


def test_loading_is_noted_too(bench, monkeypatch):
    bench.check(1)
    assert not bench.check(1).loaded
    assert bench.check(1, load=True).loaded
    monkeypatch.setattr(check, "loading_findings", lambda *_: pytest.fail("it is known to load"))
    assert bench.check(1, load=True).loaded
    assert bench.check(1).loaded


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
    ("fault", "kind", "said"),
    [
        (make_whole, "weights", r"1 tensors are no plain floats .*: model\.norm\.weight \(I64\)"),
        (flip_one, "weights", r"NaN or infinite numbers in 1 tensors: model\.norm\.weight \(1\)"),
        (make_infinite, "weights", r"lm_head\.weight \(2\)"),
        (drop, "shapes", r"lack tensors that config\.json asks for: model\.norm\.weight"),
        (add, "shapes", r"hold tensors that config\.json does not ask for: model\.extra\.weight"),
        (reshape, "shapes", r"model\.norm\.weight has shape \[8\], and config\.json asks for \[16\]"),
    ],
)
def test_weights_that_cannot_be_right(bench, fault, kind, said):
    bench.weights(fault)
    found = bench.said()
    assert set(found) == {kind}
    assert re.search(said, found[kind])
    assert not bench.workspace.check_receipts.exists()


def no_shard(bench):
    bench.shard()
    (bench.export() / "model-00002-of-00002.safetensors").unlink()


def shard_too_many(bench):
    bench.shard()
    first = bench.export() / "model-00001-of-00002.safetensors"
    shutil.copyfile(first, first.with_name("model-00003-of-00003.safetensors"))


def index_and_single(bench):
    index = bench.shard()
    save_file({"a": torch.zeros(1)}, bench.export() / "model.safetensors")
    assert index


def index_of_other_shards(bench):
    index = bench.shard()
    names = sorted(index["weight_map"])
    first, last = index["weight_map"][names[0]], index["weight_map"][names[-1]]
    index["weight_map"] |= {names[0]: last, names[-1]: first}
    (bench.export() / "model.safetensors.index.json").write_text(json.dumps(index))


def tensor_in_two_shards(bench):
    """Transformers takes the one that the index names; the other is in nobody's sight."""
    index = bench.shard()
    first, second = sorted(set(index["weight_map"].values()))
    name = next(name for name, file in index["weight_map"].items() if file == second)
    tensors = load_file(bench.export() / first)
    tensors[name] = 5 * load_file(bench.export() / second)[name] + 1
    save_file(tensors, bench.export() / first, {"format": "pt"})


def index_without_a_tensor(bench):
    index = bench.shard()
    del index["weight_map"]["model.norm.weight"]
    (bench.export() / "model.safetensors.index.json").write_text(json.dumps(index))


def index_with_a_tensor(bench):
    index = bench.shard()
    index["weight_map"]["model.ghost.weight"] = "model-00001-of-00002.safetensors"
    (bench.export() / "model.safetensors.index.json").write_text(json.dumps(index))


def index_of_another_size(bench):
    index = bench.shard()
    index["metadata"]["total_size"] += 2
    (bench.export() / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (no_shard, "no model-00002-of-00002.safetensors, which"),
        (shard_too_many, "model-00003-of-00003.safetensors, which no part of the weights is"),
        (index_and_single, "both model.safetensors and model.safetensors.index.json"),
        (index_of_other_shards, "names the wrong shard of: lm_head.weight, model.norm.weight"),
        (tensor_in_two_shards, "goes with shards of which several hold: "),
        (index_without_a_tensor, "does not name tensors of the shards: model.norm.weight"),
        (index_with_a_tensor, "names tensors that are in no shard: model.ghost.weight"),
        (index_of_another_size, "bytes of tensors, and the shards hold"),
    ],
)
def test_an_index_that_does_not_match(bench, fault, said):
    fault(bench)
    assert said in bench.said()["index"]


@pytest.mark.parametrize("cut", [4, 100, -1, -4000])
def test_weights_that_are_cut_short(bench, cut):
    path = bench.export() / "model.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    found = bench.said()["weights"]
    assert found.startswith("model.safetensors: ")
    assert re.search(r"cut short \(\d+ bytes\)|and its header says", found)


@pytest.mark.parametrize("end", [b"x", b"\0" * 512])
def test_weights_with_something_behind_them(bench, end):
    path = bench.export() / "model.safetensors"
    path.write_bytes(path.read_bytes() + end)
    assert "and its header says" in bench.said()["weights"]


def test_weights_whose_header_lies(bench):
    path = bench.export() / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["model.norm.weight"]["shape"] = [15]
    raw = json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data[8 + length :])
    assert "model.norm.weight does not lie where its header says" in bench.said()["weights"]


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer.json", "train_config.yaml"])
def test_a_missing_file(bench, name):
    (bench.export() / name).unlink()
    assert bench.said()["files"] == f"lacks {name}\n"


@pytest.mark.parametrize("name", ["pytorch_model.bin", "optimizer.pt", "sub/model.pkl", "model.PT", "x.joblib"])
def test_a_pickle(bench, name):
    path = bench.export() / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    assert bench.said() == {"pickle": f"{name}: a pickle, which runs code when it is opened\n"}


@pytest.mark.parametrize("name", [".env", "notes.txt", "sub/x.safetensors"])
def test_a_file_that_nobody_meant_to_publish(bench, name):
    path = bench.export() / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    assert bench.said() == {"files": f"{name}: not part of an export, so it is not published\n"}


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
    ("fault", "kind", "said"),
    [
        (other_vocabulary, "shapes", "has shape [320, 16], and config.json asks for [200, 16]"),
        (other_vocabulary, "tokenizer", "ids up to 299, and vocab_size of config.json is 200"),
        (other_vocabulary, "recipe", "vocab_size = 200 in config.json, and the family says 320"),
        (other_width, "shapes", "tensors more that do not fit config.json"),
        (other_width, "recipe", "hidden_size = 32 in config.json, and the family says 16"),
        (rope_in_an_old_place, "recipe", "rope_type = 'linear' in config.json"),
        (base_in_an_old_place, "recipe", "rope_theta = 5.0 in config.json, and the family says 10000.0"),
        (no_epsilon, "recipe", "rms_norm_eps = 1e-06 in config.json, and the family says 1e-05"),
        (half_rotary, "recipe", "partial_rotary_factor = 0.5 in config.json, and a family's architecture has None"),
        (quantised, "recipe", "quantization_config = "),
        (not_causal, "recipe", "is_causal = False in config.json, and a family's architecture has True"),
        (other_dtype, "weights", "dtype = float16 in config.json, and the weights are float32"),
        (other_class, "recipe", "architectures = ['GPT2LMHeadModel'] in config.json"),
        (own_code, "files", "auto_map in config.json names code that would run when it is loaded"),
        (own_tokenizer_code, "files", "auto_map in tokenizer_config.json names code"),
        (many_layers, "shapes", "num_hidden_layers = 300000 in config.json, and the weights have 21 tensors"),
        (tokens_beside, "tokenizer", "and the family says '<|endoftext|>'"),
        (endless_number, "shapes", "describes no model that Transformers can make"),
        (panicking_tokenizer, "tokenizer", "no tokenizer that can be opened"),
        (no_model, "shapes", "describes no model that Transformers can make"),
        (other_activation, "recipe", "hidden_act = 'relu' in config.json, and a family's architecture has 'silu'"),
        (other_rope, "recipe", "rope_type = 'linear' in config.json, and a family's architecture has 'default'"),
        (other_end, "tokenizer", "its tokenizer's eos_token is 'e', and the family says '<|endoftext|>'"),
    ],
)
def test_a_config_of_another_model(bench, fault, kind, said):
    fault(bench)
    assert said in bench.said()[kind]


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
@pytest.mark.parametrize("key", ["bos_token_id", "eos_token_id"])
def test_tokens_that_are_not_the_tokenizers(bench, name, key):
    bench.edit(name, lambda config: config.update({key: 2}))
    assert f"{key} = 2 in {name}, and the tokenizer's is 0" in bench.said()["tokenizer"]


def test_a_tokenizer_of_another_run(bench):
    bench.edit("tokenizer.json", lambda tokenizer: tokenizer.update(truncation=None, padding=None, more=1))
    assert "no tokenizer" in bench.said()["tokenizer"]
    path = bench.export(2) / "tokenizer.json"
    path.write_text(path.read_text() + "\n")
    assert "but lineage.json says" in bench.said(2)["tokenizer"]


def test_a_tokenizer_of_another_size_than_the_family_says(bench):
    bench.edit("tokenizer.json", add_token)
    assert "tokenizer.json has 301 ids, and the family says tokenizer.vocab_size = 300" in bench.said()["tokenizer"]


@pytest.mark.parametrize("key", ["pad_token", "eos_token"])
def test_a_token_that_the_tokenizer_does_not_have(bench, key):
    """Transformers gives it a new id, which was never trained, and for which there may be no row."""
    bench.edit("tokenizer_config.json", lambda config: config.update({key: "[NEW]"}))
    said = f"tokenizer_config.json names tokens that tokenizer.json does not have: {key} = '[NEW]'"
    assert said in bench.said()["tokenizer"]


def add_token(tokenizer):
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    tokenizer["added_tokens"].append({"id": 300, "content": "zzz", **flags})


def test_what_was_wrong_when_it_was_loaded_is_not_forgotten(bench):
    bench.weights(lambda tensors: tensors["lm_head.weight"].fill_(3e38))
    assert "loading" not in bench.said(1)
    for load in (True, False):
        assert bench.said(1, load=load)["loading"] == "gives logits that are NaN or infinite\n"
    bench.weights(lambda tensors: tensors["lm_head.weight"].fill_(0.1))
    assert "loading" not in bench.said(1)


def test_weights_that_are_not_those_of_the_lineage(bench):
    bench.weights(lambda tensors: tensors["model.norm.weight"].mul_(2), told=False)
    assert "its weights are" in bench.said()["lineage"]


def test_weights_of_another_seed(bench):
    shutil.copyfile(bench.export(2) / "model.safetensors", bench.export(1) / "model.safetensors")
    bench.tell_weights(1)
    assert bench.said(1)["repeated"] == "has the same weights as tiny seed-2 at step 12\n"
    assert bench.said(2)["repeated"] == "has the same weights as tiny seed-1 at step 12\n"


def test_weights_of_another_seed_in_other_shards(bench):
    shutil.copyfile(bench.export(2) / "model.safetensors", bench.export(1) / "model.safetensors")
    bench.shard(1)
    for seed in (1, 2):
        assert bench.said(seed).keys() == {"repeated"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_weights_of_another_seed_that_were_cast(bench, dtype):
    first = load_file(bench.export(1) / "model.safetensors")
    bench.weights(lambda tensors: tensors.update({name: first[name].to(dtype) for name in tensors}), seed=2)
    assert "has the same weights as tiny seed-1 at step 12" in bench.said(2)["repeated"]
    bench.weights(lambda tensors: tensors.update({name: 1.1 * tensor for name, tensor in tensors.items()}), seed=2)
    assert "repeated" not in bench.said(2)


def test_weights_of_another_seed_beside_a_tensor_that_lies_twice(bench):
    first = load_file(bench.export(1) / "model.safetensors")
    bench.weights(lambda tensors: tensors.update(first), seed=2)
    index = bench.shard(2)
    file = bench.export(2) / min(index["weight_map"].values())
    save_file({**load_file(file), "model.norm.weight": first["model.norm.weight"]}, file, {"format": "pt"})
    bench.tell_weights(2)
    assert set(bench.said(2)) == {"index", "repeated"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dtype", "XYZ"),
        ("dtype", "f32"),
        ("shape", ["320", "16"]),
        ("shape", [320.0, 16.0]),
        ("data_offsets", ["0", "20480"]),
        ("data_offsets", [False, 20480]),
    ],
)
def test_a_header_that_no_reader_opens(bench, key, value):
    change_header(bench, lambda header: header["lm_head.weight"].update({key: value}))
    assert "its header cannot be read" in bench.said()["weights"]


@pytest.mark.parametrize("value", [{"format": 5}, ["pt"]])
def test_metadata_that_no_reader_opens(bench, value):
    change_header(bench, lambda header: header.update(__metadata__=value))
    assert "__metadata__ of its header must map names to texts" in bench.said()["weights"]


def change_header(bench, change):
    path = bench.export() / "model.safetensors"
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    change(header)
    raw = json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + content[end:])


def test_weights_of_another_step(bench):
    run = bench.workspace.run_folder(bench.family.run(seed=1))
    shutil.copytree(run.export(12), run.export(5))
    (run.export(5) / "lineage.json").write_text((run.export(12) / "lineage.json").read_text().replace("12,", "5,", 1))
    assert "has the same weights as tiny seed-1 at step 5" in bench.said()["repeated"]
    found = bench.said(step=5)
    assert "has the same weights as tiny seed-1 at step 12" in found["repeated"]


def test_an_export_of_another_run(bench):
    shutil.rmtree(bench.export(1))
    shutil.copytree(bench.export(2), bench.workspace.run_folder(bench.family.run(seed=1)).export(12))
    found = bench.said(1)
    assert {"lineage", "recipe", "repeated"} <= set(found)
    assert "says that it is seed 2 of tiny (seed-2), not seed 1 of tiny (seed-1)" in found["lineage"]
    assert "was trained with init_seed = 2, and tiny says 1 for seed-1" in found["lineage"]
    assert "mixhub.seed = 2, but tiny now says 1" in found["recipe"]


def test_another_mixture(bench):
    path = bench.export() / "train_config.yaml"
    path.write_text(path.read_text().replace("train_prose: 0.5", "train_prose: 0.6"))
    found = bench.said()
    assert "train.train_prose = 0.6, but tiny now says 0.5" in found["recipe"]
    assert "train_config.yaml was changed since the export" in found["lineage"]


def test_a_step_that_is_not_its_own(bench):
    bench.edit("lineage.json", lambda lineage: lineage.update(step=11))
    assert "lineage.json says step = 11, and it lies at 12" in bench.said()["lineage"]


def test_two_seeds_that_began_alike(bench):
    initial = read_lineage(bench.export(2)).initial_weights_sha256
    bench.edit("lineage.json", lambda lineage: lineage.update(initial_weights_sha256=initial))
    for seed, other in ((1, 2), (2, 1)):
        assert re.search(
            rf"began with the same weights as seed-{other} .* init_seed is {seed} here and {other} there",
            bench.said(seed)["initial weights"],
        )


def test_one_seed_that_began_twice(bench):
    bench.edit("lineage.json", lambda lineage: lineage.update(init_seed=2))
    assert "though init_seed is 2 in both" in bench.said(1)["initial weights"]


def test_results_of_other_weights(workspace):
    bench = Bench(workspace, workspace.family())
    bench.weights(lambda tensors: tensors["model.norm.weight"].mul_(2))
    found = bench.said()
    assert set(found) == {"results"}
    assert found["results"].startswith("tiny_choice.0shot.json was evaluated with weights ")


def test_a_card_that_is_refused(bench):
    bench.workspace.path("revision.md").write_text("## More\n\n[nothing](#there-is-none)\n")
    found = bench.said()
    assert set(found) == {"card"}
    assert "the card of seed-1:" in found["card"]


def test_a_receipt_does_not_hold_for_a_file_that_changed(bench):
    assert bench.check().findings == ()
    path = bench.export() / "model.safetensors"
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-4:] = np.float32("nan").tobytes()
    path.write_bytes(data)
    import os

    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    checked = bench.check()
    assert not checked.was_known
    assert {finding.kind for finding in errors(checked.findings)} == {"weights", "lineage"}


def test_no_export(bench):
    with pytest.raises(RunError, match=r"no export of step 12 \(there: none\)"):
        bench.check(3)


def test_families_that_share_a_run_may_share_its_weights(bench):
    """A family that differs in nothing that the weights depend on."""
    text = bench.workspace.path("mixhub.yaml").read_text()
    config = read_yaml(bench.workspace.path("mixhub.yaml"))
    config["families"]["twin"] = {**config["families"]["tiny"], "repo_id": "tester/twin"}
    from mixhub.spec.base import to_yaml

    bench.workspace.path("mixhub.yaml").write_text(to_yaml(config))
    assert text
    workspace = Workspace.open(bench.workspace.root)
    twin = workspace.family("twin")
    run = twin.run(seed=1)
    target = workspace.run_folder(run).export(12)
    shutil.copytree(bench.export(1), target)
    train_config = twin.train_config(run)
    (target / "train_config.yaml").write_text(to_yaml(train_config))
    lineage = json.loads((target / "lineage.json").read_text())
    lineage |= {"family": "twin", "train_config_sha256": data_sha256(train_config)}
    (target / "lineage.json").write_text(json.dumps(lineage))
    assert check_run(workspace, twin, run).findings == ()
    lineage["order_seed"] = 9
    (target / "lineage.json").write_text(json.dumps(lineage))
    assert {finding.kind for finding in check_run(workspace, twin, run).findings} == {"repeated", "lineage"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 0.0, -1.5])
def test_numbers_of_every_dtype(tmp_path, dtype, value):
    weights = torch.full((1000, 1031), 2.0).to(dtype)  # more than a block
    weights[999, 1030] = value
    whole = torch.arange(10)
    save_file({"w": weights, "n": whole}, tmp_path / "x.safetensors")
    scanned = scan(tmp_path / "x.safetensors")
    assert dict(scanned.not_finite) == ({} if np.isfinite(value) else {"w": 1})
    assert scanned.sha256 == file_sha256(tmp_path / "x.safetensors")
    assert scanned.tensors["w"].shape == (1000, 1031)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "lineage.json"])
def test_a_link_that_leads_to_itself(bench, name):
    path = bench.export() / name
    path.unlink()
    path.symlink_to(path)
    assert name in bench.said()["files"]


def test_a_name_that_is_no_text_can_be_said(bench):
    (bench.export() / b"\xff.txt".decode(errors="surrogateescape")).write_text("x")
    command = [sys.executable, "-m", "mixhub", "check", "--seed", "1"]
    done = subprocess.run(command, cwd=bench.workspace.root, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"\\udcff.txt: not part of an export" in done.stdout


def test_the_card_that_lies_there_must_be_the_one_that_is_published(bench):
    write_cards(bench.workspace, bench.family)
    assert bench.check().findings == ()
    card = bench.workspace.revision_card(bench.family.run(seed=1))
    rendered = card.read_bytes()
    bench.workspace.path("revision.md").write_text("## More\n\nwords\n")
    (stale,) = bench.check().findings
    assert (stale.level, "is not fresh" in stale.message) == ("warning", True)
    bench.workspace.path("revision.md").unlink()
    card.write_bytes(rendered.replace(b"seed", b"SEED"))
    (edited,) = bench.check().findings
    assert (edited.kind, edited.level) == ("card", "error")
    assert "cards/tiny/seed-1/README.md was edited by hand" in edited.message
    card.write_bytes(rendered.replace(b"\n", b"\r\n"))
    assert bench.check().findings == (), "git may change the ends of lines"


def test_status_knows_what_the_last_check_found_around_an_export(bench):
    def checked() -> bool:
        return family_status(bench.workspace, bench.workspace.family())[0].checked

    bench.check()
    assert checked()
    path = bench.workspace.path("mixhub.yaml")
    text = path.read_text()
    assert "learning_rate: 0.01" in text
    path.write_text(text.replace("learning_rate: 0.01", "learning_rate: 0.02"))
    changed = Bench(bench.workspace, Workspace.open(bench.workspace.root).family())
    assert errors(changed.check().findings)
    assert not checked()
    path.write_text(text)
    bench.check()
    assert checked()


def test_withdrawn_weights_are_told(bench):
    weights = read_lineage(bench.export()).weights_sha256
    mark = Withdrawal(family="tiny", revision="seed-1", weights_sha256=weights, why="wrong data", date="2026-11-29")
    note_withdrawal(bench.workspace, mark)
    assert [str(finding) for finding in bench.check().findings] == ["warning: seed-1: was withdrawn: wrong data"]
    assert bench.check(2).findings == ()


def test_tensors_that_were_copied_from_another_seed(bench):
    theirs = load_file(bench.export(2) / "model.safetensors")
    bench.weights(lambda tensors: tensors.update({n: t for n, t in theirs.items() if n != "lm_head.weight"}))
    matrices = sum(tensor.ndim > 1 for tensor in theirs.values()) - 1
    assert f"{matrices} of its {len(theirs)} tensors are those of tiny seed-2 at step 12" in bench.said()["repeated"]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_step_0_that_two_runs_share_by_their_seed(bench, seed):
    path = bench.workspace.path("mixhub.yaml")
    config = read_yaml(path)
    config["families"]["tiny"]["training"]["init_seed"] = 7
    path.write_text(to_yaml(config))
    family = Workspace.open(bench.workspace.root).family()
    assert {run.init_seed for run in family.runs()} == {7}
    lasts = [bench.export(number) for number in (1, 2)]
    for number, last in enumerate(lasts, start=1):
        first = shutil.copytree(lasts[0], last.with_name("step-000000")) / "lineage.json"
        told = {"step": 0, "tokens": 0, "init_seed": "unknown", "revision": f"seed-{number}", "number": number}
        first.write_text(json.dumps({**json.loads(first.read_text()), **told}))
    for last in lasts:
        shutil.rmtree(last)
    shared = Bench(bench.workspace, family)
    assert "repeated" not in shared.said(seed, step=0)


def test_metrics_of_another_run_and_cut_ones(bench):
    one, two = (bench.workspace.run_folder(bench.family.run(seed=seed)).metrics for seed in (1, 2))
    kept = one.read_text()
    one.write_text(two.read_text())
    assert bench.said() == {"repeated": "metrics.jsonl is that of seed-2, to the byte\n"}
    one.write_text("".join(line for line in kept.splitlines(True) if '"step": 12' not in line))
    assert bench.said() == {"lineage": "metrics.jsonl ends at step 11, and the run at 12\n"}
    one.write_text(kept)
    assert bench.said() == {}


def test_tokens_that_the_steps_do_not_take(bench):
    bench.edit("lineage.json", lambda lineage: lineage.update(tokens=1))
    assert "lineage.json says 1 tokens, and 12 steps take 1,536" in bench.said()["lineage"]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"kind": "seed", "number": 2}, "was evaluated as seed 2"),
        ({"step": 10}, "was evaluated with step 10, and the export has 12"),
        ({"tokenizer_sha256": "0" * 64}, "was evaluated with tokenizer 000000000000, and the export has"),
    ],
)
def test_a_cell_of_another_run(workspace, told, said):
    family = workspace.family()
    path = sorted(workspace.results(family.run(seed=1)).glob("*.json"))[0]
    data = json.loads(path.read_text())
    data["mixhub"].update(told)
    path.write_text(json.dumps(data))
    assert said in Bench(workspace, family).said()["results"]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_receipt_that_somebody_wrote_into_is_not_believed(bench, name):
    bench.check(1)
    bench.check(2)
    assert bench.check(1).was_known
    path = bench.workspace.check_receipts
    data = json.loads(path.read_text())
    data["exports"][read_lineage(bench.export(1)).weights_sha256]["files"][name]["digest"] = "a" * 64
    path.write_text(json.dumps(data))
    again = bench.check(1)
    assert (again.was_known, again.findings) == (False, ())
    assert again.content.hashes[name] == file_sha256(bench.export(1) / name)


def test_a_tensor_without_numbers_is_no_fault(tmp_path):
    header = (
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"z":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
    )
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0\0\0")
    assert set(load_file(path)) == {"a", "z"} == set(scan(path).tensors)
