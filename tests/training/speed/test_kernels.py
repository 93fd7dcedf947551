import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from mixhub.errors import RunError
from mixhub.training.model import NextTokenLosses, build_model, one_layer
from mixhub.training.speed.kernels import kernels
from tests.refusals import refused
from tests.tiny import tiny_family

FAMILY = tiny_family(architecture={"num_hidden_layers": 3})
CACHE = "TORCHINDUCTOR_CACHE_DIR"


def model_of() -> LlamaForCausalLM:
    return build_model(FAMILY.llama, FAMILY.training, init_seed=1, eos_id=0)


def layer() -> NextTokenLosses:
    return one_layer(FAMILY.llama, FAMILY.training)


def test_norms_are_torchs_with_the_bits_of_transformers() -> None:
    ours, theirs = model_of(), model_of()
    for layer in theirs.model.layers:
        layer.input_layernorm, layer.post_attention_layernorm = (LlamaRMSNorm(16, 1e-5) for _ in range(2))
    theirs.model.norm = LlamaRMSNorm(16, 1e-5)
    theirs.load_state_dict(ours.state_dict())
    assert not [one for one in ours.modules() if isinstance(one, LlamaRMSNorm)]
    tokens = torch.randint(0, 300, (2, 17), generator=torch.Generator().manual_seed(1))
    for model in (ours, theirs):
        NextTokenLosses(model)(tokens).sum().backward()
    assert torch.equal(NextTokenLosses(ours)(tokens), NextTokenLosses(theirs)(tokens))
    for (name, one), (other_name, other) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == other_name
        assert torch.equal(one.grad, other.grad), name


def test_kernels_of_another_device_or_package_are_refused(tmp_path: Path) -> None:
    cuda = SimpleNamespace(device=torch.device("cuda"))
    cpu = Accelerator(cpu=True)
    asked = ("liger", FAMILY.training)
    with refused("kernels-unavailable", RunError, kernels="liger"), kernels(*asked, cpu, tmp_path, layer):
        pass
    if not torch.cuda.is_available():
        with refused("package-missing", RunError, packages=("liger-kernel",)), kernels(*asked, cuda, tmp_path, layer):
            pass


def test_without_a_compiler_compiled_layers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    torch._dynamo.reset()
    accelerator = Accelerator(cpu=True)
    with (
        refused("kernels-unavailable", RunError, kernels="compile") as caught,
        kernels("compile", FAMILY.training, accelerator, tmp_path / "compiled", layer),
    ):
        pass
    assert caught.value.hint is not None
    assert str(tmp_path) not in os.environ.get(CACHE, "")


@pytest.mark.nightly
def test_compiled_layers_share_their_code_and_a_truncated_cache_is_made_again(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    torch._dynamo.reset()
    tokens = torch.randint(0, 300, (4, 17), generator=torch.Generator().manual_seed(1))
    plain = NextTokenLosses(model_of())(tokens)
    cache = tmp_path / "compiled"
    for is_truncated in (False, True):
        if is_truncated:  # as by a kill
            libraries = list(cache.rglob("*.so"))
            assert libraries
            for path in libraries:
                part = path.read_bytes()[:100]
                path.unlink()  # this process has mapped it
                path.write_bytes(part)
            torch._dynamo.reset()
        with kernels("compile", FAMILY.training, Accelerator(cpu=True), cache, layer) as use:
            assert os.environ[CACHE].startswith(str(cache))
            torch._dynamo.utils.counters.clear()
            model = model_of()
            names = list(model.state_dict())
            use(model)
            compiled = NextTokenLosses(model)(tokens)
            compiled.sum().backward()
        torch.testing.assert_close(compiled, plain, rtol=1e-5, atol=1e-5)
        assert list(model.state_dict()) == names
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 0, "the code of the tried layer is used"
    assert str(tmp_path) not in os.environ.get(CACHE, "")
