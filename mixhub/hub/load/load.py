"""`mixhub.load`: a revision of a family, pinned to a commit before anything is downloaded."""

from __future__ import annotations

import difflib
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from mixhub.card.facts.withdrawal import withdrawal_of
from mixhub.endpoint import Endpoint, checked_token, choose_hub_of_call
from mixhub.errors import ExportError, HubUnreachableError, UsageError
from mixhub.files import read_json
from mixhub.hub.load.names import Target, family_of, repo_hint, target_of
from mixhub.hub.load.opening import open_folder
from mixhub.hub.remote.client import branch_heads
from mixhub.hub.remote.connect import open_hub
from mixhub.hub.remote.custom_code import allowed_code
from mixhub.hub.remote.download import damaged_file, require_as_published
from mixhub.hub.remote.model_files import WRONGLY_PUBLISHED
from mixhub.hub.rules.config import UnsupportedModelError
from mixhub.hub.rules.revisions import BranchNames
from mixhub.hub.rules.tokenizer import opened_findings
from mixhub.phrases import listed
from mixhub.spec.family import Family
from mixhub.spec.values import Label
from mixhub.workspace.export import weight_files
from mixhub.workspace.lineage import LINEAGE_FILE, UNKNOWN, read_lineage
from mixhub.workspace.paths import Workspace

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_CHOOSES_WEIGHTS = ("variant", "gguf_file", "use_safetensors")
"""Options of Transformers that make it open other weights than those it would choose itself."""


@dataclass(frozen=True)
class Loaded:
    """A loaded revision; unpacks into model and tokenizer."""

    model: PreTrainedModel = field(repr=False)
    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    repo_id: str
    revision: str
    """As requested: a branch, a tag, or the commit itself."""
    commit: str
    """The commit that was loaded: 40 hexadecimal digits."""
    endpoint: str
    """Address of the hub."""
    path: Path
    """The downloaded snapshot."""

    def __iter__(self) -> Iterator[Any]:
        yield self.model
        yield self.tokenizer


class LoadOptions(TypedDict, total=False):
    """Keyword arguments of `load` and `load_all` that do not select a revision.

    Those from `dtype` on go to `AutoModelForCausalLM.from_pretrained`, as does any other that it accepts.
    """

    token: str | None
    """Sent only to the hub. Default: the token of huggingface_hub for huggingface.co, none for other hubs."""
    verify: bool
    """Hash the download, and compare it with the hub and the revision's lineage."""
    subfolder: str
    """The folder of the model in its repo, if it is not at the root."""
    dtype: Any
    """Dtype of the weights in memory, such as `torch.bfloat16`. Default: the dtype in the config."""
    device_map: Any
    """Where the weights go, for example `"auto"` or `"cuda"`."""
    max_memory: Any
    """Bytes per device, for `device_map="auto"`."""
    attn_implementation: str
    """For example `"sdpa"` or `"eager"`."""
    quantization_config: Any
    """A configuration of Transformers for quantized weights."""
    trust_remote_code: bool
    """Run code from the repo. Default: False."""


def load(
    family: str,
    *,
    seed: Label | None = None,
    index: int | None = None,
    step: int | None = None,
    revision: str | None = None,
    commit: str | None = None,
    hub: str | None = None,
    workspace: str | os.PathLike[str] | None = None,
    **options: Unpack[LoadOptions],
) -> Loaded:
    """Load model and tokenizer of one revision of a family.

    The revision is resolved to a commit first, and that commit is downloaded and opened. The working directory does not
    matter: the name of a family means its published repo at HF_ENDPOINT or huggingface.co, unless `hub` or `workspace`
    say otherwise.

    Args:
        family: name of a family such as `human-1b`, or a repo_id such as `sail/data-mixture-human-1b`.
        seed: the seed, for families over seeds; not needed if there is only one run.
        index: the index, for families with one mixture per index.
        step: an earlier step of the run, if published; of its last stage, if the training has several.
        revision: the name of a branch or tag, instead of seed or index. If each run has a repo of its own, seed or
            index choose the repo.
        commit: 40 hexadecimal digits, instead of a revision that may move.
        hub: address of a hub, or `local` for the embedded one of `workspace`.
        workspace: folder of a workspace, for its families, its namespace and its hub.
        **options: see `LoadOptions`.

    Returns:
        Loaded; `model, tokenizer = mixhub.load(...)` unpacks it.

    Raises:
        TypeError: neither mixhub nor Transformers knows an option.
        UnknownNameError: no such family, seed or index; names the nearest.
        UsageError: seed, index, revision and commit contradict each other.
        RepoNotFoundError, RevisionNotFoundError: the hub has none; the second lists the existing ones.
        HubUnreachableError: nothing answers, and the cache does not have it.
        ExportError: the files do not belong together, or, with `verify`, differ from what was published.

    Warns:
        UserWarning: the hub cannot be reached, so the cache was used; the revision was withdrawn; its configs name
            other bos and eos tokens than its tokenizer, which are corrected on the model if the family is known.
    """
    model_options = _model_options(options)
    opened = Workspace.open(Path(workspace)) if workspace is not None else None
    target = target_of(family, opened, seed=seed, index=index, step=step, revision=revision, commit=commit)
    choice = choose_hub_of_call(hub, opened.config.hub if opened else None)
    spec = target.family
    with open_hub(choice, opened) as endpoint, repo_hint(opened, spec):
        if (token := options.get("token")) is not None:
            endpoint = replace(endpoint, token=checked_token(token, "token="))
        is_allowed = opened is not None and spec is not None and not options.get("trust_remote_code")
        with allowed_code(opened, spec) if is_allowed else nullcontext():  # type: ignore[arg-type]
            return _load(endpoint, target, model_options, verify=options.get("verify", False))


def load_all(
    family: str,
    *,
    step: int | None = None,
    hub: str | None = None,
    workspace: str | os.PathLike[str] | None = None,
    **options: Unpack[LoadOptions],
) -> Iterator[Loaded]:
    """Load the revisions of a family one after the other, in the order of its seeds or indices.

    Shared files, such as the tokenizer, are downloaded once. Each model is loaded only when it is reached, and freed
    when nothing refers to it, so that a family of any size fits:

        for model, tokenizer in mixhub.load_all("human-1b"):
            ...

    Args:
        family: name or repo_id of a family.
        step: an earlier step of each run.
        hub, workspace, **options: as in `load`.

    Yields:
        Loaded; its `revision` names it.

    Raises:
        UsageError: the family is not known, so neither are its revisions.
        MixhubError: as `load`.

    Warns:
        UserWarning: revisions are not published, and skipped; or as `load`.
    """
    opened = Workspace.open(Path(workspace)) if workspace is not None else None
    spec, _ = family_of(family, opened)
    if spec is None:
        message = f"{family!r}: neither mixhub nor the workspace knows this family, so its revisions are unknown"
        hint = "load each revision by name: mixhub.load(..., revision=...); mixhub verify lists them"
        raise UsageError(message, code="revisions-unknown", hint=hint)
    runs = spec.runs()
    absent = _absent(spec, step, hub, opened, options.get("token"))
    if absent and len(absent) < len(runs):  # if all are, the first says so
        warnings.warn(f"{spec.repo_id}: not published, so skipped: {listed(absent, most=5)}", stacklevel=2)
        runs = [run for run in runs if run.revision not in absent]
    for run in runs:
        label: Any = {run.kind: run.label}
        yield load(family, step=step, hub=hub, workspace=workspace, **label, **options)


def _absent(
    spec: Family, step: int | None, hub: str | None, workspace: Workspace | None, token: str | None
) -> list[str]:
    """Return the runs that are not published; none if nothing answers, and the cache has to do."""
    try:
        with open_hub(choose_hub_of_call(hub, workspace.config.hub if workspace else None), workspace) as endpoint:
            endpoint = endpoint if token is None else replace(endpoint, token=checked_token(token, "token="))
            several = spec.has_repo_per_run
            heads = {part.repo_id: branch_heads(endpoint, part.repo_id, missing_ok=several) for part in spec.parts()}
    except HubUnreachableError:
        return []
    runs = spec.runs()
    return [run.revision for run in runs if Target.of_run(spec, run, step).name_among(heads[run.repo_id]) is None]


def _model_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options for Transformers; raises TypeError for a misspelt one of ours.

    Transformers refuses unknown options only after the download.
    """
    names = [*(load.__kwdefaults__ or ()), "token", "verify"]
    for name in options:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.75)
        if near and name not in LoadOptions.__annotations__:
            raise TypeError(f"load() got an unexpected keyword argument {name!r}; did you mean {near[0]!r}?")
    return {name: value for name, value in options.items() if name not in ("token", "verify")}


def _load(endpoint: Endpoint, target: Target, model_options: Mapping[str, Any], *, verify: bool) -> Loaded:
    subfolder = str(model_options.get("subfolder") or "").strip("/")
    whole = any(model_options.get(name) is not None for name in _CHOOSES_WEIGHTS)
    wanted, commit, snapshot = target.download(endpoint, subfolder=subfolder, whole=whole)
    if verify:
        require_as_published(endpoint, target.repo_id, commit, snapshot)
    try:
        loaded = _open(snapshot / subfolder, replace(target, revision=wanted), model_options)
    except UnsupportedModelError:
        raise
    except ExportError as error:
        if (damaged := damaged_file(endpoint, target.repo_id, commit, snapshot)) is not None:
            raise damaged from error
        raise
    return Loaded(*loaded, target.repo_id, wanted, commit, endpoint.url, snapshot)


def _open(
    path: Path, target: Target, model_options: Mapping[str, Any]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Open a snapshot, and compare its parts with each other."""
    where = f"{target.repo_id}@{target.revision}"
    is_ours = (path / LINEAGE_FILE).is_file()
    if is_ours:
        _require_consistent(path, where)
        _require_own_run(path, where, target)
    card = path / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    if (why := withdrawal_of(text)) is not None:
        warnings.warn(f"{where} was withdrawn by its publisher: {why}", stacklevel=4)
    model_options = {name: value for name, value in model_options.items() if name != "subfolder"}
    model, tokenizer = open_folder(path, where, **model_options)
    _require_rows(model, tokenizer, where, is_ours=is_ours)
    _compare_tokens(model, tokenizer, where, is_known=is_ours or target.family is not None)
    for finding in opened_findings(where, path, tokenizer):
        warnings.warn(f"{where}: {finding.message}", stacklevel=4)
    return model, tokenizer


def _require_consistent(path: Path, where: str) -> None:
    """Refuse what Transformers would ignore: weights beside other weights, a config that is not JSON."""
    try:
        weight_files(path)
        if (path / "generation_config.json").is_file():
            read_json(path / "generation_config.json", ExportError)
    except ExportError as error:
        message = error.message.replace(str(path), where)
        raise ExportError(message, code=error.code, hint=WRONGLY_PUBLISHED, path=path) from None


def _require_own_run(path: Path, where: str, target: Target) -> None:
    """Refuse a branch that is named after one run and holds the weights of another."""
    lineage, wanted = read_lineage(path), target.revision
    if UNKNOWN in (lineage.revision, lineage.number) or wanted == lineage.revision:
        return
    if target.family is not None:
        meaning = BranchNames(target.family).meaning(wanted)
        is_other = meaning is not None and meaning.run is not None and meaning.run.label != lineage.number
    else:
        stem = lineage.revision.removesuffix(str(lineage.number))
        match = re.fullmatch(rf"{re.escape(stem)}(\d+)", wanted)
        is_other = match is not None and int(match[1]) != lineage.number
    if is_other:
        message = f"{where}: its {LINEAGE_FILE} says that the weights are those of {lineage.revision}"
        fields = {"revision": wanted, "actual": lineage.revision}
        raise ExportError(message, code="run-wrong", hint=WRONGLY_PUBLISHED, **fields)


def _require_rows(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, where: str, *, is_ours: bool) -> None:
    """Refuse a tokenizer with ids for which the model has no row; for models of others, warn."""
    try:
        embedding: Any = model.get_input_embeddings()
        rows = embedding.weight.shape[0]
    except (AttributeError, NotImplementedError):  # of custom code, or made of other parts, without such a table
        return
    try:
        largest = max(tokenizer.get_vocab().values(), default=-1)
    except NotImplementedError:  # a tokenizer of custom code
        return
    if largest >= rows:
        message = f"{where}: its tokenizer has ids up to {largest}, but its model has only {rows} rows for them"
        if is_ours:
            raise ExportError(message, code="vocabulary-exceeded", hint=WRONGLY_PUBLISHED)
        warnings.warn(message, stacklevel=5)


def _compare_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, where: str, *, is_known: bool) -> None:
    """Warn if configs name other bos and eos tokens than the tokenizer.

    Of a family that is known, the tokenizer is right, so the loaded model gets its tokens. Of other models, either may
    be right, and they stay as they are.
    """
    action = "corrected on the loaded model" if is_known else "left as they are, since either may be right"
    configs = [config for config in (model.config, model.generation_config) if config is not None]
    for name in ("bos_token_id", "eos_token_id"):
        right = getattr(tokenizer, name)
        stated = [value for config in configs if (value := getattr(config, name, None)) is not None]
        wrong = [value for value in stated if right not in (value if isinstance(value, list | tuple) else [value])]
        if right is not None and wrong:
            message = f"{where}: its config says {name} = {wrong[0]}, but its tokenizer's is {right}; {action}"
            warnings.warn(message, stacklevel=5)
            for config in configs if is_known else ():
                setattr(config, name, right)
