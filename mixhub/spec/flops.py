"""The floating-point operations of training: a pure function of the recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mixhub.spec.architecture import Architecture


def flops_per_token(architecture: Architecture, sequence_length: int) -> int:
    """Return the training FLOPs of a token, forward and backward: 8.51e9 for the architecture of `human-1b`.

    6 for each parameter but the input embedding's, and 12 × layers × width × context of attention, whose causal mask is
    not counted (Chowdhery et al. 2022, PaLM, appendix B). A head tied to the embedding counts.
    """
    a = architecture
    embedding = 0 if a.tie_word_embeddings else a.vocab_size * a.hidden_size
    return 6 * (a.parameters - embedding) + 12 * a.num_hidden_layers * a.hidden_size * sequence_length
