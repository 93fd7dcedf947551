"""Which branches a repo has, whether they belong to family and workspace, and what `main` holds."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mixhub.card.facts.withdrawal import withdrawal_of
from mixhub.findings import Finding
from mixhub.hub.remote.branches import Branch
from mixhub.hub.remote.files import CARD, MAIN, is_model_file
from mixhub.hub.rules.config import ADAPTER_CONFIG
from mixhub.hub.verify.subject import AGAIN, REPORT, RepoUnderCheck, unread_finding
from mixhub.phrases import listed, plural
from mixhub.workspace.lineage import LINEAGE_FILE

_SHOWN = 5
"""Maximum number of files and folders in a line."""
_PUSH = "push it: mixhub push --all"
_AGAIN = "push it again: mixhub push --all"
_PLAN = "train or adopt it, then push it, or remove it from revisions in mixhub.yaml"


def branches_missing(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Branches that should hold a model and do not exist, or hold none.

    It is only a warning for a run that this workspace plans and that no table of the card on `main` has, unless others
    published the runs.
    """
    card = (repo.branches[MAIN].text(CARD) if MAIN in repo.branches else None) or ""
    published = set(re.findall(r"^\|\s*`([^`]+)`\s*\|", card, re.MULTILINE))
    for name, error in repo.unread.items():
        yield unread_finding(name, error, AGAIN)
    for name in repo.expected:
        branch, revision = repo.branches.get(name), repo.revision(name)
        if name in repo.unread or (branch is not None and branch.is_model):
            continue
        is_absent = branch is None or name == MAIN  # which every repo has
        is_planned = revision in repo.planned and not repo.is_foreign and not published & {name, revision}
        if is_absent and is_planned:
            message = "is planned, but was neither trained in this workspace nor pushed"
            yield Finding("branch-missing", name, message, _PLAN, "warning")
        elif branch is None:
            hint = f"{_next(repo, _PUSH)}; or, if it will never exist, remove it from revisions in mixhub.yaml"
            yield Finding("branch-missing", name, f"{repo.repo_id} has no such branch", hint)
        else:
            yield Finding("model-missing", name, "holds no model", _next(repo, _AGAIN))


def branches_stale(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Branches with other weights than the workspace."""
    for name, run in repo.runs.items():
        local = repo.local.get(run.revision)
        remote = repo.branches[name].weights_sha256 if name in repo.branches else None
        if None not in (local, remote) and local != remote:
            message = f"is stale: it holds weights {str(remote)[:12]}, but the workspace has {str(local)[:12]}"
            yield Finding("branch-stale", name, message, _PUSH, "warning")


def license_missing(repo: RepoUnderCheck) -> Iterator[Finding]:
    """A licence file that `main` lacks."""
    if MAIN not in repo.branches or not repo.has_pushed_branch:
        return
    if missing := [name for name in repo.licenses if name not in repo.branches[MAIN].tree]:
        yield Finding("file-missing", MAIN, f"lacks {', '.join(missing)}", _PUSH, about=missing[0])


def main_differs(repo: RepoUnderCheck) -> Iterator[Finding]:
    """A model on `main` that is not that of the revision in the family, or of the only run if others published it."""
    if repo.family is None or MAIN not in repo.branches or MAIN in repo.expected:
        return
    main, run = repo.branches[MAIN], repo.family.main_run
    if run is None and main.is_model and len(repo.runs) == 1 and repo.is_foreign:
        [run] = repo.runs.values()
    branch = repo.branches.get(run.branch) if run else None
    if run is None and main.is_model and repo.has_pushed_branch:
        other = "push again: mixhub push --all" if LINEAGE_FILE in main.tree else "delete its files there"
        message = f"holds a model, but {repo.family.name} does not name its revision"
        hint = f"name it as revisions.main in mixhub.yaml; or {other}"
        yield Finding("main-model-unknown", MAIN, message, hint, "warning")
    elif branch is not None and branch.is_model:
        yield from _compare_with_run(repo, main, branch)
    elif run is not None and main.is_model:
        message = f"should hold the model of {run.branch}, which is not on the hub"
        yield Finding("main-model-unknown", MAIN, message, _next(repo, _PUSH))


def _next(repo: RepoUnderCheck, hint: str) -> str:
    """Return the next step: nobody can push what others published."""
    return REPORT if repo.is_foreign else hint


def _compare_with_run(repo: RepoUnderCheck, main: Branch, branch: Branch) -> Iterator[Finding]:
    actual, expected = (
        {path: (file.sha256, file.oid) for path, file in one.tree.items() if is_model_file(path)}
        for one in (main, branch)
    )
    different = [path for path in sorted({*actual, *expected}) if actual.get(path) != expected.get(path)]
    why = withdrawal_of(branch.text(CARD) or "")
    if why is not None and main.weights == branch.weights:
        message = f"holds the model of {branch.name}, which was withdrawn: {why}"
        hint = "change or remove revisions.main in mixhub.yaml, then push"
        yield Finding("weights-withdrawn", MAIN, message, hint, about=branch.name)
    elif different:
        message = f"{listed(different, most=3)}: differs from {branch.name}, whose model main should hold"
        others = [one.name for one in repo.branches.values() if one.name != MAIN and one.weights == main.weights]
        if not actual:
            message = f"holds no model, but should hold that of {branch.name}"
        elif main.weights is not None and others and branch.name not in others:
            message = f"holds the model of {listed(others, most=1)}, but should hold that of {branch.name}"
        hint = _next(repo, "push the card again, or promote all: mixhub push")
        yield Finding("main-differs", MAIN, message, hint, about=branch.name)


def nothing_checked(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Branches that hold something else than a model in Transformers' format; and a repo without any such model."""
    checked = {branch.name for branch in repo.models}
    unchecked = 0
    for name, branch in repo.branches.items():
        is_page = name == MAIN and bool(checked)  # of a family, beside its models
        if name in checked or name in repo.expected or is_page or not (what := _other_content(branch)):
            continue
        unchecked += 1
        hint = "check it with the program that it is made for"
        yield Finding("model-unsupported", name, f"holds no model that mixhub can check: {what}", hint, "unchecked")
    if not (checked or unchecked or repo.unread or repo.expected):
        where = next((name for name in (MAIN, *repo.branches) if name in repo.branches), repo.repo_id)
        message = f"holds no model, so nothing was checked ({plural(len(repo.branches), 'branch', 'branches')})"
        yield Finding("model-missing", where, message, "look for the repo that holds the models", "unchecked")


def _other_content(branch: Branch) -> str:
    """Say what a branch holds that is not a model in Transformers' format; empty if nothing."""
    if branch.is_adapter:
        return f"an adapter ({ADAPTER_CONFIG}), which needs its base model"
    if branch.folders_with_models:
        return f"its models are in folders: {listed(branch.folders_with_models, most=_SHOWN)}"
    if files := [*branch.other_weights, *branch.safetensors, *branch.pickles]:
        return f"{listed(files, most=_SHOWN)} without config.json"
    return ""


RULES = (branches_missing, nothing_checked, branches_stale, license_missing, main_differs)
