"""Which branches a repo has, and whether they are of the family and of the workspace."""

from __future__ import annotations

from collections.abc import Iterator

from mixhub.findings import Finding
from mixhub.hub.remote.files import MAIN
from mixhub.hub.verify.subject import RepoUnderCheck

_PUSH = "push it: mixhub push --all"


def branches_missing(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Each revision has a branch, which holds a model."""
    for name in repo.expected:
        if name not in repo.branches:
            hint = f"{_PUSH}; or, if it will never be, leave it out of revisions in mixhub.yaml"
            yield Finding("branch-missing", name, f"{repo.repo_id} has no such branch", hint)
        elif not repo.branches[name].is_model:
            yield Finding("model-missing", name, "holds no model", "push it again: mixhub push --all")


def branches_unknown(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Each branch with a model is a revision of the family, or a step of one."""
    if repo.family is not None:
        for branch in repo.models:
            if branch.name != MAIN and branch.run is None:
                message = f"is no revision of {repo.family.name}"
                hint = "rename it, or add it to the family"
                yield Finding("branch-unknown", branch.name, message, hint, "warning")


def branches_stale(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Each branch holds the weights that the workspace has now."""
    for name, weights in repo.local.items():
        held = repo.branches[name].weights_sha256 if name in repo.branches else None
        if held is not None and held != weights:
            message = f"is stale: it holds weights {held[:12]}, and the workspace has {weights[:12]}"
            yield Finding("branch-stale", name, message, _PUSH, "warning")
