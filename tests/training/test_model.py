import math

import pytest
import torch
from transformers import LlamaForCausalLM

from mixhub.spec import Architecture, Training, catalog
from mixhub.training.model import NextTokenLosses, build_model, document_positions, initialise
from tests.tiny import tiny_family

LARGER = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3, "vocab_size": 1000}


def parts(scheme: str, **architecture: object) -> tuple[Architecture, Training]:
    family = tiny_family(architecture={**LARGER, **architecture}, training={"initialisation": scheme})
    return family.llama, family.training


def deviation(weight: torch.Tensor) -> float:
    return weight.std().item()


def test_as_written_has_the_deviations_of_the_code() -> None:
    model = build_model(*parts("as_written"), init_seed=1, eos_id=0)
    wide, down = math.sqrt(0.4 / 128), 1 / math.sqrt(256) / 3
    for name, weight in model.named_parameters():
        if weight.dim() == 1:
            assert torch.equal(weight, torch.ones_like(weight))
        else:
            assert deviation(weight) == pytest.approx(down if "down_proj" in name else wide, rel=0.03)
            assert weight.abs().max() > 3 * deviation(weight)


def test_torch_default_is_uniform_but_for_the_embedding() -> None:
    model = build_model(*parts("torch_default"), init_seed=1, eos_id=0)
    for name, weight in model.named_parameters():
        if weight.dim() == 1:
            assert torch.equal(weight, torch.ones_like(weight))
        elif "embed_tokens" in name:
            assert deviation(weight) == pytest.approx(1.0, rel=0.03)
        else:
            bound = 1 / math.sqrt(weight.shape[1])
            assert weight.abs().max() <= bound
            assert deviation(weight) == pytest.approx(bound / math.sqrt(3), rel=0.03)


@pytest.mark.parametrize("scheme", ["as_written", "torch_default"])
def test_at_human_1bs_widths_each_kind_of_tensor_has_its_moments(scheme: str) -> None:
    """One of the 22 layers and a part of the vocabulary: neither changes the distribution of an entry."""
    family = catalog.get("human-1b")
    assert (family.llama.hidden_size, family.llama.intermediate_size) == (2048, 5632)
    part = family.llama.model_copy(update={"num_hidden_layers": 1, "vocab_size": 512})
    model = build_model(part, family.training, init_seed=1, eos_id=0, is_empty=True)
    model.to_empty(device="cpu")
    initialise(model, family.llama, scheme, 1)
    wide = math.sqrt(0.4 / 2048) if scheme == "as_written" else 1 / math.sqrt(3 * 2048)
    down = 1 / math.sqrt(5632) / 22 if scheme == "as_written" else 1 / math.sqrt(3 * 5632)
    embedding = wide if scheme == "as_written" else 1.0
    kurtosis = dict.fromkeys(("embed_tokens", "down_proj", "_proj", "lm_head"), 3.0 if scheme == "as_written" else 1.8)
    kurtosis["embed_tokens"] = 3.0
    for name, weight in model.named_parameters():
        if "norm" in name:
            assert torch.equal(weight, torch.ones(2048)), name
            continue
        expected = {"embed_tokens": embedding, "down_proj": down}
        deviation = next((value for key, value in expected.items() if key in name), wide)
        values = weight.double()
        assert values.std().item() == pytest.approx(deviation, rel=5e-3), name
        assert abs(values.mean().item()) < 5 * deviation / math.sqrt(weight.numel()), name
        fourth = (values / deviation).pow(4).mean().item()
        assert fourth == pytest.approx(next(value for key, value in kurtosis.items() if key in name), rel=0.02), name


@pytest.mark.parametrize(
    ("name", "parameters"), [("human-1b", 1_337_026_560), ("proxies-1m", 27_133_184), ("proxies-60m", 136_462_080)]
)
def test_the_shipped_architectures_are_built(name: str, parameters: int) -> None:
    family = catalog.get(name)
    model = build_model(family.llama, family.training, init_seed=1, eos_id=0, is_empty=True)
    inputs = torch.zeros((1, 2048), dtype=torch.long, device="meta")
    assert model(input_ids=inputs).logits.shape == (1, 2048, 50432)
    assert sum(weight.numel() for weight in model.parameters()) == family.architecture.parameters == parameters


def rotated(model: LlamaForCausalLM, tokens: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Logits with tables of sines and cosines of a dtype, multiplied in float32; written out, without Transformers."""
    config, weights = model.config, dict(model.named_parameters())
    heads, size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    angles = torch.outer(torch.arange(tokens.shape[1]), 10000.0 ** (-torch.arange(0, size, 2) / size))
    cos, sin = (table.to(dtype).float() for table in (angles.cos(), angles.sin()))  # (T, size / 2)

    def normed(x: torch.Tensor, name: str) -> torch.Tensor:
        return weights[name] * x * (x.square().mean(-1, keepdim=True) + config.rms_norm_eps).rsqrt()

    def turned(x: torch.Tensor) -> torch.Tensor:  # (B, heads, T, size)
        left, right = x.chunk(2, dim=-1)
        return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1)

    x = weights["model.embed_tokens.weight"][tokens]
    for number in range(config.num_hidden_layers):
        layer = f"model.layers.{number}"
        inner = normed(x, f"{layer}.input_layernorm.weight")
        q, k, v = (
            (inner @ weights[f"{layer}.self_attn.{part}_proj.weight"].T).unflatten(-1, (heads, size)).transpose(1, 2)
            for part in "qkv"
        )
        scores = turned(q) @ turned(k).transpose(-1, -2) / math.sqrt(size)
        scores += torch.full(scores.shape[-2:], -math.inf).triu(1)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + mixed @ weights[f"{layer}.self_attn.o_proj.weight"].T
        inner = normed(x, f"{layer}.post_attention_layernorm.weight")
        gate, up = (inner @ weights[f"{layer}.mlp.{part}_proj.weight"].T for part in ("gate", "up"))
        x = x + (torch.nn.functional.silu(gate) * up) @ weights[f"{layer}.mlp.down_proj.weight"].T
    return normed(x, "model.norm.weight") @ weights["lm_head.weight"].T


@torch.no_grad()
def test_rounded_rope_tables_are_those_of_a_literal_computation() -> None:
    logits = {}
    tokens = torch.randint(0, 300, (2, 32), generator=torch.Generator().manual_seed(1))
    for tables in (None, "bfloat16"):
        family = tiny_family(training={"rope_tables": tables})
        model = build_model(family.llama, family.training, init_seed=1, eos_id=0)
        logits[tables] = model(input_ids=tokens).logits
        literal = rotated(model, tokens, torch.float32 if tables is None else torch.bfloat16)
        torch.testing.assert_close(logits[tables], literal, rtol=0, atol=2e-6)
    difference = (logits[None] - logits["bfloat16"]).abs().max().item()
    assert 1e-5 < difference < 3e-3


def test_weights_follow_the_seed_alone_and_leave_the_global_state() -> None:
    architecture, training = parts("as_written")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = build_model(architecture, training, init_seed=1, eos_id=0)
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(6)
    torch.set_num_threads(2)
    same = build_model(architecture, training, init_seed=1, eos_id=0)
    other = build_model(architecture, training, init_seed=2, eos_id=0)
    for (_, a), (_, b), (_, c) in zip(
        one.named_parameters(), same.named_parameters(), other.named_parameters(), strict=True
    ):
        assert torch.equal(a, b)
        assert a.dim() == 1 or not torch.equal(a, c)


def test_the_model_is_what_the_architecture_says() -> None:
    architecture, training = parts("as_written", num_attention_heads=4, num_key_value_heads=2, rope_theta=500.0)
    model = build_model(architecture, training, init_seed=1, eos_id=0)
    assert sum(weight.numel() for weight in model.parameters()) == architecture.parameters
    config = model.config
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (0, 0, 0)
    assert config.rope_parameters["rope_theta"] == 500.0
    frequencies = model.model.rotary_emb.inv_freq
    assert frequencies[1].item() == pytest.approx(500.0 ** (-2 / 32))


def test_a_tied_head_is_initialised_as_the_embedding() -> None:
    architecture, training = parts("torch_default", tie_word_embeddings=True)
    model = build_model(architecture, training, init_seed=1, eos_id=0)
    assert sum(weight.numel() for weight in model.parameters()) == architecture.parameters
    assert deviation(model.lm_head.weight) == pytest.approx(1.0, rel=0.03)


def test_losses_are_of_shifted_targets_and_the_eos_row_learns() -> None:
    family = tiny_family()
    model = build_model(family.llama, family.training, init_seed=1, eos_id=0)
    tokens = torch.randint(1, 300, (2, 17), generator=torch.Generator().manual_seed(1))
    tokens[:, 5] = 0
    logits = model(input_ids=tokens[:, :-1]).logits.double()
    expected = -logits.log_softmax(-1).gather(-1, tokens[:, 1:, None])[:, :, 0]
    losses = NextTokenLosses(model)(tokens)
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses.double(), expected, rtol=1e-6, atol=1e-6)
    losses.sum().backward()
    assert model.model.embed_tokens.weight.grad[0].abs().max() > 0


def test_positions_restart_after_each_eos() -> None:
    inputs = torch.tensor([[5, 6, 0, 7, 0, 0, 8, 9], [0, 5, 6, 7, 8, 9, 5, 0], [5] * 8])
    positions = document_positions(inputs, 0)
    assert positions.tolist() == [[0, 1, 2, 0, 1, 0, 0, 1], [0, 0, 1, 2, 3, 4, 5, 6], list(range(8))]


@pytest.mark.parametrize("heads", [2, 1])
def test_a_document_in_a_row_is_read_as_if_it_were_alone(heads: int) -> None:
    family = tiny_family(architecture={"num_key_value_heads": heads})
    model = build_model(family.llama, family.training, init_seed=1, eos_id=0)
    draw = torch.Generator().manual_seed(1)
    lengths = [[5, 1, 1, 9, 0], [1, 14, 1, 0, 0], [16, 0, 0, 0, 0]]
    rows = []
    for row in lengths:
        documents = [torch.randint(1, 300, (length,), generator=draw) for length in row]
        for document in documents[: sum(length > 0 for length in row) - 1]:
            document[-1] = 0  # each document but the last, which goes on in another sample, ends in the row
        rows.append(torch.cat(documents))
    tokens = torch.stack(rows)  # (3, 16)
    alone = 0.0
    for row, sizes in zip(tokens, lengths, strict=True):
        for start, size in zip(torch.tensor([0, *sizes[:-1]]).cumsum(0).tolist(), sizes, strict=True):
            inputs, targets = row[start : start + size][None], row[start + 1 : start + size + 1]
            logits = model(input_ids=inputs[:, : len(targets)]).logits[0] if len(targets) else torch.zeros(0, 320)
            alone += torch.nn.functional.cross_entropy(logits, targets, reduction="sum").item()
    assert NextTokenLosses(model, 0)(tokens).sum().item() == pytest.approx(alone, rel=1e-6)
    assert NextTokenLosses(model)(tokens).sum().item() != pytest.approx(alone, rel=1e-4)


def test_a_row_of_one_document_needs_no_boundary() -> None:
    family = tiny_family()
    model = build_model(family.llama, family.training, init_seed=1, eos_id=0)
    tokens = torch.randint(1, 300, (2, 17), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(NextTokenLosses(model, 0)(tokens), NextTokenLosses(model)(tokens), rtol=0, atol=2e-6)


@pytest.mark.parametrize("boundary", [None, 0])
def test_losses_are_those_of_transformers_own_forward(boundary: int | None) -> None:
    family = tiny_family()
    model = build_model(family.llama, family.training, init_seed=1, eos_id=0)
    tokens = torch.randint(0, 20, (4, 17), generator=torch.Generator().manual_seed(1))
    assert (tokens == 0).any()
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    positions = None if boundary is None else document_positions(inputs, boundary)
    logits = model(input_ids=inputs, position_ids=positions, use_cache=False).logits
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    torch.testing.assert_close(NextTokenLosses(model, boundary)(tokens).flatten(), expected, rtol=1e-5, atol=1e-5)
