"""An export, checked by itself: its files, its weights, and whether config and tokenizer fit them. Makes no request."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixhub.errors import ExportError, MixhubError
from mixhub.files import read_json
from mixhub.findings import Finding
from mixhub.hub.rules.model_config import CONFIG, code_findings, known_config, no_model, read_config
from mixhub.hub.rules.weights import FLOATS, WIDTHS, Scanned, Tensor, scan
from mixhub.progress import SILENT, Bar, Progress
from mixhub.workspace.export import EXPORT_FILES, WEIGHTS_FILE, WEIGHTS_INDEX_FILE, weight_files
from mixhub.workspace.lineage import LINEAGE_FILE, combined_sha256, file_sha256, read_lineage

TOKENIZER_EXTRAS = ("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja")
"""Files of a tokenizer that may lie beside `tokenizer.json`."""
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill")
"""Ends of names of files that run code when they are opened."""
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""What Transformers calls the dtypes of safetensors."""
_SHOWN = 3
"""Names that a line shows."""


@dataclass(frozen=True)
class ExportCheck:
    """What was found in an export, and what its files are."""

    findings: tuple[Finding, ...]
    hashes: Mapping[str, str]
    """sha256 by name, of the files that could be read."""
    weights_sha256: str | None
    """As `mixhub.workspace.lineage.weights_sha256`; None where there are none that can be read."""
    config: Mapping[str, Any]
    """What its model is made with (see `effective_config`); empty where it describes none."""
    vocab_size: int | None
    """How many ids its tokenizer has; None where it cannot be read."""
    eos_token: str | None
    """The token that ends text, by its tokenizer."""


def check_export(export: Path, where: str, progress: Progress = SILENT) -> ExportCheck:
    """Reads every byte of an export once, and says what is wrong with it.

    Args:
        export: the folder.
        where: the revision, as findings name it.
        progress: is told of each block of bytes that is read.
    """
    look = _Look(export, where)
    present = sorted(path.relative_to(export).as_posix() for path in export.rglob("*") if path.is_file())
    look.presence(present)
    weights = [name for name in present if name.endswith(".safetensors") and "/" not in name]
    with progress.start(f"checking {where}", len(weights), "file") as bar:
        scanned = look.scan_all(weights, bar)
    hashes = {name: one.sha256 for name, one in scanned.items()}
    hashes |= {name: digest for name in present if name not in weights and (digest := look.hashed(name))}
    tensors = {name: tensor for one in scanned.values() for name, tensor in one.tensors.items()}
    look.numbers(scanned)
    look.index(scanned)
    whole = len(scanned) == len(weights) > 0
    if whole:
        look.shapes(tensors)
        look.found += stored_findings(where, export, tensors)
    look.tokenizer()
    look.found += code_findings(where, export)
    own = combined_sha256((name, hashes[name]) for name in weights) if whole else None
    look.lineage(own, hashes.get("tokenizer.json"))
    known = read_tokenizer(export)
    size, eos = (known.size, known.eos_token) if known else (None, None)
    return ExportCheck(tuple(look.found), hashes, own, known_config(export), size, eos)


def is_pickle(path: str) -> bool:
    """Whether a file of that name runs code when it is opened."""
    return path.lower().endswith(PICKLES)


def index_findings(
    where: str, weight_map: Mapping[str, str], total: object, shards: Mapping[str, Mapping[str, Tensor]], size: int
) -> Iterator[Finding]:
    """Where an index and the shards that are there contradict each other.

    Args:
        where: the revision.
        weight_map: the index's file of each tensor.
        total: the index's `total_size`; None where it has none.
        shards: the tensors of each file.
        size: bytes of all tensors.
    """
    hint = "write the export again: the index is that of other shards"
    held: dict[str, list[str]] = defaultdict(list)
    for file, tensors in shards.items():
        for tensor in tensors:
            held[tensor].append(file)
    for said, names in (
        ("names tensors that are in no shard", sorted(set(weight_map) - set(held))),
        ("does not name tensors of the shards", sorted(set(held) - set(weight_map))),
        (
            "names the wrong shard of",
            sorted(name for name in set(held) & set(weight_map) if weight_map[name] not in held[name]),
        ),
        ("goes with shards of which several hold", sorted(name for name, files in held.items() if len(files) > 1)),
    ):
        if names:
            yield Finding("index-differs", where, f"{WEIGHTS_INDEX_FILE} {said}: {listed(names)}", hint)
    if isinstance(total, int) and total != size:
        message = f"{WEIGHTS_INDEX_FILE} says {total:,} bytes of tensors, and the shards hold {size:,}"
        yield Finding("index-differs", where, message, hint)


def dtype_findings(where: str, tensors: Mapping[str, Tensor]) -> Iterator[Finding]:
    """Tensors of a dtype in which no model of a family is."""
    odd = [f"{name} ({tensor.dtype})" for name, tensor in tensors.items() if tensor.dtype not in FLOATS]
    if odd:
        message = f"{len(odd)} tensors are no plain floats ({', '.join(FLOATS)}): {listed(odd)}"
        yield Finding("weights-wrong-dtype", where, message, "save the weights in the dtype that they are computed in")


def stored_findings(where: str, folder: Path, tensors: Mapping[str, Tensor]) -> Iterator[Finding]:
    """Whether `config.json` names the dtype that the weights are in: it is the one that they are loaded in."""
    named = known_config(folder).get("dtype")
    stored = {_DTYPES.get(tensor.dtype, tensor.dtype) for tensor in tensors.values()}
    if isinstance(named, str) and stored and named not in stored:
        message = f"dtype = {named} in {CONFIG}, and the weights are {' and '.join(sorted(stored))}"
        yield Finding(
            "dtype-differs", where, message, f"set dtype in {CONFIG} to {sorted(stored)[0]}, or save the weights anew"
        )


def shape_findings(where: str, folder: Path, tensors: Mapping[str, Tensor], *, strict: bool = True) -> list[Finding]:
    """What the model that a folder's `config.json` describes has otherwise than the tensors that are there.

    Args:
        where: the revision.
        folder: holds `config.json`.
        tensors: those of the weights, by name.
        strict: other names are an error too; otherwise only the shapes of names that both have are compared, since
            Transformers renames tensors of old exports when it loads them.
    """
    expected, optional = _expected(where, folder, len(tensors))
    if isinstance(expected, Finding):
        return [expected]
    hint = "config.json and weights are not of the same model: take both from where it was trained"
    found = []
    if strict:
        for code, said, names in (
            (
                "tensor-missing",
                "the weights lack tensors that config.json asks for",
                set(expected) - set(tensors) - optional,
            ),
            (
                "tensor-foreign",
                "the weights hold tensors that config.json does not ask for",
                set(tensors) - set(expected),
            ),
        ):
            if names:
                found.append(Finding(code, where, f"{said}: {listed(sorted(names))}", hint))
    for name in sorted(set(expected) & set(tensors)):
        if tensors[name].shape != expected[name]:
            message = f"{name} has shape {list(tensors[name].shape)}, and config.json asks for {list(expected[name])}"
            found.append(Finding("shape-differs", where, message, hint))
    return [*found[:_SHOWN], *_more(found, where)]


def token_findings(where: str, folder: Path) -> list[Finding]:
    """What of the tokenizer does not fit `config.json` and `generation_config.json`, all in one folder; nothing where
    `config.json` describes no model, as `shape_findings` says."""
    if not known_config(folder):
        return []
    try:
        tokenizer = TokenizerFacts.read(folder)
        configs = {name: _object(folder / name) for name in ("config.json", "generation_config.json")}
    except MixhubError as error:
        return [Finding(error.code, where, error.message, error.hint or "")]
    found = []
    if tokenizer.absent:
        message = f"tokenizer_config.json names tokens that tokenizer.json does not have: {listed(tokenizer.absent)}"
        hint = "Transformers would give them new ids, which were never trained: save the tokenizer again, or mend it"
        found.append(Finding("token-missing", where, message, hint))
    rows = configs["config.json"].get("vocab_size")
    if isinstance(rows, int) and tokenizer.largest >= rows:
        message = f"the tokenizer has ids up to {tokenizer.largest}, and vocab_size of config.json is {rows}"
        found.append(Finding("vocabulary-exceeded", where, message, "this is the tokenizer of another model"))
    for name, config in configs.items():
        for key, token in tokenizer.special.items():
            given = config.get(f"{key}_id")
            ids = given if isinstance(given, list) else [given]
            if given is not None and token is not None and token not in ids:
                message = f"{key}_id = {given} in {name}, and the tokenizer's is {token}"
                found.append(Finding("token-id-differs", where, message, f"set {key}_id to {token} in {name}"))
    return found


def read_tokenizer(folder: Path) -> TokenizerFacts | None:
    """The tokenizer of a folder; None where it cannot be read."""
    try:
        return TokenizerFacts.read(folder)
    except MixhubError:
        return None


def listed(names: Sequence[str]) -> str:
    """`a, b, c and 4 more`."""
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


@dataclass(frozen=True)
class TokenizerFacts:
    """What is asked of a tokenizer."""

    size: int
    """How many ids it has, with those that were added."""
    largest: int
    """The largest of them."""
    eos_token: str | None
    """The token that ends text."""
    special: Mapping[str, int | None]
    """Ids of `bos_token` and `eos_token`; None where it has none."""
    absent: list[str]
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
            raise ExportError(
                f"{path.name}: no tokenizer that can be opened: {said}", code="tokenizer-unusable", path=path
            ) from None
        named = {key: _text(value) for key, value in settings.items() if key.endswith("_token")}
        named |= {f"added token {key}": _text(value) for key, value in _added(settings).items()}
        ids_of = {key: tokenizer.token_to_id(text) for key, text in named.items() if text is not None}
        lost = {key for key, number in ids_of.items() if number is None}
        special = {"bos_token": opened.bos_token_id, "eos_token": opened.eos_token_id}
        special = {key: None if key in lost else number for key, number in special.items()}
        absent = [f"{key} = {named[key]!r}" for key in ids_of if key in lost]
        ids = (*tokenizer.get_vocab(with_added_tokens=True).values(), *opened.get_vocab().values())
        size = tokenizer.get_vocab_size(with_added_tokens=True)
        return cls(size, max(ids, default=-1), _text(opened.eos_token), special, absent)


_READ: dict[tuple[tuple[str, str], ...], TokenizerFacts] = {}
"""Tokenizers that were read, by the hashes of their files: the revisions of a family share theirs."""


def is_fault_of_files(error: BaseException) -> bool:
    """Whether what a library raised tells of the files that it read: Rust code may panic, below no Exception."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _text(token: object) -> str | None:
    """The text of a token, which stands alone or with its flags."""
    text = token.get("content") if isinstance(token, Mapping) else token
    return text if isinstance(text, str) else None


def _added(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    added = settings.get("added_tokens_decoder")
    return added if isinstance(added, Mapping) else {}


class _Look:
    """Gathers findings of one export."""

    def __init__(self, export: Path, where: str) -> None:
        self.export, self.where = export, where
        self.found: list[Finding] = []

    def add(self, code: str, message: str, hint: str = "") -> None:
        self.found.append(Finding(code, self.where, message, hint))

    def presence(self, present: Sequence[str]) -> None:
        again = "make the export again, or adopt the folder anew"
        if missing := [name for name in EXPORT_FILES if name not in present]:
            self.add("file-missing", f"lacks {', '.join(missing)}", again)
        known = {*EXPORT_FILES, *TOKENIZER_EXTRAS, WEIGHTS_INDEX_FILE}
        for name in present:
            if is_pickle(name):
                hint = "take it out of the folder; weights are published as safetensors"
                self.add("pickle-found", f"{name}: a pickle, which runs code when it is opened", hint)
            elif name not in known and not (name.endswith(".safetensors") and "/" not in name):
                self.add(
                    "file-foreign",
                    f"{name}: not part of an export, so it is not published",
                    "move it out of the folder",
                )
        try:
            weight_files(self.export)
        except ExportError as error:
            self.add(error.code, error.message.removeprefix(f"{self.export}: "), again)

    def scan_all(self, names: Sequence[str], bar: Bar) -> dict[str, Scanned]:
        def one(name: str) -> Scanned | ExportError:
            try:
                return scan(self.export / name)
            except ExportError as error:
                return error

        scanned = {}
        with ThreadPoolExecutor(max(1, min(len(names), os.cpu_count() or 1))) as pool:
            for name, result in zip(names, pool.map(one, names), strict=True):
                bar.advance()
                if isinstance(result, ExportError):
                    self.add(result.code, result.message.replace(f"{self.export}/", ""), result.hint or "")
                else:
                    scanned[name] = result
        return scanned

    def hashed(self, name: str) -> str | None:
        try:
            return file_sha256(self.export / name)
        except OSError as error:
            self.add("file-unreadable", f"{name}: cannot be read: {error.strerror}")
            return None

    def numbers(self, scanned: Mapping[str, Scanned]) -> None:
        bad = {name: count for one in scanned.values() for name, count in one.not_finite.items()}
        if bad:
            shown = [f"{name} ({count:,})" for name, count in bad.items()]
            message = f"NaN or infinite numbers in {len(bad)} tensors: {listed(shown)}"
            self.add("weights-not-finite", message, "the run has diverged, or the file is damaged: do not publish it")
        self.found += dtype_findings(self.where, {k: v for one in scanned.values() for k, v in one.tensors.items()})

    def index(self, scanned: Mapping[str, Scanned]) -> None:
        path = self.export / WEIGHTS_INDEX_FILE
        if not path.is_file() or (self.export / WEIGHTS_FILE).is_file():
            return
        try:
            data = _object(path)
        except MixhubError as error:
            self.add("index-malformed", error.message)
            return
        weight_map = data.get("weight_map")
        if not isinstance(weight_map, Mapping):  # said by `weight_files` already
            return
        metadata = data.get("metadata")
        total = metadata.get("total_size") if isinstance(metadata, Mapping) else None
        if set(map(str, weight_map.values())) == set(scanned):
            shards = {name: one.tensors for name, one in scanned.items()}
            size = sum(tensor_bytes(tensor) for tensors in shards.values() for tensor in tensors.values())
            self.found += index_findings(self.where, weight_map, total, shards, size)

    def shapes(self, tensors: Mapping[str, Tensor]) -> None:
        if (self.export / "config.json").is_file():
            self.found += shape_findings(self.where, self.export, tensors)

    def tokenizer(self) -> None:
        needed = ("tokenizer.json", "tokenizer_config.json", "config.json", "generation_config.json")
        if all((self.export / name).is_file() for name in needed):
            self.found += token_findings(self.where, self.export)

    def lineage(self, weights: str | None, tokenizer: str | None) -> None:
        if not (self.export / LINEAGE_FILE).is_file():
            return
        try:
            known = read_lineage(self.export)
        except MixhubError as error:
            self.add("lineage-malformed", error.message)
            return
        if weights is not None and known.weights_sha256 != weights:
            message = f"its weights are {weights}, but {LINEAGE_FILE} says {known.weights_sha256}"
            self.add("weights-differ", message, "these are not the weights that were exported: make the export again")
        if tokenizer is not None and known.tokenizer_sha256 not in ("unknown", tokenizer):
            message = f"tokenizer.json is {tokenizer}, but {LINEAGE_FILE} says {known.tokenizer_sha256}"
            self.add(
                "tokenizer-differs",
                message,
                "this is not the tokenizer that it was trained with: make the export again",
            )


def tensor_bytes(tensor: Tensor) -> int:
    """Bytes that a tensor takes."""
    return WIDTHS.get(tensor.dtype, 0) * math.prod(tensor.shape)


def _expected(where: str, folder: Path, tensors: int) -> tuple[dict[str, tuple[int, ...]] | Finding, set[str]]:
    """Shapes by name of the model that `config.json` describes, and the names that need not be in the files.

    It makes no model that has more layers than there are tensors, which takes long.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        config = read_config(folder)
        layers = getattr(config, "num_hidden_layers", None)
        if isinstance(layers, int) and layers > tensors:
            message = f"num_hidden_layers = {layers} in {CONFIG}, and the weights have {tensors} tensors"
            return Finding("shape-differs", where, message, f"take {CONFIG} from where it was trained"), set()
        try:
            with torch.device("meta"):
                model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)  # type: ignore[no-untyped-call]
        except Exception as error:  # each class of models raises its own
            raise no_model(folder, error) from None
    except ExportError as error:
        return Finding(error.code, where, error.message, error.hint or ""), set()
    shapes = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    return shapes, set(model.all_tied_weights_keys)


def _more(found: Sequence[Finding], where: str) -> Iterator[Finding]:
    if len(found) > _SHOWN:
        yield Finding("shape-differs", where, f"and {len(found) - _SHOWN} tensors more that do not fit config.json")


def _object(path: Path) -> Mapping[str, Any]:
    data = read_json(path, ExportError)
    if not isinstance(data, Mapping):
        raise ExportError(f"{path}: must be a JSON object", code="file-malformed", path=path)
    return data
