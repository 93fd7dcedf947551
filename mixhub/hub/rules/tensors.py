"""Tensors of weights beside what is said of them: the index of their shards, and `config.json`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixhub.errors import ExportError
from mixhub.findings import Finding, from_error
from mixhub.hub.rules.config import CONFIG, known_config, no_model, read_config
from mixhub.hub.rules.weights import FLOATS, WIDTHS, Tensor
from mixhub.phrases import listed
from mixhub.workspace.export import WEIGHTS_INDEX_FILE, WeightsIndex

_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""What Transformers calls the dtypes of safetensors."""
_SHOWN = 3
"""Names or lines that are shown; the others are counted."""


def not_finite_findings(where: str, not_finite: Mapping[str, int], hint: str) -> Iterator[Finding]:
    """Tensors that hold NaN or infinite numbers, in one line.

    Args:
        where: the revision.
        not_finite: how many such numbers a tensor has; tensors without any are absent.
        hint: the next step.
    """
    if not_finite:
        shown = [f"{name} ({count:,})" for name, count in not_finite.items()]
        message = f"NaN or infinite numbers in {len(shown)} tensors: {listed(shown, most=_SHOWN)}"
        yield Finding("weights-not-finite", where, message, hint, about=next(iter(not_finite)))


def index_findings(where: str, index: WeightsIndex, shards: Mapping[str, Mapping[str, Tensor]]) -> Iterator[Finding]:
    """Where an index and its shards contradict each other.

    Args:
        where: the revision.
        index: the index.
        shards: the tensors of each file.
    """
    hint = "write the export again: the index is that of other shards"
    held: dict[str, list[str]] = defaultdict(list)
    for file, tensors in shards.items():
        for tensor in tensors:
            held[tensor].append(file)
    named = index.weight_map
    for said, names in (
        ("names tensors that are in no shard", sorted(set(named) - set(held))),
        ("does not name tensors of the shards", sorted(set(held) - set(named))),
        ("names the wrong shard of", sorted(name for name in set(held) & set(named) if named[name] not in held[name])),
        ("goes with shards of which several hold", sorted(name for name, files in held.items() if len(files) > 1)),
    ):
        if names:
            message = f"{WEIGHTS_INDEX_FILE} {said}: {listed(names, most=_SHOWN)}"
            yield Finding("index-differs", where, message, hint, about=names[0])
    size = sum(_bytes(tensor) for tensors in shards.values() for tensor in tensors.values())
    if index.total_size is not None and index.total_size != size:
        message = f"{WEIGHTS_INDEX_FILE} says {index.total_size:,} bytes of tensors, and the shards hold {size:,}"
        yield Finding("index-differs", where, message, hint, about="total_size")


def dtype_findings(where: str, tensors: Mapping[str, Tensor]) -> Iterator[Finding]:
    """Tensors of a dtype that no model of a family has."""
    odd = {name: tensor.dtype for name, tensor in tensors.items() if tensor.dtype not in FLOATS}
    if odd:
        shown = listed([f"{name} ({dtype})" for name, dtype in odd.items()], most=_SHOWN)
        message = f"{len(odd)} tensors are no plain floats ({', '.join(FLOATS)}): {shown}"
        hint = "save the weights in the dtype that they are computed in"
        yield Finding("weights-wrong-dtype", where, message, hint, about=next(iter(odd)))


def stored_findings(where: str, folder: Path, tensors: Mapping[str, Tensor]) -> Iterator[Finding]:
    """Whether `config.json` names the dtype of the weights, since that is the one that they are loaded in."""
    named = known_config(folder).get("dtype")
    stored = {_DTYPES.get(tensor.dtype, tensor.dtype) for tensor in tensors.values()}
    if isinstance(named, str) and stored and named not in stored:
        message = f"dtype = {named} in {CONFIG}, and the weights are {' and '.join(sorted(stored))}"
        hint = f"set dtype in {CONFIG} to {sorted(stored)[0]}, or save the weights anew"
        yield Finding("dtype-differs", where, message, hint, about="dtype")


def shape_findings(
    where: str, folder: Path, tensors: Mapping[str, Tensor], *, strict: bool = True
) -> Iterator[Finding]:
    """Where the tensors are not those of the model that `config.json` describes.

    Args:
        where: the revision.
        folder: holds `config.json`.
        tensors: those of the weights, by name.
        strict: other names are an error too; otherwise only the shapes of names that both have are compared, since
            Transformers renames tensors of old exports when it loads them.
    """
    try:
        expected = _expected(folder, len(tensors))
    except ExportError as error:
        yield from_error(error, where, about=CONFIG)
        return
    found = [*(_name_findings(where, expected, tensors) if strict else ()), *_unlike(where, expected, tensors)]
    yield from found[:_SHOWN]
    if len(found) > _SHOWN:
        message = f"and {len(found) - _SHOWN} tensors more that do not fit config.json"
        yield Finding("shape-differs", where, message)


def shared_findings(where: str, shared: Sequence[str], tensors: int, other: str) -> Iterator[Finding]:
    """Matrices that a model has in common with another one.

    Args:
        where: the revision.
        shared: names of the matrices.
        tensors: how many tensors the model has.
        other: names the other model.
    """
    if shared:
        message = f"{len(shared)} of its {tensors} tensors are those of {other}: {listed(shared, most=_SHOWN)}"
        hint = "they were copied from the one to the other, or the two did not begin as their lineage says"
        yield Finding("tensors-shared", where, message, hint, about=other)


@dataclass(frozen=True)
class _Expected:
    """The tensors of the model that a `config.json` describes."""

    shapes: Mapping[str, tuple[int, ...]]
    optional: frozenset[str]
    """Names that need not be in the files, because they are tied to others."""


_HINT = "config.json and weights are not of the same model: take both from where it was trained"


def _name_findings(where: str, expected: _Expected, tensors: Mapping[str, Tensor]) -> Iterator[Finding]:
    lacking = sorted(set(expected.shapes) - set(tensors) - expected.optional)
    if lacking:
        message = f"the weights lack tensors that config.json asks for: {listed(lacking, most=_SHOWN)}"
        yield Finding("tensor-missing", where, message, _HINT, about=lacking[0])
    extra = sorted(set(tensors) - set(expected.shapes))
    if extra:
        message = f"the weights hold tensors that config.json does not ask for: {listed(extra, most=_SHOWN)}"
        yield Finding("tensor-foreign", where, message, _HINT, about=extra[0])


def _unlike(where: str, expected: _Expected, tensors: Mapping[str, Tensor]) -> Iterator[Finding]:
    for name in sorted(set(expected.shapes) & set(tensors)):
        shape, asked = tensors[name].shape, expected.shapes[name]
        if shape != asked:
            message = f"{name} has shape {list(shape)}, and config.json asks for {list(asked)}"
            yield Finding("shape-differs", where, message, _HINT, about=name)


def _expected(folder: Path, tensors: int) -> _Expected:
    """What the model of a `config.json` has.

    A model with more layers than there are tensors is not built, which would take long.

    Raises:
        ExportError: it has more layers, or Transformers can make no model of it.
    """
    import torch
    from transformers import AutoModelForCausalLM

    config = read_config(folder)
    layers = getattr(config, "num_hidden_layers", None)
    if isinstance(layers, int) and layers > tensors:
        message = f"num_hidden_layers = {layers} in {CONFIG}, and the weights have {tensors} tensors"
        hint = f"take {CONFIG} from where it was trained"
        raise ExportError(message, code="shape-differs", hint=hint, path=folder / CONFIG)
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)  # type: ignore[no-untyped-call]
    except Exception as error:  # each class of models raises its own
        raise no_model(folder, error) from None
    shapes = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    return _Expected(shapes, frozenset(model.all_tied_weights_keys))


def _bytes(tensor: Tensor) -> int:
    return WIDTHS.get(tensor.dtype, 0) * math.prod(tensor.shape)
