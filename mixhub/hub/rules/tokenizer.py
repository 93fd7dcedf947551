"""The tokenizer of an export or a branch: what it holds, and whether the configs beside it agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub.errors import ExportError, MixhubError
from mixhub.files import FileState, read_json
from mixhub.findings import Finding, Level, errors, from_error
from mixhub.hub.rules.config import CONFIG, UnsupportedModelError, known_config, reason, unmet_need
from mixhub.hub.rules.plain import AS_IS, SPECIAL, plain_special_tokens
from mixhub.phrases import listed
from mixhub.workspace.export import TOKENIZER_EXTRAS
from mixhub.workspace.lineage import file_sha256

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

_PROBES = (
    "seeds 0123456789 9876 the   quick 3.14 1,000",
    " Leading and trailing  \n\n\tTabs\r\n    lines \n",
    "Don't WE'LL CamelCase snake_case https://a.org/b?c=1 (x+y)*z; $5",
    "caf\u00e9 cafe\u0301 \ufb01 \u212b \u2167 \u00bd stra\u00dfe \u0130",
    "\u65e5\u672c\u8a9e\u306e\u6587 \u4e2d\u6587\u3002 \ud55c\uad6d\uc5b4 \u0627\u0644\u0639\u0631 \u0939\u093f",
    "\U0001f642\U0001f469\u200d\U0001f467 \u00a0\u200b\u2014 \u201cq\u201d\u2026",
)
"""Texts in which tokenizers differ: digits, blanks, lines, case, accents (composed or not), scripts, emoji."""
_SAMPLED = 200
"""Tokens of the vocabulary that are probed."""


@dataclass(frozen=True)
class Difference:
    """A text that Transformers treats differently from `tokenizer.json`."""

    about: str
    """`ids`, `special tokens` or `decoding`."""
    text: str
    expected: str
    """By `tokenizer.json`."""
    actual: str
    """By what Transformers opens."""


def tokenizer_differences(tokenizer: Tokenizer, opened: PreTrainedTokenizerBase) -> Iterator[Difference]:
    """Compare a tokenizer with what Transformers makes of it, which may be another one: it goes by the class.

    Yields the first text of each kind that differs. Special tokens around a text, and decoding, are looked at only if
    the ids are the same.
    """
    tokenizer.no_truncation()
    tokenizer.no_padding()
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    sample = [id for id in range(0, size, max(1, size // _SAMPLED)) if tokenizer.id_to_token(id) is not None]
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()][:_SAMPLED]
    texts = (*_PROBES, tokenizer.decode(sample), *(f"a{token} b {token}c" for token in added))
    ids = {text: _result(_ids, tokenizer, text) for text in texts}
    for text, expected in ids.items():
        actual = _result(_opened_ids, opened, text)
        if actual != expected:
            yield Difference("ids", text, *_shown(expected, actual))
            return
    text, *_ = texts
    expected, actual = _result(_ids, tokenizer, text, special=True), _result(_opened_ids, opened, text, special=True)
    if expected != actual:
        yield Difference("special tokens", text, *_shown(expected, actual))
    for text, known in ids.items():
        decoded = _result(tokenizer.decode, known, skip_special_tokens=False)
        options = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
        actual = _result(opened.decode, known, **options)
        if decoded != actual:
            yield Difference("decoding", text, repr(decoded), repr(actual))
            return


def _ids(tokenizer: Tokenizer, text: str, *, special: bool = False) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=special).ids


def _opened_ids(opened: PreTrainedTokenizerBase, text: str, *, special: bool = False) -> list[int]:
    ids: list[int] = opened(text, add_special_tokens=special, verbose=False).input_ids
    return ids


def _result(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what a tokenizer answers; None if it raises, such as for a character that it does not know."""
    try:
        return call(*arguments, **options)
    except BaseException as error:
        if not is_fault_of_files(error):
            raise
        return None


def _shown(expected: Sequence[int] | None, actual: Sequence[int] | None) -> tuple[str, str]:
    """Return some ids of each, from where they first differ."""
    if expected is None or actual is None:
        return "an error" if expected is None else "ids", "an error" if actual is None else "ids"
    pairs = enumerate(zip(expected, actual, strict=False))
    start = next((i for i, (one, other) in pairs if one != other), min(len(expected), len(actual)))
    shown = [", ".join(map(str, ids[start : start + 3])) or "nothing" for ids in (expected, actual)]
    return shown[0], shown[1]


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
    """Ids of the tokens in `SPECIAL`; None if absent."""
    absent: tuple[str, ...]
    """Tokens without an id that the settings name, such as `pad_token = '[PAD]'`."""
    stated_class: str | None
    """Class in its settings."""
    opened_as: str
    """Class that Transformers makes of it."""
    differences: tuple[Difference, ...]
    """Where that class behaves differently from `tokenizer.json`."""

    @classmethod
    def read(cls, folder: Path) -> TokenizerFacts:
        """Read `tokenizer.json`, and open the folder with Transformers, which also reads the files beside it.

        Raises:
            ExportError: it cannot be read.
        """
        files = ("tokenizer.json", "tokenizer_config.json", CONFIG, *TOKENIZER_EXTRAS)
        key = tuple((name, stored_sha256(folder / name)) for name in files if (folder / name).is_file())
        if key not in _CACHE:
            _CACHE[key] = cls._read(folder)
        return _CACHE[key]

    @classmethod
    def _read(cls, folder: Path) -> TokenizerFacts:
        from tokenizers import Tokenizer

        path_of_settings = folder / "tokenizer_config.json"
        settings = _read_object(path_of_settings) if path_of_settings.is_file() else {}
        tokenizer = _opened(folder, lambda: Tokenizer.from_file(str(folder / "tokenizer.json")))
        vocab = tokenizer.get_vocab(with_added_tokens=True)
        if (plain := plain_special_tokens(folder, settings)) is not None:
            return cls(
                size=tokenizer.get_vocab_size(with_added_tokens=True),
                largest=max(vocab.values(), default=-1),
                eos_token=plain["eos_token"],
                special={key: vocab[text] if text is not None else None for key, text in plain.items()},
                absent=(),
                stated_class=str(settings["tokenizer_class"]),
                opened_as=str(settings["tokenizer_class"]),
                differences=(),
            )
        opened = _opened(folder, lambda: _open(folder))
        names = {key: _text(value) for key, value in settings.items() if key.endswith("_token")}
        if isinstance(added := settings.get("added_tokens_decoder"), Mapping):
            names |= {f"added token {key}": _text(value) for key, value in added.items()}
        absent = {key: text for key, text in names.items() if text is not None and text not in vocab}
        special = {key: None if key in absent else getattr(opened, f"{key}_id") for key in SPECIAL}
        return cls(
            size=tokenizer.get_vocab_size(with_added_tokens=True),
            largest=max((*vocab.values(), *opened.get_vocab().values()), default=-1),
            eos_token=_text(opened.eos_token),
            special=special,
            absent=tuple(f"{key} = {text!r}" for key, text in absent.items()),
            stated_class=settings.get("tokenizer_class"),
            opened_as=type(opened).__name__,
            differences=tuple(tokenizer_differences(tokenizer, opened)),
        )


def _open(folder: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    return tokenizer


def _opened(folder: Path, open_it: Callable[[], Any]) -> Any:
    """Return the tokenizer that a library opens.

    Raises:
        UnsupportedModelError: this machine lacks what it needs.
        ExportError: it cannot be opened.
    """
    try:
        return open_it()
    except BaseException as error:  # tokenizers raises the bare class, and panics
        if not is_fault_of_files(error):
            raise
        if (need := unmet_need(error)) is not None:
            raise need from None
        path = folder / "tokenizer.json"
        message = f"{path.name}: the tokenizer cannot be opened: {reason(error)}"
        raise ExportError(message, code="tokenizer-unusable", path=path) from None


_CACHE: dict[tuple[tuple[str, str], ...], TokenizerFacts] = {}
"""Tokenizers by the hashes of their files: the revisions of a family share one."""


def stored_sha256(path: Path) -> str:
    """Return the sha256 of a file, which is read once: in the cache the commits of a repo share their files."""
    key = (path.resolve(), FileState.of(path))
    if key not in _HASHES:
        _HASHES[key] = file_sha256(path)
    return _HASHES[key]


_HASHES: dict[tuple[Path, FileState], str] = {}


def size_and_end(folder: Path) -> tuple[int | None, str | None]:
    """Return the number of ids of a tokenizer, and the token that ends text; None if it cannot be read."""
    try:
        tokenizer = TokenizerFacts.read(folder)
    except MixhubError:
        return None, None
    return tokenizer.size, tokenizer.eos_token


def token_findings(where: str, folder: Path) -> Iterator[Finding]:
    """Contradictions between a tokenizer, what Transformers opens, `config.json` and `generation_config.json`.

    Nothing if `config.json` cannot be used, as `shape_findings` reports.
    """
    if not known_config(folder):
        return
    try:
        tokenizer = TokenizerFacts.read(folder)
        names = [name for name in (CONFIG, "generation_config.json") if (folder / name).is_file()]
        configs = {name: _read_object(folder / name) for name in names}
    except MixhubError as error:
        level: Level = "unchecked" if isinstance(error, UnsupportedModelError) else "error"
        yield replace(from_error(error, where), level=level)
        return
    if tokenizer.absent:
        absent = listed(tokenizer.absent, most=3)
        message = f"tokenizer_config.json names tokens that tokenizer.json does not have: {absent}"
        hint = "Transformers would give them new, untrained ids: save the tokenizer again, or correct its settings"
        yield Finding("token-missing", where, message, hint, about=tokenizer.absent[0].partition(" = ")[0])
    rows = configs[CONFIG].get("vocab_size")
    if isinstance(rows, int) and tokenizer.largest >= rows:
        message = f"the tokenizer has ids up to {tokenizer.largest}, but vocab_size in config.json is {rows}"
        yield Finding("vocabulary-exceeded", where, message, "use the tokenizer of this model", about="vocab_size")
    wrong_ids = [
        finding
        for name, config in configs.items()
        for key, token in tokenizer.special.items()
        for finding in _id_findings(where, name, f"{key}_id", config.get(f"{key}_id"), token, rows)
    ]
    if not (tokenizer.absent or errors(wrong_ids)):  # other special tokens divide a text elsewhere
        yield from rebuilt_findings(where, tokenizer.opened_as, tokenizer.differences, tokenizer.stated_class)
    yield from wrong_ids


def opened_findings(where: str, folder: Path, opened: PreTrainedTokenizerBase) -> Iterator[Finding]:
    """As `rebuilt_findings`, for a tokenizer that was opened already; nothing if `tokenizer.json` is missing."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    tokenizer = _result(Tokenizer.from_file, str(path)) if path.is_file() else None
    if tokenizer is not None:
        yield from rebuilt_findings(where, type(opened).__name__, tokenizer_differences(tokenizer, opened))


def rebuilt_findings(
    where: str, opened_as: str, differences: Iterable[Difference], stated_class: str | None = None
) -> Iterator[Finding]:
    """A tokenizer of which Transformers makes another one: an error if it gives a text other ids.

    For some types of models it does so whatever class the settings state.
    """
    for one in differences:
        message = (
            f"Transformers opens tokenizer.json as {opened_as}, with other {one.about}: for {one.text!r} it "
            f"gives {one.actual} where tokenizer.json gives {one.expected}"
        )
        hint = 'set tokenizer_class in tokenizer_config.json to "PreTrainedTokenizerFast", or save the tokenizer again'
        if stated_class in AS_IS:
            hint = (
                "for models of this type no setting changes that: if it was trained with what Transformers opens, save "
                "that with AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)"
            )
        level: Level = "error" if one.about == "ids" else "warning"
        yield Finding("tokenizer-rebuilt", where, message, hint, level, about=one.about)


def _id_findings(where: str, name: str, key: str, stated: object, token: int | None, rows: object) -> Iterator[Finding]:
    """The id of a special token in a config that differs from the tokenizer's, or that the model has no row for.

    Padding is not read by a causal model, so another id for it is a warning.
    """
    ids = stated if isinstance(stated, list) else [] if stated is None else [stated]
    if None not in (stated, token) and token not in ids:
        message = f"{key} = {stated} in {name}, but the tokenizer's is {token}"
        level: Level = "warning" if key == "pad_token_id" else "error"
        hint = f"find out which is right: set {key} to {token} in {name}, or correct the tokenizer's settings"
        yield Finding("token-id-differs", where, message, hint, level, about=f"{name}:{key}")
    elif beyond := [one for one in ids if isinstance(one, int) and isinstance(rows, int) and one >= rows]:
        message = f"{key} = {beyond[0]} in {name}, but vocab_size in config.json is {rows}"
        hint = f"set {key} to an id of the tokenizer, or remove it"
        yield Finding("token-id-differs", where, message, hint, "warning", about=f"{name}:{key}")


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
