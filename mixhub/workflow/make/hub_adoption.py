"""Adopting models from a hub, by the names of their branches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from mixhub.endpoint import Endpoint
from mixhub.errors import MixhubError, RepoNotFoundError, RevisionNotFoundError, UsageError
from mixhub.phrases import ranges
from mixhub.progress import SILENT, Progress
from mixhub.spec import Family, Run
from mixhub.spec.revisions import filled, placeholders
from mixhub.spec.values import repo_id_problem
from mixhub.workflow.inputs import (
    HubLike,
    RunNames,
    WorkspaceLike,
    find_family,
    named_runs,
    open_hub,
    open_workspace,
    require_one_way,
)
from mixhub.workflow.make.adoption import Adopted, adopt

if TYPE_CHECKING:
    from mixhub.hub.load.names import Target


class AdoptOptions(RunNames, total=False):
    """The runs to adopt, and how; as the arguments of `adopt`."""

    step: int | None
    """An earlier step; None: the last."""
    mixture: str | os.PathLike[str] | None
    """The training mixture, if the models do not state it."""
    tokenizer: str | os.PathLike[str] | None
    """Folder with the tokenizer, if the models have none."""
    replace: bool
    """Overwrite existing exports."""


@dataclass(frozen=True)
class _Wanted:
    """A model to adopt."""

    run: Run
    target: Target
    step: int | None
    """Updates made; None if unknown."""


def adopt_from_hub(
    workspace: WorkspaceLike,
    repo_id: str,
    *,
    revision: str | None = None,
    hub: HubLike | None = None,
    progress: Progress = SILENT,
    **options: Unpack[AdoptOptions],
) -> list[Adopted]:
    """Download models from a hub, each at the commit of its branch, and adopt them as `adopt` does.

    Of all runs, those are skipped that are adopted already, or not published.

    Args:
        workspace: the workspace.
        repo_id: the repo, or a pattern such as `lab/model-seed{seed}` if each run has its own.
        revision: a branch, tag or commit; None: the branches that the family names. Of a branch whose name the family
            understands, run and step are known; of others, name the run.
        hub: `local`, an address or an open endpoint; None: the workspace's.
        progress: reports commits, and what is skipped; counts the bytes of weights.
        **options: see `AdoptOptions`.

    Returns:
        The adopted models, in the order of the runs.

    Raises:
        UsageError: the repo is neither a repo_id nor such a pattern, or the options contradict each other.
        RepoNotFoundError, RevisionNotFoundError: the hub has none; the second lists the existing ones.
        HubUnreachableError: the hub does not answer, and the cache does not have it.
        MixhubError: as `adopt`; models that were adopted before it stay.
    """
    workspace = open_workspace(workspace)
    family = find_family(workspace, options.get("family"))
    there = _family_at(family, repo_id, options)
    wanted = [_of_revision(there, revision, options)] if revision is not None else _of_runs(there, options)
    is_all = options.get("all", False)
    adopted, missing = [], []
    with open_hub(workspace, hub, progress=progress) as endpoint, _with_folder_hint(repo_id):
        for one in wanted:
            step = family.training.steps if one.step is None else one.step
            if is_all and step in workspace.run_folder(one.run).export_steps() and not options.get("replace"):
                progress.notice(f"{one.run.revision} is adopted already; --replace overwrites it")
                continue
            try:
                adopted.append(_adopt(workspace, endpoint, family, one, options, progress))
            except (RepoNotFoundError, RevisionNotFoundError) as error:
                if not is_all:
                    raise
                missing.append(error)
                progress.notice(f"skipped, because it is not published: {one.run.revision} ({one.target.revision})")
    if len(missing) == len(wanted):
        raise missing[0]
    return adopted


def _family_at(family: Family, repo_id: str, options: AdoptOptions) -> Family:
    """Return the family with the repo in which its models lie."""
    names = placeholders(repo_id)
    kind = family.revisions.kind
    if names not in ([], [kind]) or (problem := repo_id_problem(filled(repo_id, **{kind: 1}))):
        rule = problem if names in ([], [kind]) else f"may contain {{{kind}}} once, and no other placeholder"
        message = f"{repo_id}: no such folder, and no repo_id, which {rule}"
        raise UsageError(message, code="repo-id-malformed", repo_id=repo_id)
    if names or not family.has_repo_per_run:
        return family.model_copy(update={"repo_id": repo_id})
    part = next((part for part in family.parts() if part.repo_id == repo_id), None)
    if part is None:
        if options.get("all"):
            message = f"--all: {repo_id} is one repo, and each run of {family.name} has its own"
            hint = f"for all, pass '{family.repo_id}'; for one, the {kind} that this repo holds"
            raise UsageError(message, code="option-conflict", hint=hint, options=("--all",))
        [run] = named_runs(family, options.get("seed"), options.get("index"))
        part = family.part(run).model_copy(update={"repo_id": repo_id})
    return part


def _of_runs(there: Family, options: AdoptOptions) -> list[_Wanted]:
    seed, index, is_all = options.get("seed"), options.get("index"), options.get("all", False)
    if len(there.revisions.labels) > 1 or is_all:
        require_one_way(there, seed, index, is_all)
    runs = there.runs() if is_all else named_runs(there, seed, index)
    return [_of_run(there, run, options.get("step")) for run in runs]


def _of_run(there: Family, run: Run, step: int | None) -> _Wanted:
    from mixhub.hub.load.names import Target
    from mixhub.hub.rules.revisions import BranchNames

    target = Target.of_run(there, run, step)
    return _Wanted(run, target, BranchNames(there.part(run)).stated_step(target.revision) if step is None else step)


def _of_revision(there: Family, revision: str, options: AdoptOptions) -> _Wanted:
    """Return the model on a branch, whose name may say which run and step it is."""
    from mixhub.hub.load.names import Target
    from mixhub.hub.rules.revisions import BranchNames

    if options.get("all"):
        message = "pass either a revision or all runs"
        raise UsageError(message, code="option-conflict", options=("--revision", "--all"))
    named = options.get("seed") is not None or options.get("index") is not None
    part = there.part(_one_run(there, options)) if there.has_repo_per_run else there
    names, step = BranchNames(part), options.get("step")
    meaning = names.meaning(revision)
    if meaning is None:
        if not named and len(part.revisions.labels) > 1:
            kind = part.revisions.kind
            message = f"--revision {revision}: does not name a run of {part.name}"
            hint = f"check the name; if it is right, add --{kind}: {part.name} has {ranges(part.revisions.labels)}"
            raise UsageError(message, code="option-missing", hint=hint, option=kind, value=revision)
        run = _one_run(part, options)
        return _Wanted(run, Target(part.repo_id, revision, part), step)
    if meaning.run is None or meaning.stage + 1 < len(part.revisions.all_stages):
        message = (
            f"--revision {revision}: is of stage {meaning.stage + 1}; exports are steps of the last stage of a run"
        )
        hint = "load or evaluate it where it is: mixhub evaluate REPO@REVISION"
        raise UsageError(message, code="option-value", hint=hint, option="--revision", value=revision)
    if named and _one_run(part, options) != meaning.run:
        message = f"--revision {revision}: is {meaning.run.revision}, not {_one_run(part, options).revision}"
        raise UsageError(message, code="option-contradicted", option=f"--{meaning.run.kind}", value=revision)
    stated = names.stated_step(revision)
    if None not in (step, stated) and step != stated:
        message = f"--step {step}: {revision} states step {stated}"
        raise UsageError(message, code="option-contradicted", option="--step", value=step)
    return _Wanted(meaning.run, Target(part.repo_id, revision, part, meaning), step if stated is None else stated)


def _one_run(family: Family, options: AdoptOptions) -> Run:
    """Return the run that is named; raises UsageError for several."""
    runs = named_runs(family, options.get("seed"), options.get("index"))
    if len(runs) > 1:
        option = f"--{runs[0].kind}"
        raise UsageError(f"{option}: must be one, as there is one revision", code="option-value", option=option)
    return runs[0]


def _adopt(
    workspace: WorkspaceLike,
    endpoint: Endpoint,
    family: Family,
    one: _Wanted,
    options: AdoptOptions,
    progress: Progress,
) -> Adopted:
    name, commit, folder = one.target.download(endpoint)
    where = f"{one.target.repo_id}@{name}"
    progress.notice(f"{where}: commit {commit}")
    settings: dict[str, Any] = {key: options.get(key) for key in ("mixture", "tokenizer")}
    settings |= {"replace": options.get("replace", False), "family": family, one.run.kind: one.run.label}
    try:
        return adopt(workspace, folder, step=one.step, progress=progress, **settings)
    except MixhubError as error:
        error.message = error.message.replace(str(folder), where)
        raise


@contextmanager
def _with_folder_hint(repo_id: str) -> Iterator[None]:
    """Say that a repo that is not found is no folder, either."""
    try:
        yield
    except RepoNotFoundError as error:
        if not Path(repo_id).exists():
            error.hint = f"there is no folder {repo_id}, either; {error.hint}"
        raise
