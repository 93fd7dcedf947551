"""The tokenizer of an export or a branch: what it holds, and whether the configs beside it agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixhub.errors import ExportError, MixhubError
from mixhub.files import read_json
from mixhub.findings import Finding, from_error
from mixhub.hub.rules.config import known_config, reason
from mixhub.phrases import listed
from mixhub.workspace.export import TOKENIZER_EXTRAS
from mixhub.workspace.lineage import file_sha256


@dataclass(frozen=True)
class TokenizerFacts:
    """Facts about a tokenizer that checks need."""

    size: int
    """Number of ids, added ones included."""
    largest: int
    """Largest id."""
    eos_token: str | None
    """Token that ends text."""
    special: Mapping[str, int | None]
    """Ids of `bos_token` and `eos_token`; None if absent."""
    absent: tuple[str, ...]
    """Tokens without an id that the settings name, such as `pad_token = '[PAD]'`."""

    @classmethod
    def read(cls, folder: Path) -> TokenizerFacts:
        """Read `tokenizer.json`, and open the folder with Transformers, which also reads the files beside it.

        Raises:
            ExportError: it cannot be read.
        """
        files = ("tokenizer.json", "tokenizer_config.json", "config.json", *TOKENIZER_EXTRAS)
        key = tuple((name, file_sha256(folder / name)) for name in files if (folder / name).is_file())
        if key not in _CACHE:
            _CACHE[key] = cls._read(folder)
        return _CACHE[key]

    @classmethod
    def _read(cls, folder: Path) -> TokenizerFacts:
        from tokenizers import Tokenizer
        from transformers import AutoTokenizer

        path = folder / "tokenizer.json"
        settings = _read_object(folder / "tokenizer_config.json")
        try:
            tokenizer = Tokenizer.from_file(str(path))
            opened = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except BaseException as error:  # tokenizers raises the bare class, and panics
            if not is_fault_of_files(error):
                raise
            message = f"{path.name}: the tokenizer cannot be opened: {reason(error)}"
            raise ExportError(message, code="tokenizer-unusable", path=path) from None
        names = {key: _text(value) for key, value in settings.items() if key.endswith("_token")}
        if isinstance(added := settings.get("added_tokens_decoder"), Mapping):
            names |= {f"added token {key}": _text(value) for key, value in added.items()}
        absent = {key: text for key, text in names.items() if text is not None and tokenizer.token_to_id(text) is None}
        special = {"bos_token": opened.bos_token_id, "eos_token": opened.eos_token_id}
        ids = (*tokenizer.get_vocab(with_added_tokens=True).values(), *opened.get_vocab().values())
        return cls(
            size=tokenizer.get_vocab_size(with_added_tokens=True),
            largest=max(ids, default=-1),
            eos_token=_text(opened.eos_token),
            special={key: None if key in absent else token for key, token in special.items()},
            absent=tuple(f"{key} = {text!r}" for key, text in absent.items()),
        )


_CACHE: dict[tuple[tuple[str, str], ...], TokenizerFacts] = {}
"""Tokenizers by the hashes of their files: the revisions of a family share one."""


def size_and_end(folder: Path) -> tuple[int | None, str | None]:
    """Return the number of ids of a tokenizer, and the token that ends text; None if it cannot be read."""
    try:
        tokenizer = TokenizerFacts.read(folder)
    except MixhubError:
        return None, None
    return tokenizer.size, tokenizer.eos_token


def token_findings(where: str, folder: Path) -> Iterator[Finding]:
    """Contradictions between a tokenizer, `config.json` and `generation_config.json`.

    Nothing if `config.json` cannot be used, as `shape_findings` reports.
    """
    if not known_config(folder):
        return
    try:
        tokenizer = TokenizerFacts.read(folder)
        configs = {name: _read_object(folder / name) for name in ("config.json", "generation_config.json")}
    except MixhubError as error:
        yield from_error(error, where)
        return
    if tokenizer.absent:
        names = listed(tokenizer.absent, most=3)
        message = f"tokenizer_config.json names tokens that tokenizer.json does not have: {names}"
        hint = "Transformers would give them new, untrained ids: save the tokenizer again, or correct its settings"
        yield Finding("token-missing", where, message, hint, about=tokenizer.absent[0].partition(" = ")[0])
    rows = configs["config.json"].get("vocab_size")
    if isinstance(rows, int) and tokenizer.largest >= rows:
        message = f"the tokenizer has ids up to {tokenizer.largest}, but vocab_size in config.json is {rows}"
        yield Finding("vocabulary-exceeded", where, message, "use the tokenizer of this model", about="vocab_size")
    for name, config in configs.items():
        for key, token in tokenizer.special.items():
            stated = config.get(f"{key}_id")
            if None not in (stated, token) and token not in (stated if isinstance(stated, list) else [stated]):
                message = f"{key}_id = {stated} in {name}, but the tokenizer's is {token}"
                hint = f"set {key}_id to {token} in {name}"
                yield Finding("token-id-differs", where, message, hint, about=f"{name}:{key}_id")


def is_fault_of_files(error: BaseException) -> bool:
    """Whether a library raised an error about the files it read: Rust code may panic, which is not an Exception."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _text(token: object) -> str | None:
    """Return the text of a token, given alone or with its flags."""
    text = token.get("content") if isinstance(token, Mapping) else token
    return text if isinstance(text, str) else None


def _read_object(path: Path) -> Mapping[str, Any]:
    data = read_json(path, ExportError)
    if not isinstance(data, Mapping):
        raise ExportError(f"{path}: must be a JSON object", code="file-malformed", path=path)
    return data
