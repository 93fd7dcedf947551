"""The tokenizer of an export or a branch: what it has, and whether the configs beside it agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixhub.errors import ExportError, MixhubError
from mixhub.files import read_json
from mixhub.findings import Finding, from_error
from mixhub.hub.rules.config import known_config
from mixhub.phrases import listed
from mixhub.workspace.export import TOKENIZER_EXTRAS
from mixhub.workspace.lineage import file_sha256

_SHOWN = 3
"""Tokens that a line shows."""


@dataclass(frozen=True)
class TokenizerFacts:
    """What checks need to know of a tokenizer."""

    size: int
    """How many ids it has, with those that were added."""
    largest: int
    """The largest of them."""
    eos_token: str | None
    """The token that ends text."""
    special: Mapping[str, int | None]
    """Ids of `bos_token` and `eos_token`; None if it has none."""
    absent: tuple[str, ...]
    """Tokens that its settings name, as `pad_token = '[PAD]'`, and that it has no id for."""

    @classmethod
    def read(cls, folder: Path) -> TokenizerFacts:
        """Reads `tokenizer.json`, and opens the folder as Transformers does, which reads the files beside it too.

        Raises:
            ExportError: it cannot be read.
        """
        files = ("tokenizer.json", "tokenizer_config.json", "config.json", *TOKENIZER_EXTRAS)
        key = tuple((name, file_sha256(folder / name)) for name in files if (folder / name).is_file())
        if key not in _READ:
            _READ[key] = cls._read(folder)
        return _READ[key]

    @classmethod
    def _read(cls, folder: Path) -> TokenizerFacts:
        from tokenizers import Tokenizer
        from transformers import AutoTokenizer

        path = folder / "tokenizer.json"
        settings = _object(folder / "tokenizer_config.json")
        try:
            tokenizer = Tokenizer.from_file(str(path))
            opened = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except BaseException as error:  # tokenizers raises the bare class, and panics
            if not is_fault_of_files(error):
                raise
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            message = f"{path.name}: no tokenizer that can be opened: {said}"
            raise ExportError(message, code="tokenizer-unusable", path=path) from None
        named = {key: _text(value) for key, value in settings.items() if key.endswith("_token")}
        named |= {f"added token {key}": _text(value) for key, value in _added(settings).items()}
        ids_of = {key: tokenizer.token_to_id(text) for key, text in named.items() if text is not None}
        lost = {key for key, number in ids_of.items() if number is None}
        special = {"bos_token": opened.bos_token_id, "eos_token": opened.eos_token_id}
        ids = (*tokenizer.get_vocab(with_added_tokens=True).values(), *opened.get_vocab().values())
        return cls(
            size=tokenizer.get_vocab_size(with_added_tokens=True),
            largest=max(ids, default=-1),
            eos_token=_text(opened.eos_token),
            special={key: None if key in lost else number for key, number in special.items()},
            absent=tuple(f"{key} = {named[key]!r}" for key in ids_of if key in lost),
        )


_READ: dict[tuple[tuple[str, str], ...], TokenizerFacts] = {}
"""Tokenizers that were read, by the hashes of their files: the revisions of a family share theirs."""


def read_tokenizer(folder: Path) -> TokenizerFacts | None:
    """The tokenizer of a folder; None if it cannot be read."""
    try:
        return TokenizerFacts.read(folder)
    except MixhubError:
        return None


def token_findings(where: str, folder: Path) -> Iterator[Finding]:
    """Where a tokenizer does not fit `config.json` and `generation_config.json`, all in one folder.

    Nothing if `config.json` describes no model, as `shape_findings` reports.
    """
    if not known_config(folder):
        return
    try:
        tokenizer = TokenizerFacts.read(folder)
        configs = {name: _object(folder / name) for name in ("config.json", "generation_config.json")}
    except MixhubError as error:
        yield from_error(error, where)
        return
    if tokenizer.absent:
        absent = listed(tokenizer.absent, most=_SHOWN)
        message = f"tokenizer_config.json names tokens that tokenizer.json does not have: {absent}"
        hint = "Transformers would give them new ids, which were never trained: save the tokenizer again, or mend it"
        yield Finding("token-missing", where, message, hint, about=tokenizer.absent[0].partition(" = ")[0])
    rows = configs["config.json"].get("vocab_size")
    if isinstance(rows, int) and tokenizer.largest >= rows:
        message = f"the tokenizer has ids up to {tokenizer.largest}, and vocab_size of config.json is {rows}"
        hint = "this is the tokenizer of another model"
        yield Finding("vocabulary-exceeded", where, message, hint, about="vocab_size")
    for name, config in configs.items():
        yield from _id_findings(where, name, config, tokenizer.special)


def _id_findings(
    where: str, name: str, config: Mapping[str, Any], special: Mapping[str, int | None]
) -> Iterator[Finding]:
    for key, token in special.items():
        given = config.get(f"{key}_id")
        ids = given if isinstance(given, list) else [given]
        if given is not None and token is not None and token not in ids:
            message = f"{key}_id = {given} in {name}, and the tokenizer's is {token}"
            hint = f"set {key}_id to {token} in {name}"
            yield Finding("token-id-differs", where, message, hint, about=f"{name}:{key}_id")


def is_fault_of_files(error: BaseException) -> bool:
    """Whether what a library raised is about the files that it read: Rust code may panic, which is no Exception."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _text(token: object) -> str | None:
    """The text of a token, which stands alone or with its flags."""
    text = token.get("content") if isinstance(token, Mapping) else token
    return text if isinstance(text, str) else None


def _added(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    added = settings.get("added_tokens_decoder")
    return added if isinstance(added, Mapping) else {}


def _object(path: Path) -> Mapping[str, Any]:
    data = read_json(path, ExportError)
    if not isinstance(data, Mapping):
        raise ExportError(f"{path}: must be a JSON object", code="file-malformed", path=path)
    return data
