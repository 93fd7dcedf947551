"""The tensors of weights compared with the index of their shards and with `config.json`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.errors import ExportError
from mixhub.findings import Finding, Level, from_error
from mixhub.hub.rules.config import (
    CONFIG,
    RUNNING,
    UnsupportedModelError,
    config_unusable,
    known_config,
    names_code,
    read_config,
    reason,
    require_causal,
    silence,
    why_unsupported,
)
from mixhub.hub.rules.plain import are_plain_tensors
from mixhub.hub.rules.weights import FLOATS, Tensor, equal_tensors
from mixhub.phrases import listed
from mixhub.workspace.export import WEIGHTS_INDEX_FILE, WeightsIndex

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_MANY_LAYERS = 500
"""More layers than any model has; making them would take long."""
_SHOWN = 3
"""Maximum number of names or lines shown; the others are counted."""


DTYPE_HINT = "pass dtype=... when you load them to compare, or save them in one dtype"


def not_finite_findings(where: str, not_finite: Mapping[str, int], hint: str) -> Iterator[Finding]:
    """NaN or infinite numbers, given as their count by tensor, in one line."""
    if not_finite:
        names = [f"{name} ({count:,})" for name, count in not_finite.items()]
        message = f"NaN or infinite numbers in {len(names)} tensors: {listed(names, most=_SHOWN)}"
        yield Finding("weights-not-finite", where, message, hint, about=next(iter(not_finite)))


def index_findings(where: str, index: WeightsIndex, shards: Mapping[str, Mapping[str, Tensor]]) -> Iterator[Finding]:
    """Contradictions between an index and its shards, given as the tensors of each file."""
    hint = "write the export again: the index belongs to other shards"
    holders: dict[str, list[str]] = defaultdict(list)
    for file, tensors in shards.items():
        for tensor in tensors:
            holders[tensor].append(file)
    index_map = index.weight_map
    for problem, names in (
        ("names tensors that are in no shard", set(index_map) - set(holders)),
        ("does not name tensors of the shards", set(holders) - set(index_map)),
        (
            "names the wrong shard for",
            {name for name in {*holders} & {*index_map} if index_map[name] not in holders[name]},
        ),
        ("names shards that repeat tensors", {name for name, files in holders.items() if len(files) > 1}),
    ):
        if names:
            message = f"{WEIGHTS_INDEX_FILE} {problem}: {listed(sorted(names), most=_SHOWN)}"
            yield Finding("index-differs", where, message, hint, about=min(names))
    size = sum(tensor.size for tensors in shards.values() for tensor in tensors.values())
    if index.total_size is not None and index.total_size != size:
        message = f"total_size in {WEIGHTS_INDEX_FILE} is {index.total_size:,}, but the shards hold {size:,} bytes"
        hint = f"correct it to {size}; Transformers does not read it, tools that plan memory do"
        yield Finding("index-differs", where, message, hint, "warning", about="total_size")


def dtype_findings(where: str, folder: Path, tensors: Mapping[str, Tensor]) -> Iterator[Finding]:
    """Tensors that are not plain floats, and a dtype in `config.json` that none has, though they are loaded in it."""
    not_floats = {name: tensor.dtype for name, tensor in tensors.items() if tensor.dtype not in FLOATS}
    if not_floats:
        names = listed([f"{name} ({dtype})" for name, dtype in not_floats.items()], most=_SHOWN)
        message = f"{len(not_floats)} tensors are not plain floats ({', '.join(FLOATS)}): {names}"
        hint = "save the weights in the dtype used for computing"
        yield Finding("weights-wrong-dtype", where, message, hint, about=next(iter(not_floats)))
    dtype = known_config(folder).get("dtype")
    stored = sorted({FLOATS.get(tensor.dtype, tensor.dtype) for tensor in tensors.values()})
    if isinstance(dtype, str) and stored and dtype not in stored:
        message = f"dtype = {dtype} in {CONFIG}, but the weights are {' and '.join(stored)}"
        hint = f"set dtype in {CONFIG} to {stored[0]}, or save the weights again"
        yield Finding("dtype-differs", where, message, hint, about="dtype")


def loaded_dtype(folder: Path, tensors: Mapping[str, Tensor]) -> str | None:
    """Return the dtype in which a model loads: that of its config, else of most of its weights; None if unknown."""
    if isinstance(stated := known_config(folder).get("dtype"), str):
        return stated
    stored = Counter(FLOATS[tensor.dtype] for tensor in tensors.values() if tensor.dtype in FLOATS)
    return stored.most_common(1)[0][0] if stored else None


def shape_findings(
    where: str, folder: Path, tensors: Mapping[str, Tensor], *, is_ours: bool = True
) -> Iterator[Finding]:
    """Tensors that are not those of the model that `config.json` describes, by what Transformers reports of them.

    Transformers renames, merges and ignores tensors of many architectures, so names and shapes are not compared here.

    Args:
        where: the revision.
        folder: holds `config.json`.
        tensors: the weights, by name.
        is_ours: as a family describes it, so that it has no other tensors, and Transformers can open it.
    """
    is_quantised = bool(known_config(folder).get("quantization_config"))
    if is_quantised and is_ours:  # `model_findings` refuses it
        return
    try:
        findings = list(_report_findings(where, _report(folder, tensors, is_ours), is_ours))
    except UnsupportedModelError as error:
        is_fault = is_ours and error.code == "model-unsupported" and not names_code(folder)
        code = "config-unusable" if is_fault else ""
        finding = from_error(error, where, code=code, about=CONFIG)
        yield finding if code else replace(finding, level="unchecked")
        return
    except ExportError as error:
        findings = [from_error(error, where, about=CONFIG)]
    if is_quantised and findings:  # methods that pack numbers change names and shapes
        message = f"its weights are quantised, and cannot be compared with {CONFIG}: {findings[0].message}"
        hint = "check it on a machine that can run it"
        yield Finding("model-unsupported", where, message, hint, "unchecked", about=CONFIG)
        return
    yield from findings[:_SHOWN]
    if len(findings) > _SHOWN:
        message = f"and {len(findings) - _SHOWN} more tensors that do not fit {CONFIG}"
        yield Finding("shape-differs", where, message, level=findings[-1].level)


def tied_findings(
    where: str,
    folder: Path,
    tensors: Mapping[str, Tensor],
    *,
    is_ours: bool = True,
    are_equal: Callable[[str, str], bool] | None = None,
) -> Iterator[Finding]:
    """Tensors that `config.json` ties, such as head and embedding, but that hold different numbers.

    Transformers 5 keeps both; earlier versions and other readers drop the head.

    Args:
        where: the revision.
        folder: holds `config.json`, and the weights unless `are_equal` is given.
        tensors: the weights, by name.
        is_ours: as in `shape_findings`; for models of others it is a warning.
        are_equal: whether two tensors hold the same numbers.
    """
    if not known_config(folder).get("tie_word_embeddings"):
        return
    try:
        tied = _report(folder, tensors, is_ours).tied
    except ExportError:  # `shape_findings` reports it
        return
    for name, source in tied.items():
        if not {name, source} <= {*tensors}:
            continue
        if not (are_equal(name, source) if are_equal else equal_tensors(folder, folder, {name: source})):
            message = f"{CONFIG} ties {name} to {source}, but the weights hold different numbers for them"
            hint = f"set tie_word_embeddings to false in {CONFIG}: readers that follow it drop {name}"
            yield Finding("tensors-untied", where, message, hint, "error" if is_ours else "warning", about=name)


def shared_findings(
    where: str, shared: Sequence[str], tensors: int, other: str, level: Level = "error"
) -> Iterator[Finding]:
    """Matrices, of so many tensors, that a model shares with another one."""
    if shared:
        message = f"{len(shared)} of its {tensors} tensors are also in {other}: {listed(shared, most=_SHOWN)}"
        hint = "make one of the exports again: tensors were copied, or a lineage is wrong"
        yield Finding("tensors-shared", where, message, hint, level, about=other)


@dataclass(frozen=True)
class _Report:
    """What Transformers reports of tensors that it loads into a model."""

    missing: frozenset[str]
    unexpected: frozenset[str]
    shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    """By name, the shape in the file and in the model, if they differ."""
    tied: Mapping[str, str]
    """By name of a tensor, the one that the config ties it to."""


_NO_REPORT = _Report(frozenset(), frozenset(), {}, {})


def _report_findings(where: str, report: _Report, is_ours: bool) -> Iterator[Finding]:
    hint = f"take {CONFIG} and weights from the same model"
    foreign: Level = "error" if is_ours else "warning"  # Transformers ignores them
    rules: tuple[tuple[str, str, frozenset[str], Level], ...] = (
        ("tensor-missing", f"lack tensors of the model in {CONFIG}", report.missing, "error"),
        ("tensor-foreign", f"hold tensors that the model in {CONFIG} lacks", report.unexpected, foreign),
    )
    for code, problem, names, level in rules:
        if names:
            message = f"the weights {problem}: {listed(sorted(names), most=_SHOWN)}"
            yield Finding(code, where, message, hint, level, about=min(names))
    for name, (actual, implied) in sorted(report.shapes.items()):
        message = f"{name} has shape {list(actual)}, but {CONFIG} implies {list(implied)}"
        yield Finding("shape-differs", where, message, hint, about=name)


def _report(folder: Path, tensors: Mapping[str, Tensor], is_ours: bool) -> _Report:
    """Return what Transformers reports of tensors, which are loaded without their numbers.

    Raises:
        UnsupportedModelError: Transformers cannot open such a model here.
        ExportError: it cannot make a model of `config.json`, or there are more layers than tensors, and making it would
            take long; or it cannot convert the tensors.
    """
    content = (folder / CONFIG).read_bytes()
    if are_plain_tensors(content, tensors):
        return _NO_REPORT
    key = (
        content,
        is_ours,
        frozenset(RUNNING),
        frozenset((name, tensor.dtype, tensor.shape) for name, tensor in tensors.items()),
    )
    if key not in _REPORTS:
        if not is_ours:
            require_causal(folder)
        config = read_config(folder)
        layers = getattr(config, "num_hidden_layers", None)
        if isinstance(layers, int) and layers > max(len(tensors), _MANY_LAYERS):
            message = f"num_hidden_layers = {layers} in {CONFIG}, but the weights have {len(tensors)} tensors"
            raise ExportError(message, code="shape-differs", hint=f"take {CONFIG} from where the model was trained")
        _REPORTS[key] = _load_shapes(folder, config, tensors)
    return _REPORTS[key]


_REPORTS: dict[tuple[bytes, bool, frozenset[str], frozenset[tuple[str, str, tuple[int, ...]]]], _Report] = {}
"""Reports by config and tensors: the revisions of a family share one."""


def _load_shapes(folder: Path, config: PreTrainedConfig, tensors: Mapping[str, Tensor]) -> _Report:
    import torch
    from transformers import AutoModelForCausalLM

    weights = {
        name: torch.empty(tensor.shape, dtype=getattr(torch, FLOATS.get(tensor.dtype, "float32")), device="meta")
        for name, tensor in tensors.items()
    }
    options = {"device_map": {"": "meta"}, "output_loading_info": True, "ignore_mismatched_sizes": True}
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)  # type: ignore[no-untyped-call]
    except Exception as error:  # each class of models raises its own
        raise why_unsupported(error, folder) or config_unusable(folder, error) from None
    try:
        with silence():
            _, report = type(model).from_pretrained(None, config=config, state_dict=weights, **options)
    except Exception as error:
        if (unsupported := why_unsupported(error, folder)) is not None:
            raise unsupported from None
        message = f"its tensors cannot be loaded as the model in {CONFIG}: {reason(error, folder)}"
        hint = f"take {CONFIG} and weights from the same model"
        raise ExportError(message, code="weights-unfit", hint=hint, path=folder) from None
    shapes = {name: (tuple(actual), tuple(implied)) for name, actual, implied in report["mismatched_keys"]}
    tied = dict(model.all_tied_weights_keys)
    return _Report(frozenset(report["missing_keys"]), frozenset(report["unexpected_keys"]), shapes, tied)
