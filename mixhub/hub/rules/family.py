"""Whether a model and its tokenizer fit the description in the family, and the description that would fit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mixhub.findings import Finding
from mixhub.hub.rules.architecture import architecture_findings, fitting
from mixhub.hub.rules.export import ExportCheck
from mixhub.spec import Family
from mixhub.spec.base import to_yaml


def model_findings(
    where: str, family: Family, config: Mapping[str, Any], vocab_size: int | None, eos_token: str | None
) -> Iterator[Finding]:
    """Differences between a model with its tokenizer and the family.

    Args:
        where: the revision.
        family: the family.
        config: the model's `known_config`; not compared if empty.
        vocab_size: number of ids of the tokenizer; None if unknown.
        eos_token: the token that ends text; None if unknown.
    """
    yield from architecture_findings(where, family.name, family.architecture, config)
    for key, actual in (("vocab_size", vocab_size), ("eos_token", eos_token)):
        expected = getattr(family.tokenizer, key)
        if actual not in (None, expected):
            message = f"its tokenizer has {key} = {actual!r}, but the family says tokenizer.{key} = {expected!r}"
            hint = f"use the model's own tokenizer, or correct the family: tokenizer: {{{key}: {json.dumps(actual)}}}"
            yield Finding("vocabulary-differs", where, message, hint, about=key)


def description(family: Family, content: ExportCheck, folder: Path) -> str:
    """Return the lines of `mixhub.yaml` that would describe the model and tokenizer of an export; empty if they fit."""
    tokenizer = {"vocab_size": content.vocab_size, "eos_token": content.eos_token}
    tokens = {key: value for key, value in tokenizer.items() if value not in (None, getattr(family.tokenizer, key))}
    length = content.config.get("max_position_embeddings")
    is_short = isinstance(length, int) and length < family.training.sequence_length
    parts = {
        "architecture": fitting(family.architecture, folder),
        "tokenizer": tokens,
        "training": {"sequence_length": length} if is_short else {},
    }
    return "\n".join(
        f"    {part}: {to_yaml(values, in_a_line=True).strip()}" for part, values in parts.items() if values
    )
