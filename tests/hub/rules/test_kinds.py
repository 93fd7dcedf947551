"""Models of every architecture are judged by what Transformers makes of them, and named for what they are."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mixhub.hub.check.loading import loading_findings
from mixhub.hub.rules.config import code_findings, unmet_need
from mixhub.hub.rules.tensors import shape_findings
from mixhub.hub.rules.weights import scan
from tests.hub.others import SIZES, T5, WIDE, edited, saved
from tests.hub.seen import seen


def found(folder: Path, *, is_ours: bool = False) -> list[str]:
    tensors = scan(folder / "model.safetensors").tensors
    return seen(shape_findings("main", folder, tensors, is_ours=is_ours), "main")


def with_tensors(folder: Path, change) -> Path:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("model", "config", "values"),
    [
        ("GPTNeoXForCausalLM", "GPTNeoXConfig", WIDE),
        ("MixtralForCausalLM", "MixtralConfig", {**WIDE, "num_key_value_heads": 2, "num_local_experts": 4}),
        ("GPT2LMHeadModel", "GPT2Config", {"vocab_size": 320, "n_embd": 32, "n_layer": 2, "n_head": 2}),
        ("MambaForCausalLM", "MambaConfig", {**SIZES, "state_size": 4}),
    ],
)
@pytest.mark.parametrize("is_ours", [False, True])
def test_a_model_that_loads_has_the_right_tensors(tmp_path, model, config, values, is_ours):
    """Transformers fuses the experts, renames `embed_out`, and ties heads."""
    folder = saved(tmp_path, model, config, **values)
    assert found(folder, is_ours=is_ours) == []
    with_tensors(folder, lambda tensors: tensors.pop(next(name for name in tensors if "norm" in name or "ln_" in name)))
    assert found(folder, is_ours=is_ours)[0].startswith("tensor-missing ")


def test_buffers_of_an_old_llama_belong_to_it(tmp_path):
    folder = saved(tmp_path, "LlamaForCausalLM", "LlamaConfig", **WIDE)
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    with_tensors(folder, lambda tensors: tensors.update({name: torch.ones(8)}))
    assert found(folder, is_ours=True) == []
    with_tensors(folder, lambda tensors: tensors.update({"model.extra.weight": torch.ones(8)}))
    assert found(folder, is_ours=True) == ["tensor-foreign model.extra.weight"]
    assert found(folder) == ["warning: tensor-foreign model.extra.weight"]


def test_experts_of_which_one_is_missing(tmp_path):
    values = {**WIDE, "num_key_value_heads": 2, "num_local_experts": 4}
    folder = saved(tmp_path, "MixtralForCausalLM", "MixtralConfig", **values)
    with_tensors(folder, lambda tensors: tensors.pop(next(name for name in tensors if "experts.1." in name)))
    assert found(folder) == ["weights-unfit config.json"]


@pytest.mark.parametrize(
    ("model", "config", "values"),
    [
        ("T5ForConditionalGeneration", "T5Config", T5),
        ("BertForSequenceClassification", "BertConfig", WIDE),
        ("BertForMaskedLM", "BertConfig", WIDE),
        ("LlamaForSequenceClassification", "LlamaConfig", WIDE),
        ("LlamaModel", "LlamaConfig", WIDE),
    ],
)
def test_a_model_of_another_kind_is_named_and_not_checked(tmp_path, model, config, values):
    folder = saved(tmp_path, model, config, **values)
    tensors = scan(folder / "model.safetensors").tensors
    [finding] = shape_findings("main", folder, tensors, is_ours=False)
    assert (finding.code, finding.level) == ("model-unsupported", "unchecked")
    assert model in finding.message
    assert str(tmp_path) not in finding.message
    assert [(one.code, one.level) for one in loading_findings("main", folder)] == [("model-unsupported", "unchecked")]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"model_type": "brand-new", "transformers_version": "9.1.0"}, "9.1.0"),
        ({"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}, "own"),
    ],
)
def test_a_model_that_transformers_does_not_know(tmp_path, values, named):
    folder = edited(saved(tmp_path, "LlamaForCausalLM", "LlamaConfig", **WIDE), **values)
    tensors = scan(folder / "model.safetensors").tensors
    [finding] = shape_findings("main", folder, tensors, is_ours=False)
    assert (finding.code, finding.level) == ("model-unsupported", "unchecked")
    assert named in finding.message
    assert str(tmp_path) not in finding.message
    assert not any("itself" in one.hint for one in code_findings("main", folder)), "Transformers has no such classes"
    assert [(one.code, one.level) for one in loading_findings("main", folder)] == [("model-unsupported", "unchecked")]
    wanted = "unchecked: model-unsupported config.json" if "auto_map" in values else "config-unusable config.json"
    assert found(folder, is_ours=True) == [wanted]


@pytest.mark.parametrize("method", ["gptq", "bitsandbytes", "compressed-tensors", "of-tomorrow"])
def test_quantised_weights_without_their_package(tmp_path, method):
    folder = saved(tmp_path, "LlamaForCausalLM", "LlamaConfig", **WIDE)
    edited(folder, quantization_config={"quant_method": method, "bits": 4, "load_in_8bit": True})
    with_tensors(folder, lambda tensors: tensors.update({"lm_head.weight": torch.ones(8, 1)}))
    [finding] = shape_findings("main", folder, scan(folder / "model.safetensors").tensors, is_ours=False)
    assert (finding.code in ("package-missing", "model-unsupported"), finding.level) == (True, "unchecked")
    assert {one.level for one in loading_findings("main", folder)} == {"unchecked"}


def raised(*errors: BaseException) -> BaseException:
    """The last of several errors, each raised while the one before was handled."""
    before = None
    for error in errors:
        error.__context__, before = before, error
    return errors[-1]


@pytest.mark.parametrize(
    ("error", "code", "hint"),
    [
        (ModuleNotFoundError("No module named 'a'", name="a"), "package-missing", "install a"),
        (
            raised(ModuleNotFoundError(name="a"), ImportError("b"), ValueError("damaged")),
            "package-missing",
            "install a",
        ),
        (ImportError("X requires the Y library"), "package-missing", None),
        (raised(MemoryError(), RuntimeError()), "memory-exceeded", None),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "memory-exceeded", None),
        (torch.OutOfMemoryError("CUDA out of memory"), "memory-exceeded", None),
    ],
)
def test_what_a_machine_lacks_is_no_fault_of_the_files(error, code, hint):
    need = unmet_need(error)
    assert need.code == code
    assert hint in (None, need.hint)


def test_a_fault_of_the_files_is_not_one_of_the_machine():
    assert unmet_need(raised(OSError("no such file"), ValueError("damaged"))) is None
