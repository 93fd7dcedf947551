"""From the text of requests to tokens, as lm-eval does it, many at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mixhub.errors import ResultsError
from mixhub.evaluation.packing import Ints

_AT_ONCE = 4096
"""Texts that the tokenizer is given at once."""


@dataclass(frozen=True)
class Encoder:
    """What lm-eval's Hugging Face backend needs to know to make tokens; no weights."""

    tokenizer: Any
    max_length: int
    """Context length, tokens."""
    prefix_token_id: int
    """Stands for an empty context."""
    add_bos_token: bool | None = None
    """Whether special tokens are added; None: as the tokenizer does."""

    @classmethod
    def of(cls, lm: Any) -> Encoder:
        """The encoder of an lm-eval HFLM."""
        return cls(lm.tokenizer, lm.max_length, lm.prefix_token_id, lm.add_bos_token)

    @classmethod
    def load(cls, folder: Path, config: Any = None) -> Encoder:
        """The encoder of a folder with a tokenizer, without loading weights.

        Args:
            folder: holds a tokenizer, and `config.json` when no `config` is given.
            config: the model's config, for its context length.
        """
        from transformers import AutoConfig, AutoTokenizer

        from mixhub.evaluation.lm_eval_private import length_and_prefix

        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        config = config or AutoConfig.from_pretrained(folder, **options)
        return cls(tokenizer, *length_and_prefix(tokenizer, config))

    @cached_property
    def sha256(self) -> str:
        """Hash of all that decides which tokens a text becomes, whatever its files are called."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        content = json.loads(backend.to_str()) if backend is not None else _files_sha256(self.tokenizer)
        if isinstance(content, dict):
            content.pop("padding", None)  # set by use, and of no effect here
            content.pop("truncation", None)
        deciding = {
            "tokenizer": content,
            "class": type(self.tokenizer).__name__,
            "max_length": self.max_length,
            "prefix_token_id": self.prefix_token_id,
            "add_bos_token": self.add_bos_token,
        }
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()

    def encode(self, pairs: Sequence[tuple[str, str]]) -> tuple[list[Ints], list[Ints]]:
        """Tokens of contexts and continuations; pairs that share a context share its array.

        Spaces at the end of a context go to the continuation, the continuation's tokens are what the whole text has
        beyond the context's, and an empty context is the prefix token: all as in lm-eval's `TemplateLM`.

        Args:
            pairs: R contexts and continuations.

        Returns:
            R arrays of token ids, and R more.

        Raises:
            ResultsError: a continuation has no token, or more than the context length.
        """
        moved = [_with_spaces_moved(context, continuation) for context, continuation in pairs]
        bare = sorted({continuation for context, continuation in moved if not context})
        bare_tokens = dict(zip(bare, self._tokens(bare, {"add_special_tokens": False}), strict=True))
        texts = {context for context, _ in moved if context} | {context + rest for context, rest in moved if context}
        whole = sorted(texts)
        tokens = dict(zip(whole, self._encoded(whole), strict=True))
        contexts: list[Ints] = []
        continuations: list[Ints] = []
        for number, (context, rest) in enumerate(moved):
            if context:
                before = tokens[context]
                after = tokens[context + rest][len(before) :].copy()  # a view would hold the whole text
            else:
                before, after = np.array([self.prefix_token_id], np.int32), bare_tokens[rest]
                if len(after) and after[0] == self.prefix_token_id:
                    before, after = after[:1], after[1:]
            if not 0 < len(after) <= self.max_length:
                raise _unscorable(pairs[number][1], len(after), self.max_length)
            contexts.append(before)
            continuations.append(after)
        return contexts, continuations

    def _encoded(self, texts: Sequence[str]) -> list[Ints]:
        """As HFLM's `tok_encode`: no special tokens for a text that begins with the prefix token already."""
        prefix = self.tokenizer.decode(self.prefix_token_id)
        common = {} if self.add_bos_token is None else {"add_special_tokens": self.add_bos_token}
        encoded: list[Ints] = [np.zeros(0, np.int32)] * len(texts)
        for starts, options in ((False, common), (True, {"add_special_tokens": False})):
            numbers = [number for number, text in enumerate(texts) if text.startswith(prefix) == starts]
            for number, tokens in zip(numbers, self._tokens([texts[n] for n in numbers], options), strict=True):
                encoded[number] = tokens
        return encoded

    def _tokens(self, texts: Sequence[str], options: dict[str, bool]) -> list[Ints]:
        tokens: list[Ints] = []
        for start in range(0, len(texts), _AT_ONCE):
            part = list(texts[start : start + _AT_ONCE])
            batch = self.tokenizer(part, return_attention_mask=False, verbose=False, **options)["input_ids"]
            tokens += [np.array(ids, np.int32) for ids in batch]
        return tokens


def _with_spaces_moved(context: str, continuation: str) -> tuple[str, str]:
    stripped = context.rstrip()
    return (stripped, context[len(stripped) :] + continuation) if context else (context, continuation)


def _unscorable(continuation: str, tokens: int, max_length: int) -> ResultsError:
    rule = f"must have 1 to {max_length} (the model's context length)"
    return ResultsError(
        f"the choice {continuation[:60]!r} has {tokens} tokens, and {rule}",
        code="choice-unscorable",
        hint="is it the right tokenizer, and are the task's choices whole?",
        tokens=tokens,
        max_length=max_length,
    )


def _files_sha256(tokenizer: Any) -> str:
    """For tokenizers that are written in Python: hash of the files that they read."""
    digest = hashlib.sha256()
    for name in sorted(tokenizer.vocab_files_names.values()):
        path = Path(str(tokenizer.name_or_path), name)
        digest.update(name.encode() + (path.read_bytes() if path.is_file() else b""))
    return digest.hexdigest()
