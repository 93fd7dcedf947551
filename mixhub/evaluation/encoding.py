"""Encodes the text of requests as lm-eval does, many at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mixhub.errors import ExportError
from mixhub.evaluation.options import PLAIN, Prompting
from mixhub.evaluation.packing import Ints
from mixhub.evaluation.suite import first_line
from mixhub.phrases import listed

_BATCH_TEXTS = 4096
"""Texts per call of the tokenizer."""


@dataclass(frozen=True)
class Encoder:
    """What lm-eval's Hugging Face backend needs to encode text, without weights."""

    tokenizer: Any
    max_length: int
    """Context length, tokens."""
    prefix_token_id: int
    """Takes the place of an empty context."""
    add_bos_token: bool | None = None
    """Whether special tokens are added; None: the tokenizer decides."""
    prompting: Prompting = PLAIN
    """Chat template and system instruction."""

    @classmethod
    def of(cls, lm: Any) -> Encoder:
        """Return the encoder of an lm-eval HFLM."""
        return cls(lm.tokenizer, lm.max_length, lm.prefix_token_id, lm.add_bos_token)

    @classmethod
    def load(cls, folder: Path, config: Any = None, prompting: Prompting = PLAIN) -> Encoder:
        """Return the encoder of a folder with a tokenizer, without loading weights.

        Args:
            folder: holds a tokenizer, and `config.json` unless `config` is given.
            config: the model's config, for its context length.
            prompting: its chat template becomes the tokenizer's only one.

        Raises:
            ExportError: the tokenizer or the config cannot be loaded, or there is no such chat template.
        """
        from transformers import AutoConfig, AutoTokenizer

        from mixhub.evaluation.lm_eval_private import length_and_prefix, quiet

        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            with quiet():
                tokenizer = AutoTokenizer.from_pretrained(folder, **options)
                config = config or AutoConfig.from_pretrained(folder, **options)
        except Exception as error:
            message = f"{folder}: its tokenizer cannot be loaded: {type(error).__name__}: {first_line(error)}"
            hint = "copy the tokenizer that the model was trained with into this folder"
            raise ExportError(message, code="tokenizer-unusable", hint=hint, path=folder) from error
        length, prefix = length_and_prefix(tokenizer, config)
        if prefix is None:
            message = f"{folder}: its tokenizer has no token that begins or ends text, and texts are scored after one"
            hint = "set bos_token or eos_token in tokenizer_config.json"
            raise ExportError(message, code="tokenizer-unusable", hint=hint, path=folder)
        if length < 1:
            message = f"{folder}: config and tokenizer claim a context of {length} tokens"
            hint = "set model_max_length in tokenizer_config.json to the context length of the model"
            raise ExportError(message, code="context-invalid", hint=hint, path=folder, max_length=length)
        if prompting.chat_template is not None:
            tokenizer.chat_template = _chat_template(tokenizer, prompting.chat_template, folder)
        return cls(tokenizer, length, prefix, prompting=prompting)

    @property
    def chat_template(self) -> str | None:
        """The chat template in use; None if prompts are plain text."""
        return None if self.prompting.chat_template is None else str(self.tokenizer.chat_template)

    @property
    def of_prompts(self) -> dict[str, Any]:
        """The settings of the prompts, as cells record them; empty for plain text."""
        if self.prompting.is_plain:
            return {}
        template, multiturn = self.chat_template, self.prompting.fewshot_as_multiturn
        return {
            "system_instruction": self.prompting.system_instruction,
            "chat_template_sha256": None if template is None else hashlib.sha256(template.encode()).hexdigest(),
            "fewshot_as_multiturn": None if template is None else multiturn,
        }

    @cached_property
    def sha256(self) -> str:
        """Hash of everything that determines the tokens of a text; it does not depend on file names."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        content = json.loads(backend.to_str()) if backend is not None else _files_sha256(self.tokenizer)
        if isinstance(content, dict):
            content.pop("padding", None)  # set by use, without effect here
            content.pop("truncation", None)
        deciding = {
            "tokenizer": content,
            "class": type(self.tokenizer).__name__,
            "max_length": self.max_length,
            "prefix_token_id": self.prefix_token_id,
            "add_bos_token": self.add_bos_token,
            **self.of_prompts,
        }
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()

    def encode(self, pairs: Sequence[tuple[str, str]]) -> tuple[list[Ints], list[Ints]]:
        """Return tokens of contexts and continuations; pairs that share a context share its array.

        As in lm-eval's `TemplateLM`, spaces at the end of a context go to the continuation, the tokens of a
        continuation are those of the whole text after the context's, and an empty context is the prefix token.

        Args:
            pairs: R contexts and continuations.

        Returns:
            R arrays of token ids, and R more.

        Raises:
            ResultsError: a continuation has no token, or more than the context length.
        """
        from mixhub.evaluation.lm_eval_private import require_scorable

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
            require_scorable(len(after), self.max_length, f"the choice {pairs[number][1][:60]!r}", request=number)
            contexts.append(before)
            continuations.append(after)
        return contexts, continuations

    def _encoded(self, texts: Sequence[str]) -> list[Ints]:
        """Encode as HFLM's `tok_encode`: without special tokens if a text begins with the prefix token already."""
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
        for start in range(0, len(texts), _BATCH_TEXTS):
            part = list(texts[start : start + _BATCH_TEXTS])
            batch = self.tokenizer(part, return_attention_mask=False, verbose=False, **options)["input_ids"]
            tokens += [np.array(ids, np.int32) for ids in batch]
        return tokens


def _chat_template(tokenizer: Any, name: str, folder: Path) -> str:
    templates = tokenizer.chat_template or {}
    by_name = templates if isinstance(templates, dict) else {"default": templates}
    if name not in by_name:
        known = f"its chat templates are {listed(sorted(by_name))}" if by_name else "it has no chat template"
        message = f"{folder}: the tokenizer has no chat template {name}: {known}"
        hint = "name another one with --chat-template" if by_name else "omit --apply-chat-template: it is a base model"
        raise ExportError(message, code="chat-template-missing", hint=hint, path=folder, name=name)
    return str(by_name[name])


def _with_spaces_moved(context: str, continuation: str) -> tuple[str, str]:
    stripped = context.rstrip()
    return (stripped, context[len(stripped) :] + continuation) if context else (context, continuation)


def _files_sha256(tokenizer: Any) -> str:
    """Hash the files of a tokenizer that is written in Python."""
    digest = hashlib.sha256()
    for name in sorted(tokenizer.vocab_files_names.values()):
        path = Path(str(tokenizer.name_or_path), name)
        digest.update(name.encode() + (path.read_bytes() if path.is_file() else b""))
    return digest.hexdigest()
