"""The memory of a device in training, and what it sends to others, by calculation; without torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from mixhub.spec import Training
from mixhub.spec.architecture import Architecture

CHUNK = 256
"""Rows whose logits the loss holds at once; that of `mixhub.training.loss`, which imports torch."""
_FLOAT, _HALF, _ID = 4, 2, 8


@dataclass(frozen=True)
class Layout:
    """How processes share the work."""

    sharding: str
    """`none`, `full` or `hybrid`."""
    processes: int
    """Processes that train together, one on each device."""
    shards: int
    """Processes among which weights, gradients and moments are divided: 1, all, or those of a node."""
    micro_steps: int
    """Micro-steps of an update."""


@dataclass(frozen=True)
class Memory:
    """Bytes of a device at the peak of an update, without the CUDA context of about 0.5 GB."""

    weights: int
    """In float32."""
    gradients: int
    """In float32; with shards also those of the whole model, which micro-steps add up before they are exchanged."""
    moments: int
    """AdamW's two, in float32."""
    activations: int
    """What the layers keep of a micro-batch for its backward pass, with PyTorch's own kernels."""
    copies: int
    """Copies of the layers' matrices in bfloat16, which the backward pass needs too."""
    head: int
    """Gradient of the head's matrix, its copy and a product in bfloat16, and the logits of a chunk."""
    buffers: int
    """Whole weights and gradients of the layers that are being exchanged."""

    @property
    def total(self) -> int:
        """The sum."""
        return sum(asdict(self).values())

    def to_data(self) -> dict[str, int]:
        """Return plain data, with the total."""
        return {**asdict(self), "total": self.total}


def memory(architecture: Architecture, training: Training, layout: Layout) -> Memory:
    """Return the memory of each device in a layout."""
    a = architecture
    is_half = training.precision == "bfloat16"
    parameters, matrices = a.parameters, _block(a) * a.num_hidden_layers
    embedding = a.vocab_size * a.hidden_size
    root = parameters - (_block(a) + 2 * a.hidden_size) * a.num_hidden_layers
    own = -(-parameters // layout.shards)
    unshared = parameters if layout.shards > 1 and layout.micro_steps > 1 else 0
    # The root is whole from the first layer to the last; of the layers, one is used and the next is on its way.
    whole = (root + 2 * _block(a)) * (1 if unshared else 2) if layout.shards > 1 else 0
    chunk = min(CHUNK, training.micro_batch_size * training.sequence_length)
    logits = chunk * a.vocab_size * (_FLOAT + (2 * _HALF if is_half else 0))
    return Memory(
        weights=_FLOAT * own,
        gradients=_FLOAT * (own + unshared),
        moments=2 * _FLOAT * own,
        activations=activation_bytes(a, training),
        copies=_HALF * matrices if is_half else 0,
        head=_FLOAT * embedding + (2 * _HALF * embedding if is_half else 0) + logits,
        buffers=_FLOAT * whole,
    )


def activation_bytes(architecture: Architecture, training: Training) -> int:
    """Return what the backward pass of a micro-batch needs beside weights and the head's gradient.

    For each token a layer keeps: the input of its two norms and what they make of it, in float32; the input of each
    product, of which autocast makes a copy for each; q, k and v after rotation, and the result of attention; four of
    the MLP's width. Attention itself keeps a number for each head. With `document_boundaries`, also its mask, and keys
    and values for each query head.
    """
    a, rows = architecture, training.micro_batch_size * training.sequence_length
    is_half = training.precision == "bfloat16"
    narrow = _HALF if is_half else _FLOAT
    is_masked = training.document_boundaries is not None
    head = a.hidden_size // a.num_attention_heads
    kv = a.hidden_size if is_masked else head * a.key_value_heads
    inputs = 3 + 2 if is_half else 2  # of q, k and v, and of gate and up
    layer = _FLOAT * (4 * a.hidden_size + 2 + a.num_attention_heads)
    layer += narrow * ((inputs + 2) * a.hidden_size + 2 * kv + 4 * a.intermediate_size)
    layer += narrow * training.sequence_length if is_masked else 0
    ends = _FLOAT * (4 * a.hidden_size + 1) + 2 * _ID
    rotation = 2 * _FLOAT * head * (rows if is_masked else training.sequence_length)
    return rows * (a.num_hidden_layers * layer + ends) + rotation


def sent_bytes(architecture: Architecture, training: Training, layout: Layout) -> int:
    """Return what each device sends in an update, if rings add up and gather.

    Copies exchange their gradients once. Shards gather the weights for the forward and the backward pass of each
    micro-step, and exchange their gradients once; with several nodes, each device then those of its shard, in float32.
    """
    reduced = _HALF if training.gradient_reduction == "bfloat16" else _FLOAT
    parameters, shards = architecture.parameters, layout.shards
    groups = layout.processes // shards
    added = 2 * (groups - 1) / groups * parameters / shards
    if shards == 1:
        return round(reduced * added)
    exchanged = (2 * layout.micro_steps * _FLOAT + reduced) * parameters
    return round((shards - 1) / shards * exchanged + _FLOAT * added)


def _block(architecture: Architecture) -> int:
    """Return the parameters of a layer's matrices."""
    a = architecture
    head = a.hidden_size // a.num_attention_heads
    attention = 2 * a.hidden_size**2 + 2 * a.hidden_size * head * a.key_value_heads
    return attention + 3 * a.hidden_size * a.intermediate_size
