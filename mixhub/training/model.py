"""The model of a family, its initial weights and its loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from mixhub.spec import Architecture, Training
from mixhub.training.loss import linear_cross_entropy


def build_model(
    architecture: Architecture, training: Training, *, init_seed: int, eos_id: int, is_empty: bool = False
) -> LlamaForCausalLM:
    """Build a float32 Llama on the CPU with the initial weights of `init_seed`.

    The weights only depend on the seed, the scheme and the shapes, not on the device, threads or the global random
    state, which does not change.

    Args:
        architecture: the shapes.
        training: has the scheme, `initialisation`, and `rope_tables`.
        init_seed: seed of the initial weights.
        eos_id: id of the eos token, which is also the bos and padding token.
        is_empty: return it on the meta device instead, without weights: another process sends them.
    """
    shapes = architecture.config
    rope = {"rope_type": "default", "rope_theta": shapes.pop("rope_theta")}
    del shapes["model_type"]
    config = LlamaConfig(**shapes, rope_parameters=rope, bos_token_id=eos_id, eos_token_id=eos_id, dtype="float32")
    with torch.random.fork_rng(devices=[]), torch.device("meta" if is_empty else "cpu"):
        model: LlamaForCausalLM = LlamaForCausalLM(config).float()  # type: ignore[no-untyped-call]
        _use_torch_norms(model, config.rms_norm_eps)
    # Not in the config above: an embedding made with a padding id never learns its row, here that of the eos token.
    model.config.pad_token_id = eos_id
    if model.generation_config is not None:
        model.generation_config.pad_token_id = eos_id
    if not is_empty:
        initialise(model, architecture, training.initialisation, init_seed)
    if training.rope_tables == "bfloat16":
        model.model.rotary_emb.register_forward_hook(_rounded_tables)
    return model


def _use_torch_norms(model: LlamaForCausalLM, epsilon: float) -> None:
    """Replace each norm by torch's, which computes the same bits in float32."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, LlamaRMSNorm):
                setattr(parent, name, torch.nn.RMSNorm(len(child.weight), eps=epsilon))


def _rounded_tables(module: torch.nn.Module, inputs: object, tables: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Round sines and cosines to bfloat16. RegMix's kernel, too, computed with them in float32."""
    cos, sin = (table.bfloat16().to(table.dtype) for table in tables)
    return cos, sin


@torch.no_grad()
def initialise(model: LlamaForCausalLM, architecture: Architecture, scheme: str, seed: int) -> None:
    """Initialise every parameter, in the order of their names, from one generator on the CPU.

    `as_written` follows RegMix's code: N(0, sqrt(0.4 / fan_in)), and N(0, 1 / sqrt(intermediate_size) / layers) for the
    MLP's down projection; the fan-in of the embedding is the hidden size. `torch_default` is what RegMix's runs on
    several devices got: Linear U(±1 / sqrt(fan_in)), Embedding N(0, 1). Norms are 1 in both. A tied head is
    initialised as the embedding.
    """
    generator = torch.Generator(device="cpu").manual_seed(seed)
    for name, weight in sorted(model.named_parameters()):
        if weight.dim() == 1:
            weight.fill_(1.0)
        elif scheme == "torch_default" and "embed_tokens" in name:
            weight.normal_(0.0, 1.0, generator=generator)
        elif scheme == "torch_default":
            bound = 1 / math.sqrt(weight.shape[1])
            weight.uniform_(-bound, bound, generator=generator)
        elif "down_proj" in name:
            deviation = 1 / math.sqrt(architecture.intermediate_size) / architecture.num_hidden_layers
            weight.normal_(0.0, deviation, generator=generator)
        else:
            weight.normal_(0.0, math.sqrt(0.4 / weight.shape[1]), generator=generator)


class NextTokenLosses(torch.nn.Module):
    """A model with its loss: what is parallelised and called, so that the head's weight is whole where it is used.

    Args:
        model: the model to train.
        boundary: id of the eos token, after which the inputs are another document, without the context of the one
            before; None: all inputs of a row are one text.
    """

    def __init__(self, model: LlamaForCausalLM, boundary: int | None = None) -> None:
        super().__init__()
        self.model = model
        self._boundary = boundary

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the cross-entropy of each next token in nats, (B, T), in float32; `tokens` is (B, T + 1)."""
        inputs, targets = tokens[:, :-1], tokens[:, 1:]  # (B, T) each
        hidden = self._hidden(inputs)  # (B, T, H)
        losses = linear_cross_entropy(hidden.flatten(0, 1), self.model.lm_head.weight, targets.flatten())
        return losses.view_as(targets).clone()  # FSDP warns of views, which lose its hooks when changed in place

    def _hidden(self, inputs: Tensor) -> Tensor:
        """Return the outputs of the last norm, (B, T, H).

        The forward of Transformers' `LlamaModel` computes the same, but looks into the positions in each call whether
        they restart, and so makes the processor wait for the device.
        """
        body = self.model.model
        positions, mask = torch.arange(inputs.shape[1], device=inputs.device)[None], None
        if self._boundary is not None:
            positions = document_positions(inputs, self._boundary)
            mask = document_mask(positions)
        hidden: Tensor = body.embed_tokens(inputs)
        tables = body.rotary_emb(hidden, position_ids=positions)
        for layer in body.layers:
            hidden = layer(hidden, attention_mask=mask, position_embeddings=tables)  # causal if there is no mask
        output: Tensor = body.norm(hidden)
        return output


def one_layer(architecture: Architecture, training: Training) -> NextTokenLosses:
    """Return a model of one layer of the run's shape and few ids, on which kernels are tried."""
    small = architecture.model_copy(update={"num_hidden_layers": 1, "vocab_size": 64})
    model = build_model(small, training, init_seed=0, eos_id=0)
    return NextTokenLosses(model, 0 if training.document_boundaries == "reset" else None)


def document_positions(inputs: Tensor, eos_id: int) -> Tensor:
    """Return the position of each input in its document, (B, T): 0 in the first column and after each eos token."""
    column = torch.arange(inputs.shape[1], device=inputs.device)
    is_first = torch.zeros_like(inputs, dtype=torch.bool)
    is_first[:, 1:] = inputs[:, :-1] == eos_id
    first = torch.where(is_first, column, 0).cummax(dim=1).values
    return column - first


def document_mask(positions: Tensor) -> Tensor:
    """Return which inputs each one attends to, (B, 1, T, T): itself and those before it in its document."""
    column = torch.arange(positions.shape[1], device=positions.device)
    first = (column - positions)[:, None, :, None]  # (B, 1, T, 1)
    return (column >= first) & (column <= column[:, None])
