"""`mixhub.load`: a revision of a family, pinned to a commit before anything is downloaded."""

from __future__ import annotations

import difflib
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict, Unpack

from mixhub.card.facts.withdrawal import withdrawal_of
from mixhub.endpoint import HUGGINGFACE, Endpoint, checked_token, choose_hub_of_call
from mixhub.errors import ExportError, HubUnreachableError, RepoNotFoundError, UsageError
from mixhub.files import read_json
from mixhub.hub.remote.client import branch_heads
from mixhub.hub.remote.connect import open_hub
from mixhub.hub.remote.custom_code import allowed_code
from mixhub.hub.remote.download import COMMIT, damaged_file, download, require_as_published
from mixhub.hub.remote.model_files import WRONGLY_PUBLISHED
from mixhub.hub.rules.config import CONFIG, UnsupportedModelError, reason, require_causal, unmet_need, why_unsupported
from mixhub.hub.rules.tokenizer import is_fault_of_files, opened_findings
from mixhub.hub.rules.weights import read_tensors
from mixhub.phrases import listed
from mixhub.spec import catalog
from mixhub.spec.family import Family
from mixhub.spec.revisions import Revisions
from mixhub.spec.values import Label, repo_id_problem
from mixhub.workspace.export import weight_files
from mixhub.workspace.lineage import LINEAGE_FILE, UNKNOWN, read_lineage
from mixhub.workspace.paths import CONFIG_FILE, Workspace

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_CHOOSES_WEIGHTS = ("variant", "gguf_file", "use_safetensors")
"""Options of Transformers that make it open other weights than those it would choose itself."""
_TRUST = "if you trust it, run its code: mixhub.load(..., trust_remote_code=True)"
_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")


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
        seed: the seed, for families over seeds.
        index: the index, for families with one mixture per index.
        step: an earlier step of the run, if published.
        revision: the name of a branch or tag, instead of seed or index.
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
    repo_id, wanted = _target(family, opened, seed=seed, index=index, step=step, revision=revision, commit=commit)
    choice = choose_hub_of_call(hub, opened.config.hub if opened else None)
    spec = family_of(family, opened)[0]
    with open_hub(choice, opened) as endpoint, repo_told(opened, spec):
        if (token := options.get("token")) is not None:
            endpoint = replace(endpoint, token=checked_token(token, "token="))
        verify = options.get("verify", False)
        is_allowed = opened is not None and spec is not None and not options.get("trust_remote_code")
        with allowed_code(opened, spec) if is_allowed else nullcontext():  # type: ignore[arg-type]
            return _load(endpoint, repo_id, wanted, model_options, verify=verify, is_known=spec is not None)


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
    runs = {spec.branch(run, step): run for run in spec.runs()}
    branches = _branches(spec.repo_id, hub, opened, options.get("token"))
    absent = [name for name in runs if branches is not None and name not in branches]
    if absent and len(absent) < len(runs):  # if all are, the first says so
        warnings.warn(f"{spec.repo_id}: not published, so skipped: {listed(absent, most=5)}", stacklevel=2)
        runs = {name: run for name, run in runs.items() if name not in absent}
    for run in runs.values():
        label: Any = {run.kind: run.label}
        yield load(family, step=step, hub=hub, workspace=workspace, **label, **options)


def _branches(repo_id: str, hub: str | None, workspace: Workspace | None, token: str | None) -> set[str] | None:
    """Return the branches of a repo; None if nothing answers, and the cache has to do."""
    try:
        with open_hub(choose_hub_of_call(hub, workspace.config.hub if workspace else None), workspace) as endpoint:
            endpoint = endpoint if token is None else replace(endpoint, token=checked_token(token, "token="))
            return set(branch_heads(endpoint, repo_id))
    except HubUnreachableError:
        return None


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


def _load(
    endpoint: Endpoint, repo_id: str, wanted: str, model_options: Mapping[str, Any], *, verify: bool, is_known: bool
) -> Loaded:
    subfolder = str(model_options.get("subfolder") or "").strip("/")
    whole = any(model_options.get(name) is not None for name in _CHOOSES_WEIGHTS)
    commit, snapshot = download(endpoint, repo_id, wanted, subfolder=subfolder, whole=whole)
    if verify:
        require_as_published(endpoint, repo_id, commit, snapshot)
    path, where = snapshot / subfolder, f"{repo_id}@{wanted}"
    try:
        loaded = _open(path, where, wanted, model_options, is_known=is_known)
    except UnsupportedModelError:
        raise
    except ExportError as error:
        if (damaged := damaged_file(endpoint, repo_id, commit, snapshot)) is not None:
            raise damaged from error
        raise
    return Loaded(*loaded, repo_id, wanted, commit, endpoint.url, snapshot)


def _open(
    path: Path, where: str, wanted: str, model_options: Mapping[str, Any], *, is_known: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Open a snapshot, and compare its parts with each other."""
    is_ours = (path / LINEAGE_FILE).is_file()
    if is_ours:
        _require_consistent(path, where)
        _require_own_run(path, where, wanted)
    card = path / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    if (why := withdrawal_of(text)) is not None:
        warnings.warn(f"{where} was withdrawn by its publisher: {why}", stacklevel=4)
    model_options = {name: value for name, value in model_options.items() if name != "subfolder"}
    model, tokenizer = open_folder(path, where, **model_options)
    _require_rows(model, tokenizer, where, is_ours=is_ours)
    _compare_tokens(model, tokenizer, where, is_known=is_ours or is_known)
    for finding in opened_findings(where, path, tokenizer):
        warnings.warn(f"{where}: {finding.message}", stacklevel=4)
    return model, tokenizer


def open_folder(path: Path, where: str, **model_options: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return model and tokenizer of a folder in Transformers format.

    Raises:
        UnsupportedModelError: it may be sound, but needs what is not here: a package, memory, custom code, or another
            class of Transformers.
        ExportError: it lacks a model or a tokenizer, or its weights are not exactly those of its config: Transformers
            alone would initialise what is missing.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not (path / CONFIG).is_file():
        hint = "pass a folder in Transformers format"
        raise ExportError(f"{where}: holds no model (no config.json)", code="model-missing", hint=hint, path=path)
    options = {"trust_remote_code": False, **model_options}  # unset, Transformers prompts, and runs it
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=options["trust_remote_code"])
        loaded: Any = AutoModelForCausalLM.from_pretrained(path, output_loading_info=True, **options)
    except BaseException as error:  # each class of configs, tokenizers and models raises its own
        if not is_fault_of_files(error):
            raise
        if isinstance(error, TypeError) and (name := _UNEXPECTED.search(str(error))) and name[1] in model_options:
            raise TypeError(f"load() got an unexpected keyword argument {name[1]!r}: Transformers: {error}") from error
        raise unloadable(error, path, where, model_options) from error
    model, report = loaded
    keys = {
        kind: sorted(map(str, report.get(f"{kind}_keys") or ())) for kind in ("missing", "unexpected", "mismatched")
    }
    if wrong := {kind: names for kind, names in keys.items() if names}:
        if not options["trust_remote_code"] and (other := _other_kind(path, where)) is not None:
            raise other
        problems = "; ".join(f"{kind}: {', '.join(names[:3])} ({len(names)})" for kind, names in wrong.items())
        message = f"{where}: its weights do not fit its config.json: {problems}"
        raise ExportError(message, code="weights-unfit", hint=WRONGLY_PUBLISHED, path=path, **wrong)
    return model, tokenizer


def unloadable(error: BaseException, path: Path, where: str, options: Mapping[str, Any]) -> ExportError:
    """Return the error for a model that a library could not open, by what is to be done about it.

    Args:
        error: what the library raised.
        path: the folder of the model.
        where: the model, for the message.
        options: those that were passed to Transformers.
    """
    is_trusted = bool(options.get("trust_remote_code"))
    unsupported = unmet_need(error, path) if is_trusted else why_unsupported(error, path)
    if unsupported is not None:
        return _named(unsupported, where)
    if not is_trusted and (other := _other_kind(path, where)) is not None:
        return other
    if "trust_remote_code" in str(error):
        message, hint = f"{where}: needs the code in its repo, which mixhub does not run unasked", _TRUST
        return UnsupportedModelError(message, code="code-required", hint=hint, path=path)
    damage = _damage(path)
    hint = "the files are damaged: report it to the publisher, or load another revision"
    if damage is None:
        used = f", or without {listed(list(options))}" if options else ""
        hint = f"try another version of Transformers{used}, or ask the publisher how it is loaded"
    message = f"{where}: cannot be opened: {damage or reason(error, path)}"
    return ExportError(message, code="model-unloadable", hint=hint, path=path, damaged=damage is not None)


def _other_kind(path: Path, where: str) -> UnsupportedModelError | None:
    """Return the error for a model of another kind than a causal language model; None for those."""
    try:
        require_causal(path)
    except UnsupportedModelError as error:
        return _named(error, where)
    return None


def _named(error: UnsupportedModelError, where: str) -> UnsupportedModelError:
    return UnsupportedModelError(f"{where}: {error.message}", code=error.code, hint=error.hint, **error.fields)


def _damage(path: Path) -> str | None:
    """Return what is wrong with the first file of a model that is not JSON or safetensors, as its name says."""
    try:
        for file in sorted(path.glob("*.json")):
            if not isinstance(read_json(file, ExportError), Mapping) and file.name.endswith("config.json"):
                return f"{file.name}: must be a JSON object"
        for file in sorted(path.glob("*.safetensors")):
            read_tensors(file)
    except (ExportError, OSError) as error:
        return str(error).replace(f"{path}/", "")
    return None


def _require_consistent(path: Path, where: str) -> None:
    """Refuse what Transformers would ignore: weights beside other weights, a config that is not JSON."""
    try:
        weight_files(path)
        if (path / "generation_config.json").is_file():
            read_json(path / "generation_config.json", ExportError)
    except ExportError as error:
        message = error.message.replace(str(path), where)
        raise ExportError(message, code=error.code, hint=WRONGLY_PUBLISHED, path=path) from None


def _require_own_run(path: Path, where: str, wanted: str) -> None:
    """Refuse a branch that is named after one run and holds the weights of another."""
    lineage = read_lineage(path)
    if UNKNOWN in (lineage.revision, lineage.number) or wanted == lineage.revision:
        return
    stem = lineage.revision.removesuffix(str(lineage.number))
    match = re.fullmatch(rf"{re.escape(stem)}(\d+)", wanted)
    if match and int(match[1]) != lineage.number:
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


def _target(
    family: str,
    workspace: Workspace | None,
    *,
    seed: Label | None,
    index: int | None,
    step: int | None,
    revision: str | None,
    commit: str | None,
) -> tuple[str, str]:
    """Return repo_id and revision that the arguments of `load` mean."""
    spec, repo_id = family_of(family, workspace)
    names_run = any(value is not None for value in (seed, index, step))
    if commit is not None:
        if not COMMIT.fullmatch(commit.lower()):
            message, hint = f"commit = {commit!r}: must be 40 hexadecimal digits", "pass a branch as revision="
            raise UsageError(message, code="option-value", hint=hint, option="commit", value=commit.lower())
        if names_run or revision is not None:
            _conflict("pass commit alone", "commit", "seed", "index", "step", "revision")
        return repo_id, commit.lower()
    if revision is not None:
        if names_run:
            _conflict("pass either revision, or seed (or index) with step", "revision", "seed", "index", "step")
        return repo_id, revision
    if spec is not None:
        run = spec.run(seed=seed, index=index)
        return run.repo_id, spec.branch(run, step)
    if seed is not None and index is not None:
        _conflict("pass either seed or index", "seed", "index")
    if seed is None and index is None:
        if step is not None:
            raise UsageError("step needs a seed or an index", code="option-missing", options=("seed", "index"))
        return repo_id, "main"
    pattern = Revisions(seeds=(0,)).pattern if seed is not None else "model-index-{index}"
    name = pattern.format(seed=seed, index=index)
    return repo_id, name if step is None else Revisions(seeds=(0,)).step_pattern.format(revision=name, step=step)


def _conflict(message: str, *options: str) -> NoReturn:
    raise UsageError(message, code="option-conflict", options=options)


@contextmanager
def repo_told(workspace: Workspace | None, spec: Family | None) -> Iterator[None]:
    """Say what to do about a repo of the workspace that is not found: it may be elsewhere, or was never pushed."""
    try:
        yield
    except RepoNotFoundError as error:
        stated = spec.repo_id if spec else ""
        if workspace is not None and spec is not None and spec.name in workspace.family_names():
            stated = workspace.stated_family(spec.name).repo_id
        if spec is not None and stated != spec.repo_id:
            error.hint = (
                f"`namespace` in {CONFIG_FILE} replaces the owner of {stated}: to use that repo, name it, "
                f"with --hub {HUGGINGFACE} if it is there"
            )
        elif workspace is not None and spec is not None and _has_runs(workspace, spec):
            option = "" if spec.name == workspace.config.family else f" --family {spec.name}"
            error.hint = f"push it first: mixhub push --all{option}; or {error.hint}"
        raise


def _has_runs(workspace: Workspace, family: Family) -> bool:
    """Whether a workspace holds something of a family that it could push."""
    return any(workspace.run_folder(run).export_steps() for run in family.runs())


def family_of(family: str, workspace: Workspace | None) -> tuple[Family | None, str]:
    """Return the family of a name or repo_id, and the repo; no family if none that is known has the repo.

    Raises:
        UnknownNameError: no family of that name; names the nearest.
        UsageError: it is neither a name nor a repo_id.
    """
    find = workspace.family if workspace else catalog.get
    if "/" not in family:
        spec = find(family)
        return spec, spec.repo_id
    stated = workspace.stated_family if workspace else catalog.get
    for name in workspace.family_names() if workspace else catalog.names():
        for spec in (find(name), stated(name)):
            if spec.repo_id == family:
                return spec, family
    if problem := repo_id_problem(family):
        raise UsageError(f"{family!r} is not a repo_id: {problem}", code="repo-id-malformed", repo_id=family)
    return None, family
