"""`mixhub.load`: a revision of a family, pinned to a commit before anything is downloaded."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub import catalog
from mixhub.endpoint import Endpoint, choose_hub
from mixhub.errors import MixhubError, UsageError
from mixhub.family import Family, Revisions
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
    choice = choose_hub(hub, environ, place.config.hub if place else None)
    with ExitStack() as stack:
        endpoint = stack.enter_context(opened(choice, place))
        if token is not None:
            endpoint = Endpoint(endpoint.url, token, endpoint.cache_dir, endpoint.name)
        pinned = commit or resolve_commit(endpoint, repo_id, wanted)
        path = download(endpoint, repo_id, pinned)
    model, tokenizer = open_folder(path, f"{repo_id}@{wanted}", **model_options)
    return Loaded(model, tokenizer, repo_id, wanted, pinned, endpoint.url, path)


def resolve_commit(endpoint: Endpoint, repo_id: str, revision: str) -> str:
    """The commit that a branch, tag or commit names now; raises RevisionNotFoundError with those that exist."""
    from huggingface_hub import errors

    with translated(endpoint, repo_id, revision):
        try:
            return str(client(endpoint).repo_info(repo_id, revision=revision).sha)
        except errors.RevisionNotFoundError:
            pass
    raise revision_not_found(endpoint, repo_id, revision)


def download(endpoint: Endpoint, repo_id: str, commit: str) -> Path:
    """The snapshot of a commit, from the cache where it is there; without results, plots and duplicate weights."""
    from huggingface_hub import snapshot_download

    with translated(endpoint, repo_id, commit):
        ignored = list(_NOT_FOR_LOADING)
        if any(path.endswith(".safetensors") for path in _paths(endpoint, repo_id, commit)):
            ignored += _OTHER_WEIGHTS
        folder = snapshot_download(
            repo_id,
            revision=commit,
            endpoint=endpoint.url,
            token=endpoint.token,
            cache_dir=endpoint.cache_dir,
            ignore_patterns=ignored,
        )
    return Path(str(folder))


def open_folder(path: Path, what: str, **model_options: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer of a folder in Transformers format; raises MixhubError, naming `what`, when it is none."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not (path / "config.json").is_file():
        raise MixhubError(
            f"{what}: holds no model (no config.json)", hint="a family's models lie on its branches: give a seed"
        )
    model = AutoModelForCausalLM.from_pretrained(path, **model_options)
    return model, AutoTokenizer.from_pretrained(path)


def _paths(endpoint: Endpoint, repo_id: str, commit: str) -> list[str]:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return []
    return client(endpoint).list_repo_files(repo_id, revision=commit)


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
    return None, family
