"""Which repo and revision the arguments of `load` mean, and the name that a step has on the hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from mixhub.endpoint import HUGGINGFACE, Endpoint
from mixhub.errors import HubUnreachableError, RepoNotFoundError, RevisionNotFoundError, UsageError
from mixhub.hub.remote.download import COMMIT, cached_names, download
from mixhub.hub.rules.revisions import BranchNames, Meaning
from mixhub.phrases import listed, strides
from mixhub.spec import catalog
from mixhub.spec.family import Family, Run
from mixhub.spec.revisions import Revisions
from mixhub.spec.values import Label, repo_id_problem
from mixhub.workspace.paths import CONFIG_FILE, Workspace


@dataclass(frozen=True)
class Target:
    """A revision of a repo."""

    repo_id: str
    revision: str
    """A branch, tag or commit. Of a step, the name that it usually has."""
    family: Family | None = None
    """The family as this repo holds it; None if it is not known."""
    meaning: Meaning | None = None
    """The run and the step; None if the revision was named."""

    @classmethod
    def of_run(cls, family: Family, run: Run, step: int | None) -> Target:
        """Return a step of the last stage of a run, by default the last."""
        last = len(family.revisions.all_stages) - 1
        meaning = Meaning(run, last, family.training.steps if step is None else step)
        return cls(run.repo_id, family.branch(run, step), family.part(run), meaning)

    def name_among(self, names: Iterable[str]) -> str | None:
        """Return the name of the step among those of a repo, however it rounds tokens; None without exactly one."""
        if self.family is None or self.meaning is None:
            return None
        known = BranchNames(self.family)
        same = [name for name in names if (one := known.meaning(name)) and replace(one, tokens=None) == self.meaning]
        return self.revision if self.revision in same else same[0] if len(same) == 1 else None

    def download(self, endpoint: Endpoint, **options: Any) -> tuple[str, str, Path]:
        """Return the name on the hub, the commit, and its snapshot; options and errors are those of `download`.

        The branches of the repo are listed only if it has none of the usual name.
        """
        problem: HubUnreachableError | RevisionNotFoundError
        try:
            return self.revision, *download(endpoint, self.repo_id, self.revision, **options)
        except RevisionNotFoundError as error:
            names, problem = _names(error), self._step_not_found(error)
        except HubUnreachableError as error:
            names, problem = cached_names(endpoint, self.repo_id), error
        if (name := self.name_among(names)) is None:
            raise problem
        return name, *download(endpoint, self.repo_id, name, **options)

    def _step_not_found(self, error: RevisionNotFoundError) -> RevisionNotFoundError:
        """Return the error for a step that is missing, which lists those of its run, if it has several.

        If only the tokens in the name are wrong, the error names the right branch already.
        """
        if self.family is None or self.meaning is None or (run := self.meaning.run) is None:
            return error
        known = BranchNames(self.family)
        meanings = {name: one for name in _names(error) if (one := known.meaning(name))}
        wanted = (run, self.meaning.stage)
        steps = {one.step: name for name, one in sorted(meanings.items()) if (one.run, one.stage) == wanted}
        if len(steps) < 2 or self.meaning.step in steps:
            return error
        missing = self.meaning.step
        near = min(steps, key=lambda step: abs(step - missing))
        message = (
            f"{error.fields['endpoint']}: {self.repo_id} has no step {missing} of {run.revision} "
            f"({self.revision}); the nearest is {near}"
        )
        hint = f"use one of its steps: {listed(strides(sorted(steps)), most=12)}"
        fields: dict[str, Any] = {**error.fields, "nearest": steps[near]}
        return RevisionNotFoundError(message, hint=hint, **fields)


def _names(error: RevisionNotFoundError) -> Sequence[str]:
    names: Any = error.fields["revisions"]
    return tuple(names)


def target_of(
    family: str,
    workspace: Workspace | None,
    *,
    seed: Label | None = None,
    index: int | None = None,
    step: int | None = None,
    revision: str | None = None,
    commit: str | None = None,
) -> Target:
    """Return what the arguments of `load` mean; raises as `load` does."""
    spec, repo_id = family_of(family, workspace)
    if commit is not None:
        if not COMMIT.fullmatch(commit.lower()):
            message, hint = f"commit = {commit!r}: must be 40 hexadecimal digits", "pass a branch as revision="
            raise UsageError(message, code="option-value", hint=hint, option="commit", value=commit.lower())
        if revision is not None:
            _conflict("pass commit alone", "commit", "seed", "index", "step", "revision")
    if (name := commit.lower() if commit is not None else revision) is not None:
        is_needed = spec is not None and spec.has_repo_per_run
        if step is not None or (not is_needed and (seed is not None or index is not None)):
            if commit is not None:
                _conflict("pass commit alone", "commit", "seed", "index", "step", "revision")
            _conflict("pass either revision, or seed (or index) with step", "revision", "seed", "index", "step")
        if spec is not None and is_needed:
            spec = spec.part(spec.run(seed=seed, index=index))
            repo_id = spec.repo_id
        return Target(repo_id, name, spec)
    if spec is not None:
        return Target.of_run(spec, spec.run(seed=seed, index=index), step)
    return _of_unknown(repo_id, seed, index, step)


def _of_unknown(repo_id: str, seed: Label | None, index: int | None, step: int | None) -> Target:
    """Return the revision of a repo whose family is not known, with mixhub's own names."""
    if seed is not None and index is not None:
        _conflict("pass either seed or index", "seed", "index")
    if seed is None and index is None:
        if step is not None:
            raise UsageError("step needs a seed or an index", code="option-missing", options=("seed", "index"))
        return Target(repo_id, "main")
    pattern = Revisions(seeds=(0,)).pattern if seed is not None else "model-index-{index}"
    name = pattern.format(seed=seed, index=index)
    if step is not None:
        name = Revisions(seeds=(0,)).step_pattern.format(revision=name, step=step)
    return Target(repo_id, name)


def _conflict(message: str, *options: str) -> NoReturn:
    raise UsageError(message, code="option-conflict", options=options)


@contextmanager
def repo_hint(workspace: Workspace | None, spec: Family | None) -> Iterator[None]:
    """Say what to do about a repo of the workspace that is not found: it may be elsewhere, or was never pushed."""
    try:
        yield
    except RepoNotFoundError as error:
        stated = spec.repo_id if spec else ""
        if workspace is not None and spec is not None and spec.name in workspace.family_names():
            stated = workspace.stated_family(spec.name).repo_id
        if spec is not None and stated.partition("/")[0] != spec.repo_id.partition("/")[0]:
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

    Of a family with a repo for each run, the repo of a run means the part that this repo holds (see `Family.parts`).

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
            for part in (spec, *spec.parts()):
                if part.repo_id == family:
                    return part, family
    if problem := repo_id_problem(family):
        raise UsageError(f"{family!r} is not a repo_id: {problem}", code="repo-id-malformed", repo_id=family)
    return None, family
