"""The tensors of weights compared with the index of their shards and with `config.json`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mixhub.errors import ExportError
from mixhub.findings import Finding, from_error
from mixhub.hub.rules.config import CONFIG, config_unusable, known_config, read_config
from mixhub.hub.rules.weights import FLOATS, Tensor
from mixhub.phrases import listed
from mixhub.workspace.export import WEIGHTS_INDEX_FILE, WeightsIndex

_SHOWN = 3
"""Maximum number of names or lines shown; the others are counted."""


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
        message = f"{WEIGHTS_INDEX_FILE} states {index.total_size:,} bytes of tensors, but the shards hold {size:,}"
        yield Finding("index-differs", where, message, hint, about="total_size")


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


def shape_findings(
    where: str, folder: Path, tensors: Mapping[str, Tensor], *, strict: bool = True
) -> Iterator[Finding]:
    """Tensors that are not those of the model that `config.json` describes.

    Args:
        where: the revision.
        folder: holds `config.json`.
        tensors: the weights, by name.
        strict: report missing and extra names too; otherwise only shapes of names that both have, since Transformers
            renames tensors of old exports when it loads them.
    """
    try:
        shapes, tied = _expected(folder, len(tensors))
    except ExportError as error:
        yield from_error(error, where, about=CONFIG)
        return
    findings = []
    hint = "take config.json and weights from the same model"
    for code, problem, names in (
        ("tensor-missing", "lack tensors of the model in config.json", {*shapes} - {*tensors} - tied),
        ("tensor-foreign", "hold tensors that the model in config.json lacks", {*tensors} - {*shapes}),
    ):
        if names and strict:
            message = f"the weights {problem}: {listed(sorted(names), most=_SHOWN)}"
            findings.append(Finding(code, where, message, hint, about=min(names)))
    for name in sorted({*shapes} & {*tensors}):
        if tensors[name].shape != shapes[name]:
            message = f"{name} has shape {list(tensors[name].shape)}, but config.json implies {list(shapes[name])}"
            findings.append(Finding("shape-differs", where, message, hint, about=name))
    yield from findings[:_SHOWN]
    if len(findings) > _SHOWN:
        message = f"and {len(findings) - _SHOWN} more tensors that do not fit config.json"
        yield Finding("shape-differs", where, message)


def shared_findings(where: str, shared: Sequence[str], tensors: int, other: str) -> Iterator[Finding]:
    """Matrices, of so many tensors, that a model shares with another one."""
    if shared:
        message = f"{len(shared)} of its {tensors} tensors are also in {other}: {listed(shared, most=_SHOWN)}"
        hint = "make one of the exports again: tensors were copied, or a lineage is wrong"
        yield Finding("tensors-shared", where, message, hint, about=other)


def _expected(folder: Path, tensors: int) -> tuple[dict[str, tuple[int, ...]], set[str]]:
    """Return the shapes of the model in `config.json`, and the names that files may lack since they are tied.

    Raises:
        ExportError: Transformers cannot make a model of it; or it has more layers than there are tensors, and making
            it would take long.
    """
    import torch
    from transformers import AutoModelForCausalLM

    config = read_config(folder)
    layers = getattr(config, "num_hidden_layers", None)
    if isinstance(layers, int) and layers > tensors:
        message = f"num_hidden_layers = {layers} in {CONFIG}, but the weights have {tensors} tensors"
        raise ExportError(message, code="shape-differs", hint=f"take {CONFIG} from where the model was trained")
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)  # type: ignore[no-untyped-call]
    except Exception as error:  # each class of models raises its own
        raise config_unusable(folder, error) from None
    return {name: tuple(weight.shape) for name, weight in model.state_dict().items()}, set(model.all_tied_weights_keys)
