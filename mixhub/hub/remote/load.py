"""`mixhub.load`: a revision of a family, pinned to a commit before anything is downloaded."""

from __future__ import annotations

import difflib
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from mixhub.card.facts.withdrawal import withdrawal_of
from mixhub.endpoint import Endpoint, checked_token, choose_hub
from mixhub.errors import ExportError, UsageError
from mixhub.files import read_json
from mixhub.hub.remote.connect import open_hub
from mixhub.hub.remote.download import COMMIT, download, require_as_published
from mixhub.hub.rules.tokenizer import is_fault_of_files
from mixhub.spec import catalog
from mixhub.spec.family import Family
from mixhub.spec.identifiers import repo_id_problem
from mixhub.spec.parts import Revisions
from mixhub.workspace.export import weight_files
from mixhub.workspace.lineage import LINEAGE_FILE, UNKNOWN, read_lineage
from mixhub.workspace.paths import Workspace

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")


@dataclass(frozen=True)
class Loaded:
    """A loaded revision; unpacks into model and tokenizer."""

    model: PreTrainedModel = field(repr=False)
    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    repo_id: str
    revision: str
    """What was asked for: a branch, a tag, or the commit itself."""
    commit: str
    """What was loaded: 40 hexadecimal digits."""
    endpoint: str
    """Address of the hub."""
    path: Path
    """The downloaded snapshot."""

    def __iter__(self) -> Iterator[Any]:
        yield self.model
        yield self.tokenizer


class LoadOptions(TypedDict, total=False):
    """Keyword arguments of `load` and `load_all` that do not say which revision.

    Those from `dtype` on go to `AutoModelForCausalLM.from_pretrained`, as does any other that it takes.
    """

    token: str | None
    """Sent to the hub only; absent: for huggingface.co the one that huggingface_hub has, else none."""
    verify: bool
    """Hash what was downloaded, and compare it with what the hub and the revision's lineage say."""
    dtype: Any
    """Of the weights in memory, as `torch.bfloat16`; absent: the one that the config names."""
    device_map: Any
    """Where the weights go, as `"auto"` or `"cuda"`."""
    max_memory: Any
    """Bytes for each device, where `device_map` is `"auto"`."""
    attn_implementation: str
    """As `"sdpa"` or `"eager"`."""
    quantization_config: Any
    """A configuration of Transformers for quantized weights."""
    trust_remote_code: bool
    """Run code that lies in the repo; absent: it is not run."""


def load(
    family: str,
    *,
    seed: int | None = None,
    index: int | None = None,
    step: int | None = None,
    revision: str | None = None,
    commit: str | None = None,
    hub: str | None = None,
    workspace: str | os.PathLike[str] | None = None,
    **options: Unpack[LoadOptions],
) -> Loaded:
    """Loads model and tokenizer of one revision of a family.

    The revision is resolved to a commit first, and that commit is downloaded and opened, so what was loaded can be
    named exactly. The working directory does not matter: a family's name means its published repo at HF_ENDPOINT or
    huggingface.co, unless `hub` or `workspace` say otherwise.

    Args:
        family: name of a family, as `human-1b`, or a repo_id, as `sail/data-mixture-human-1b`.
        seed: the seed, for families over seeds.
        index: the index, for families with one mixture per index.
        step: an earlier step of the run, where it was published.
        revision: a branch or tag by its name, instead of seed or index.
        commit: 40 hexadecimal digits, instead of a revision that may move.
        hub: address of a hub, or `local` for the embedded one of `workspace`.
        workspace: folder of a workspace: its families, its namespace and its hub are used.
        **options: see `LoadOptions`. `token` is sent to this hub only; absent: for huggingface.co the one that
            huggingface_hub has, else none. `verify=True` hashes what was downloaded, and compares it with what the hub
            and the revision's lineage say. All others go to `AutoModelForCausalLM.from_pretrained`, as `dtype` and
            `device_map`. Code that lies in the repo is not run unless `trust_remote_code=True` is among them.

    Returns:
        Loaded; `model, tokenizer = mixhub.load(...)` unpacks it.

    Raises:
        TypeError: neither mixhub nor Transformers knows an option.
        UnknownNameError: no such family, seed or index; names the nearest.
        UsageError: seed, index, revision and commit do not go together.
        RepoNotFoundError, RevisionNotFoundError: the hub has none; the second names those that it has.
        HubUnreachableError: nothing answers, and the cache does not have it.
        ExportError: the files do not belong together, or, with `verify`, are not those that were published.

    Warns:
        UserWarning: the cache was used, since the hub cannot be reached; the revision was withdrawn; or its configs
            name other bos and eos tokens than its tokenizer, which are corrected on the model.
    """
    model_options = _model_options(options)
    home = Workspace.open(Path(workspace)) if workspace is not None else None
    repo_id, wanted = _target(family, home, seed=seed, index=index, step=step, revision=revision, commit=commit)
    environ = {"HF_ENDPOINT": os.environ.get("HF_ENDPOINT", "")}
    choice = choose_hub(hub, environ, home.config.hub if home else None, asked_by="hub=")
    with open_hub(choice, home) as endpoint:
        if (token := options.get("token")) is not None:
            endpoint = replace(endpoint, token=checked_token(token, "token="))
        return _load(endpoint, repo_id, wanted, options.get("verify", False), model_options)


def load_all(
    family: str,
    *,
    step: int | None = None,
    hub: str | None = None,
    workspace: str | os.PathLike[str] | None = None,
    **options: Unpack[LoadOptions],
) -> Iterator[Loaded]:
    """Loads the revisions of a family one after the other, in the order of its seeds or indices.

    What they share, as the tokenizer, is downloaded once. Each model is loaded when it is its turn, and is freed when
    nothing holds it any more, so that a family of any size fits:

        for model, tokenizer in mixhub.load_all("human-1b"):
            ...

    Args:
        family: name or repo_id of a family.
        step: an earlier step of each run.
        hub, workspace, **options: as `load` takes them.

    Yields:
        Loaded; its `revision` says which it is.

    Raises:
        UsageError: nobody knows which revisions a repo of that name has.
        MixhubError: as `load`.
    """
    home = Workspace.open(Path(workspace)) if workspace is not None else None
    spec, _ = family_of(family, home)
    if spec is None:
        raise UsageError(
            f"{family!r}: is no family that mixhub or the workspace knows, so which revisions it has is not known",
            code="revisions-unknown",
            hint="load each by its name: mixhub.load(..., revision=...); mixhub verify lists them",
        )
    for run in spec.runs():
        yield load(
            family,
            seed=run.number if run.kind == "seed" else None,
            index=run.number if run.kind == "index" else None,
            step=step,
            hub=hub,
            workspace=workspace,
            **options,
        )


def _model_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that go to Transformers; raises TypeError for one of ours that is misspelt.

    Transformers itself refuses what it does not know only after the download.
    """
    names = [*(load.__kwdefaults__ or ()), "token", "verify"]
    for name in options:
        meant = difflib.get_close_matches(name, names, n=1, cutoff=0.75)
        if meant and name not in LoadOptions.__annotations__:
            raise TypeError(f"load() got an unexpected keyword argument {name!r}; did you mean {meant[0]!r}?")
    return {name: value for name, value in options.items() if name not in ("token", "verify")}


def _load(endpoint: Endpoint, repo_id: str, wanted: str, verify: bool, model_options: Mapping[str, Any]) -> Loaded:
    commit, path = download(endpoint, repo_id, wanted)
    if verify:
        require_as_published(endpoint, repo_id, commit, path)
    if (path / LINEAGE_FILE).is_file():
        _require_of_a_piece(path, f"{repo_id}@{wanted}")
        _require_own_run(path, repo_id, wanted)
    _warn_if_withdrawn(path, f"{repo_id}@{wanted}")
    model, tokenizer = open_folder(path, f"{repo_id}@{wanted}", **model_options)
    _require_rows(model, tokenizer, f"{repo_id}@{wanted}", is_ours=(path / LINEAGE_FILE).is_file())
    _correct_tokens(model, tokenizer, f"{repo_id}@{wanted}")
    return Loaded(model, tokenizer, repo_id, wanted, commit, endpoint.url, path)


def open_folder(path: Path, what: str, **model_options: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer of a folder in Transformers format.

    Raises:
        ExportError: it holds no model or no tokenizer, or its weights are not exactly those that its config asks for:
            Transformers alone would make up what is missing.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not (path / "config.json").is_file():
        raise ExportError(
            f"{what}: holds no model (no config.json)",
            code="model-missing",
            hint="a family's models lie on its branches: give a seed",
            path=path,
        )
    options = {"trust_remote_code": False, **model_options}  # unset, Transformers asks whoever sits there, and runs it
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=options["trust_remote_code"])
        loaded: Any = AutoModelForCausalLM.from_pretrained(path, output_loading_info=True, **options)
    except (ImportError, MemoryError, torch.OutOfMemoryError):  # no fault of the files
        raise
    except BaseException as error:  # each class of configs, tokenizers and models raises its own
        if not is_fault_of_files(error):
            raise
        if isinstance(error, TypeError) and (name := _UNEXPECTED.search(str(error))) and name[1] in model_options:
            raise TypeError(f"load() got an unexpected keyword argument {name[1]!r}: Transformers: {error}") from error
        said = (str(error).strip().splitlines() or [""])[0]
        cause = f", or an option does not go with them ({', '.join(model_options)})" if model_options else ""
        raise ExportError(
            f"{what}: cannot be opened: {type(error).__name__}: {said}",
            code="model-unloadable",
            hint=f"the files of this revision are incomplete or damaged{cause}; tell who published it, or load another",
            path=path,
        ) from error
    model, report = loaded
    wrong = {
        kind: sorted(map(str, report[f"{kind}_keys"]))
        for kind in ("missing", "unexpected", "mismatched")
        if report.get(f"{kind}_keys")
    }
    if wrong:
        said = "; ".join(f"{kind}: {', '.join(names[:3])} ({len(names)})" for kind, names in wrong.items())
        raise ExportError(
            f"{what}: its weights do not fit its config.json: {said}",
            code="weights-unfit",
            hint="the files of this revision do not belong together; tell who published it, or load another",
            path=path,
            **wrong,
        )
    return model, tokenizer


def _require_of_a_piece(path: Path, what: str) -> None:
    """Refuses what Transformers would pass over in silence: weights beside other weights, a config that is no JSON."""
    try:
        weight_files(path)
        if (path / "generation_config.json").is_file():
            read_json(path / "generation_config.json", ExportError)
    except ExportError as error:
        raise ExportError(
            error.message.replace(str(path), what),
            code=error.code,
            hint="this revision was published wrongly; tell who did, or load another",
            path=path,
        ) from None


def _require_own_run(path: Path, repo_id: str, wanted: str) -> None:
    """Refuses a branch that is named for one run, and holds the weights of another."""
    lineage = read_lineage(path)
    if UNKNOWN in (lineage.revision, lineage.number) or wanted == lineage.revision:
        return
    stem = lineage.revision.removesuffix(str(lineage.number))
    match = re.fullmatch(rf"{re.escape(stem)}(\d+)", wanted)
    if match and int(match[1]) != lineage.number:
        raise ExportError(
            f"{repo_id}@{wanted}: its {LINEAGE_FILE} says that these are the weights of {lineage.revision}",
            code="run-wrong",
            hint="this revision was published wrongly; tell who did, or load another",
            path=path,
            revision=wanted,
            actual=lineage.revision,
        )


def _warn_if_withdrawn(path: Path, what: str) -> None:
    card = path / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    if (why := withdrawal_of(text)) is not None:
        warnings.warn(f"{what} was withdrawn by those who published it: {why}", stacklevel=4)


def _require_rows(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, what: str, *, is_ours: bool) -> None:
    """Refuses a tokenizer with ids for which the model has no row; of models that are not ours, it warns."""
    embedding: Any = model.get_input_embeddings()
    rows = embedding.weight.shape[0]
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if largest >= rows:
        message = f"{what}: its tokenizer has ids up to {largest}, and its model has {rows} rows for them"
        if is_ours:
            raise ExportError(
                message,
                code="vocabulary-exceeded",
                hint="this revision was published wrongly; tell who did, or load another",
            )
        warnings.warn(message, stacklevel=4)


def _correct_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, what: str) -> None:
    """Sets bos and eos of a model to those of its tokenizer, with a warning, where its configs name others."""
    configs = [model.config, *([model.generation_config] if model.generation_config is not None else [])]
    for name in ("bos_token_id", "eos_token_id"):
        right = getattr(tokenizer, name)
        token_ids = [getattr(config, name, None) for config in configs]
        if right is None or all(one is None or right in _as_list(one) for one in token_ids):
            continue
        wrong = next(one for one in token_ids if one is not None and right not in _as_list(one))
        warnings.warn(
            f"{what}: its config says {name} = {wrong}, but its tokenizer's is {right}; corrected on the loaded model",
            stacklevel=4,
        )
        for config in configs:
            setattr(config, name, right)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _target(
    family: str,
    workspace: Workspace | None,
    *,
    seed: int | None,
    index: int | None,
    step: int | None,
    revision: str | None,
    commit: str | None,
) -> tuple[str, str]:
    """repo_id and revision that the arguments of `load` mean."""
    spec, repo_id = family_of(family, workspace)
    numbered = seed is not None or index is not None
    if commit is not None:
        commit = commit.lower()
        if not COMMIT.fullmatch(commit):
            raise UsageError(
                f"commit = {commit!r}: must be 40 hexadecimal digits",
                code="option-value",
                hint="a branch goes to revision=",
                option="commit",
                value=commit,
            )
        if numbered or revision is not None or step is not None:
            raise UsageError(
                "commit says all: give it without seed, index, step and revision",
                code="option-conflict",
                options=("commit", "seed", "index", "step", "revision"),
            )
        return repo_id, commit
    if revision is not None:
        if numbered or step is not None:
            raise UsageError(
                "give either revision, or seed (or index) with step",
                code="option-conflict",
                options=("revision", "seed", "index", "step"),
            )
        return repo_id, revision
    if spec is not None:
        return repo_id, spec.revision(seed=seed, index=index, step=step)
    if not numbered:
        if step is not None:
            raise UsageError("step needs a seed or an index", code="option-missing", options=("seed", "index"))
        return repo_id, "main"
    if seed is not None and index is not None:
        raise UsageError("give either seed or index", code="option-conflict", options=("seed", "index"))
    pattern = Revisions(seeds=(0,)).pattern if seed is not None else "model-index-{index}"
    name = pattern.format(seed=seed, index=index)
    return repo_id, name if step is None else Revisions(seeds=(0,)).step_pattern.format(revision=name, step=step)


def family_of(family: str, workspace: Workspace | None) -> tuple[Family | None, str]:
    """The family of a name or repo_id, and the repo; no family for a repo that none of ours names.

    Raises:
        UnknownNameError: no family of that name; names the nearest.
        UsageError: it is neither a name nor a repo_id.
    """
    if "/" not in family:
        spec = workspace.family(family) if workspace else catalog.get(family)
        return spec, spec.repo_id
    names = workspace.family_names() if workspace else catalog.names()
    for name in names:
        spec = workspace.family(name) if workspace else catalog.get(name)
        if spec.repo_id == family:
            return spec, family
    if problem := repo_id_problem(family):
        raise UsageError(f"{family!r} is no repo_id: {problem}", code="repo-id-malformed", repo_id=family)
    return None, family
