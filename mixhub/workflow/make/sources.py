"""Existing models and the others of their family: in a folder, in a repo with branches, in several repos."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub.endpoint import Endpoint
from mixhub.errors import RepoNotFoundError
from mixhub.files import natural
from mixhub.hub.remote.branches import Branch, read_branch, read_branches
from mixhub.hub.remote.client import branch_heads, repos_named
from mixhub.hub.remote.files import MAIN
from mixhub.hub.rules.config import CONFIG
from mixhub.phrases import listed, plural, strides
from mixhub.progress import Progress
from mixhub.spec.revisions import Revisions, placeholders
from mixhub.spec.values import range_or_list
from mixhub.workflow.make.naming import Recognised, recognise

if TYPE_CHECKING:
    from mixhub.spec.values import Label

_SEED = re.compile(r"seed[-_]?(0|[1-9]\d*)$", re.IGNORECASE)
"""The seed at the end of the name of a repo."""


@dataclass(frozen=True)
class Source:
    """A model, and the others of its family."""

    folder: Path
    """Holds config and tokenizer of one model."""
    revisions: Mapping[str, Any] | None = None
    """The runs, and the names of their branches or folders; None if the names state no runs."""
    last: int | None = None
    """The last step, if names state it."""
    repo_id: str | None = None
    """The repo of the model; None for folders."""
    commit: str | None = None
    """The commit of the model."""
    family_repo: str | None = None
    """The repo of the family, or the pattern of its repos."""

    @property
    def where(self) -> str:
        """The model, for messages: the folder of a repo is in a cache that nobody looks into."""
        return self.repo_id or str(self.folder)


def of_folder(path: Path, progress: Progress) -> Source:
    """Return the model in a folder, or the models in the folders in it."""
    models = {one.name: one for one in path.iterdir() if (one / CONFIG).is_file()}
    if (path / CONFIG).is_file() or not models:
        return Source(path)
    names = sorted(models, key=natural)
    found = recognise(names, of_steps=False)
    _report(found, names, progress)
    if found is None:
        return Source(models[names[-1]])
    return Source(models[_first(found)], found.revisions, found.last)


def of_repo(endpoint: Endpoint, repo_id: str, progress: Progress) -> Source:
    """Return the models on the branches of a repo.

    Raises:
        RepoNotFoundError, HubUnreachableError: the hub has no such repo, or does not answer.
    """
    heads = branch_heads(endpoint, repo_id)
    names = [name for name in heads if name != MAIN]
    seed = _SEED.search(repo_id)
    found = recognise(names, label=int(seed[1]) if seed else None)
    _report(found, names, progress)
    if found is None:
        first = MAIN if MAIN in heads else names[-1]
        return Source(read_branch(endpoint, repo_id, first, heads[first]).folder, None, None, repo_id, heads[first])
    wanted = {name: heads[name] for name in (MAIN, *found.runs.values()) if name in heads}
    branches = read_branches(endpoint, repo_id, wanted)
    revisions = {**found.revisions, **_main(branches, found, progress)}
    if seed:
        pattern = f"{repo_id[: seed.start(1)]}{{seed}}"
        progress.notice(f"for all seeds of this recipe that have a repo: --from-model '{pattern}'")
    one = branches[_first(found)]
    return Source(one.folder, revisions, found.last, repo_id, one.commit, repo_id)


def of_repos(endpoint: Endpoint, pattern: str, progress: Progress) -> Source:
    """Return the models in repos with a name for each run, such as `lab/model-seed{seed}`.

    Raises:
        RepoNotFoundError: no repo has such a name.
        HubUnreachableError: the hub does not answer.
    """
    repos = repos_named(endpoint, pattern)
    if not repos:
        message = f"{endpoint}: no repo {pattern}, with a number or a word for {{{placeholders(pattern)[0]}}}"
        raise RepoNotFoundError(message, hint="check the name, and the hub: --hub", repo_id=pattern)
    heads = {repo_id: branch_heads(endpoint, repo_id) for repo_id in repos.values()}
    names = sorted({name for one in heads.values() for name in one} - {MAIN}, key=natural)
    found = recognise(names)
    if found is not None and "seeds_are_labels" not in found.revisions:  # they label runs, too
        found = None
    _report(found, names, progress)
    revisions = dict(found.revisions) if found is not None else {}
    revisions = {key: value for key, value in revisions.items() if key not in ("seeds", "seeds_are_labels")}
    (kind,) = placeholders(pattern)
    last = _last_of_repos(endpoint, heads, revisions.get("branch", MAIN), progress)
    repo_id, one = next(iter(last.items()))
    revisions |= {"branch": one.name, Revisions.plural("index" if kind == "index" else "seed"): range_or_list([*repos])}
    if kind == "index":
        revisions["pattern"] = "index-{index}"
    return Source(one.folder, revisions, found.last if found else None, repo_id, one.commit, pattern)


def _last_of_repos(
    endpoint: Endpoint, heads: Mapping[str, Mapping[str, str]], step: str, progress: Progress
) -> dict[str, Branch]:
    """Return the branch of the last step of each repo: `main`, unless it holds no model in some of them."""
    read: dict[str, dict[str, Branch]] = {}
    for repo_id, known in heads.items():
        wanted = {name: known[name] for name in (MAIN, step) if name in known}
        read[repo_id] = read_branches(endpoint, repo_id, wanted)
        if step not in known:
            progress.notice(f"{repo_id} lacks {step}")
    name = MAIN if all(MAIN in one and one[MAIN].is_model for one in read.values()) else step
    for repo_id, one in read.items():
        if name == MAIN and step in one and one[step].weights != one[MAIN].weights:
            progress.notice(f"{repo_id}: main holds other weights than {step}")
    return {repo_id: one[name] for repo_id, one in read.items() if name in one}


def _first(found: Recognised) -> str:
    return found.runs[min(found.runs, key=lambda label: (isinstance(label, str), label))]


def _main(branches: Mapping[str, Branch], found: Recognised, progress: Progress) -> dict[str, Label]:
    """Return the run whose model is also on `main`, by the hub's hashes."""
    main = branches.get(MAIN)
    if main is None or main.weights is None:
        return {}
    same = [label for label, name in found.runs.items() if branches[name].weights == main.weights]
    if same:
        return {"main": same[0]}
    progress.notice(
        "main holds other weights than the last step of each run: set revisions.main_is_merged if they are merged"
    )
    return {}


def _report(found: Recognised | None, names: Sequence[str], progress: Progress) -> None:
    """Say which names are not understood, and which runs lack steps that others have."""
    ignored = names if found is None else found.ignored
    if ignored:
        progress.notice(f"not understood, and left out: {listed(ignored, most=5)}")
    for run, steps in found.lacking.items() if found is not None else ():
        progress.notice(f"{run} lacks {plural(len(steps), 'step')} that others have: {listed(strides(steps), most=5)}")
