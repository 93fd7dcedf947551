"""`mixhub.load`: a revision of a family, pinned to a commit before anything is downloaded."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub import catalog
from mixhub.endpoint import Endpoint, choose_hub
from mixhub.errors import ExportError, HubUnreachableError, UsageError
from mixhub.export import WEIGHTS_INDEX_FILE, weight_files
from mixhub.family import Family, Revisions, repo_id_problem
from mixhub.hub.client import client, revision_not_found, translated
from mixhub.hub.opening import opened
from mixhub.workspace import Workspace

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_COMMIT = re.compile(r"[0-9a-f]{40}")
_OTHER_WEIGHTS = ["*.bin", "*.pt", "*.pth", "*.h5", "*.msgpack", "*.onnx", "*.gguf", "*.ckpt"]
_NOT_FOR_LOADING = ["results/*", "metrics.jsonl", "*.svg", "*.png"]


@dataclass(frozen=True)
class Loaded:
    """A loaded revision; unpacks into model and tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
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
        **model_options: go to `AutoModelForCausalLM.from_pretrained`, as `dtype` and `device_map`.

    Returns:
        Loaded; `model, tokenizer = mixhub.load(...)` unpacks it.

    Raises:
        UnknownNameError: no such family, seed or index; names the nearest.
        UsageError: seed, index, revision and commit do not go together.
        RepoNotFoundError, RevisionNotFoundError: the hub has none; the second names those that it has.
        HubUnreachableError: nothing answers, and the cache does not have it.
    """
    place = Workspace.open(Path(workspace)) if workspace is not None else None
    repo_id, wanted = _target(family, place, seed=seed, index=index, step=step, revision=revision, commit=commit)
    environ = {"HF_ENDPOINT": os.environ.get("HF_ENDPOINT", "")}
    choice = choose_hub(hub, environ, place.config.hub if place else None, asked_by="hub=")
    with ExitStack() as stack:
        endpoint = stack.enter_context(opened(choice, place))
        if token is not None:
            endpoint = replace(endpoint, token=token)
        pinned, path = download(endpoint, repo_id, wanted)
        model, tokenizer = open_folder(path, f"{repo_id}@{wanted}", **model_options)
    return Loaded(model, tokenizer, repo_id, wanted, pinned, endpoint.url, path)


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
        # By the name of the revision, so that the cache knows later which commit it meant.
        return _snapshot(endpoint, repo_id, revision, paths, local_files_only=False)
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
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not (path / "config.json").is_file():
        raise ExportError(
            f"{what}: holds no model (no config.json)", hint="a family's models lie on its branches: give a seed"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        loaded: Any = AutoModelForCausalLM.from_pretrained(path, output_loading_info=True, **model_options)
    except (OSError, ValueError, SafetensorError) as error:
        raise ExportError(
            f"{what}: cannot be opened: {str(error).strip().splitlines()[0]}",
            hint="the files of this revision are incomplete or damaged; tell who published it, or load another",
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
    spec, repo_id = _spec(family, workspace)
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


def _spec(family: str, workspace: Workspace | None) -> tuple[Family | None, str]:
    """The family of a name or repo_id, and the repo; no family for a repo that none of ours names."""
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
