"""`mixhub.load`: a revision of a family, pinned to a commit before anything is downloaded."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub.card.facts.withdrawal import withdrawal_of
from mixhub.endpoint import Endpoint, checked_token, choose_hub
from mixhub.errors import ExportError, HubError, HubUnreachableError, UsageError
from mixhub.files import read_json, write_text
from mixhub.hub.remote.client import client, revision_not_found, translated
from mixhub.hub.remote.connect import opened
from mixhub.hub.remote.files import RemoteFile, local_file, same_content
from mixhub.hub.rules.export import is_fault_of_files
from mixhub.spec import catalog
from mixhub.spec.family import Family, Revisions, repo_id_problem
from mixhub.workspace.export import WEIGHTS_INDEX_FILE, weight_files
from mixhub.workspace.lineage import LINEAGE_FILE, UNKNOWN, file_sha256, read_lineage, weights_sha256
from mixhub.workspace.paths import Workspace

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_COMMIT = re.compile(r"[0-9a-f]{40}")
_OTHER_WEIGHTS = ["*.bin", "*.pt", "*.pth", "*.h5", "*.msgpack", "*.onnx", "*.gguf", "*.ckpt"]
_NOT_FOR_LOADING = ["results/*", "metrics.jsonl", "*.svg", "*.png"]


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
    token: str | None = None,
    verify: bool = False,
    **model_options: Any,
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
        token: sent to this hub only; absent: for huggingface.co the one that huggingface_hub has, else none.
        verify: hash what was downloaded, and compare it with what the hub and the revision's lineage say.
        **model_options: go to `AutoModelForCausalLM.from_pretrained`, as `dtype` and `device_map`. Code that lies in
            the repo is not run unless `trust_remote_code=True` is among them.

    Returns:
        Loaded; `model, tokenizer = mixhub.load(...)` unpacks it.

    Raises:
        UnknownNameError: no such family, seed or index; names the nearest.
        UsageError: seed, index, revision and commit do not go together.
        RepoNotFoundError, RevisionNotFoundError: the hub has none; the second names those that it has.
        HubUnreachableError: nothing answers, and the cache does not have it.
        ExportError: the files do not belong together, or, with `verify`, are not those that were published.

    Warns:
        UserWarning: the cache was used, since the hub cannot be reached; the revision was withdrawn; or its configs
            name other bos and eos tokens than its tokenizer, which are corrected on the model.
    """
    place = Workspace.open(Path(workspace)) if workspace is not None else None
    repo_id, wanted = _target(family, place, seed=seed, index=index, step=step, revision=revision, commit=commit)
    environ = {"HF_ENDPOINT": os.environ.get("HF_ENDPOINT", "")}
    choice = choose_hub(hub, environ, place.config.hub if place else None, asked_by="hub=")
    with opened(choice, place) as endpoint:
        if token is not None:
            endpoint = replace(endpoint, token=checked_token(token, "token="))
        return _load(endpoint, repo_id, wanted, verify, model_options)


def load_all(
    family: str,
    *,
    step: int | None = None,
    hub: str | None = None,
    workspace: str | os.PathLike[str] | None = None,
    token: str | None = None,
    verify: bool = False,
    **model_options: Any,
) -> Iterator[Loaded]:
    """Loads the revisions of a family one after the other, in the order of its seeds or indices.

    What they share, as the tokenizer, is downloaded once. Each model is loaded when it is its turn, and is freed when
    nothing holds it any more, so that a family of any size fits:

        for model, tokenizer in mixhub.load_all("human-1b"):
            ...

    Args:
        family: name or repo_id of a family.
        step: an earlier step of each run.
        hub, workspace, token, verify, **model_options: as `load` takes them.

    Yields:
        Loaded; its `revision` says which it is.

    Raises:
        UsageError: nobody knows which revisions a repo of that name has.
        MixhubError: as `load`.
    """
    place = Workspace.open(Path(workspace)) if workspace is not None else None
    spec, _ = family_of(family, place)
    if spec is None:
        raise UsageError(
            f"{family!r}: is no family that mixhub or the workspace knows, so which revisions it has is not known",
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
            token=token,
            verify=verify,
            **model_options,
        )


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


def download(endpoint: Endpoint, repo_id: str, revision: str) -> tuple[str, Path]:
    """The commit that a revision names, and its snapshot, without results, plots and duplicate weights.

    Where the hub cannot be reached, what it gave last is taken from the cache, with a warning that names the commit.

    Raises:
        RepoNotFoundError, RevisionNotFoundError: the hub has none; the second names those that it has.
        HubUnreachableError: nothing answers, and the cache does not hold the revision whole.
    """
    from huggingface_hub import errors

    try:
        with translated(endpoint, repo_id, revision):
            try:
                info = client(endpoint).model_info(repo_id, revision=revision)
                paths = [sibling.rfilename for sibling in info.siblings or ()]
                found: str | None = str(info.sha)
            except errors.RevisionNotFoundError:
                found = None
        if found is None:
            raise revision_not_found(endpoint, repo_id, revision)
        if _COMMIT.fullmatch(revision) and found != revision:
            raise HubError(
                f"{endpoint}: was asked for commit {revision} of {repo_id}, and answers with {found}",
                hint="this hub, or a mirror before it, does not give what is asked for: load it from another",
                repo_id=repo_id,
                revision=revision,
            )
        commit, path = _snapshot(endpoint, repo_id, found, paths, local_files_only=False)
        if revision != commit:  # where the cache keeps what a name meant, for when the hub cannot be asked
            with suppress(OSError):  # a cache that others filled may be read-only
                write_text(path.parent.parent / "refs" / revision, commit)
        return commit, path
    except HubUnreachableError as error:
        try:
            commit, path = _snapshot(endpoint, repo_id, revision, [], local_files_only=True)
        except HubUnreachableError:
            raise error from None
        if not _is_whole(path):
            raise error from None
        warnings.warn(
            f"{endpoint} cannot be reached; loading {repo_id}@{revision} from the cache, commit {commit}", stacklevel=3
        )
        return commit, path


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
            f"{what}: holds no model (no config.json)", hint="a family's models lie on its branches: give a seed"
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
        said = (str(error).strip().splitlines() or [""])[0]
        given = f", or an option does not go with them ({', '.join(model_options)})" if model_options else ""
        raise ExportError(
            f"{what}: cannot be opened: {type(error).__name__}: {said}",
            hint=f"the files of this revision are incomplete or damaged{given}; tell who published it, or load another",
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
            hint="the files of this revision do not belong together; tell who published it, or load another",
            path=path,
        )
    return model, tokenizer


def require_as_published(endpoint: Endpoint, repo_id: str, commit: str, path: Path) -> None:
    """Hashes a snapshot, and compares it with what the hub and its lineage say.

    Raises:
        ExportError: a file is another than was published; or neither the hub nor a lineage tells what was.
    """
    hint = f"delete {path.parent.parent} and load again; if it stays, tell who published it"
    lineage = read_lineage(path) if (path / LINEAGE_FILE).is_file() else None
    try:
        tree = _told_files(endpoint, repo_id, commit)
    except HubUnreachableError:
        tree = {}
    if not tree and lineage is None:
        raise ExportError(
            f"{repo_id}@{commit}: cannot be verified: the hub cannot be reached, and it has no {LINEAGE_FILE}",
            hint="load it with verify=False, or where the hub can be reached",
        )
    present = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    if beside := [name for name in present if tree and name not in tree]:
        raise ExportError(f"{path / beside[0]}: is not among the files that {endpoint} has at {commit}", hint=hint)
    for name, file in tree.items():
        if (path / name).is_file() and not same_content(local_file(path / name), file):
            raise ExportError(f"{path / name}: is not the file that {endpoint} has at {commit}", hint=hint)
    if lineage is None:
        return
    tokenizer = path / "tokenizer.json"
    for what, told, actual in (
        ("weights", lineage.weights_sha256, weights_sha256(path)),
        ("tokenizer", lineage.tokenizer_sha256, file_sha256(tokenizer) if tokenizer.is_file() else "absent"),
    ):
        if told not in (UNKNOWN, actual):
            raise ExportError(
                f"{repo_id}@{commit}: its {what} are {actual}, but {LINEAGE_FILE} says {told}",
                hint="this revision was published wrongly; tell who did, or load another",
                path=path,
            )


def _require_of_a_piece(path: Path, what: str) -> None:
    """Refuses what Transformers would pass over in silence: weights beside other weights, a config that is no JSON."""
    try:
        weight_files(path)
        if (path / "generation_config.json").is_file():
            read_json(path / "generation_config.json", ExportError)
    except ExportError as error:
        raise ExportError(
            error.message.replace(str(path), what),
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
            hint="this revision was published wrongly; tell who did, or load another",
            path=path,
        )


def _told_files(endpoint: Endpoint, repo_id: str, commit: str) -> dict[str, RemoteFile]:
    """The files of a commit, asked for once: a listing would be asked for again and again where nothing answers."""
    with translated(endpoint, repo_id, commit):
        info = client(endpoint).model_info(repo_id, revision=commit, files_metadata=True)
    return {
        file.rfilename: RemoteFile(file.size or 0, file.blob_id or "", file.lfs.sha256 if file.lfs else None)
        for file in info.siblings or ()
    }


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
            raise ExportError(message, hint="this revision was published wrongly; tell who did, or load another")
        warnings.warn(message, stacklevel=4)


def _correct_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, what: str) -> None:
    """Sets bos and eos of a model to those of its tokenizer, with a warning, where its configs name others."""
    configs = [model.config, *([model.generation_config] if model.generation_config is not None else [])]
    for name in ("bos_token_id", "eos_token_id"):
        right = getattr(tokenizer, name)
        given = [getattr(config, name, None) for config in configs]
        if right is None or all(one is None or right in _listed(one) for one in given):
            continue
        wrong = next(one for one in given if one is not None and right not in _listed(one))
        warnings.warn(
            f"{what}: its config says {name} = {wrong}, but its tokenizer's is {right}; corrected on the loaded model",
            stacklevel=4,
        )
        for config in configs:
            setattr(config, name, right)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _snapshot(
    endpoint: Endpoint, repo_id: str, revision: str, paths: Iterable[str], *, local_files_only: bool
) -> tuple[str, Path]:
    from huggingface_hub import snapshot_download

    ignored = list(_NOT_FOR_LOADING)
    if any(path.endswith(".safetensors") for path in paths):
        ignored += _OTHER_WEIGHTS
    with translated(endpoint, repo_id, revision):
        folder = snapshot_download(
            repo_id,
            revision=revision,
            endpoint=endpoint.url,
            token=endpoint.token,
            cache_dir=endpoint.cache_dir,
            ignore_patterns=ignored,
            local_files_only=local_files_only,
        )
    path = Path(str(folder))
    return path.name, path  # the cache names a snapshot's folder by its commit


def _is_whole(snapshot: Path) -> bool:
    """Whether an earlier download of a model came to its end."""
    if not all((snapshot / name).exists() for name in ("config.json", "tokenizer_config.json")):
        return False
    index = snapshot / WEIGHTS_INDEX_FILE
    if index.exists():
        return all((snapshot / name).exists() for name in weight_files(snapshot))
    return any(snapshot.glob("*.safetensors")) or any(snapshot.glob("*.bin"))


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
        if not _COMMIT.fullmatch(commit):
            raise UsageError(f"commit = {commit!r}: must be 40 hexadecimal digits", hint="a branch goes to revision=")
        if numbered or revision is not None or step is not None:
            raise UsageError("commit says all: give it without seed, index, step and revision")
        return repo_id, commit
    if revision is not None:
        if numbered or step is not None:
            raise UsageError("give either revision, or seed (or index) with step")
        return repo_id, revision
    if spec is not None:
        return repo_id, spec.revision(seed=seed, index=index, step=step)
    if not numbered:
        if step is not None:
            raise UsageError("step needs a seed or an index")
        return repo_id, "main"
    if seed is not None and index is not None:
        raise UsageError("give either seed or index")
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
        raise UsageError(f"{family!r} is no repo_id: {problem}")
    return None, family
