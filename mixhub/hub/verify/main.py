"""Whether `main` holds the licence, and the model that the family says and no other."""

from __future__ import annotations

from collections.abc import Iterator

from mixhub.card.facts.withdrawal import withdrawal_of
from mixhub.findings import Finding
from mixhub.hub.remote.branches import Branch
from mixhub.hub.remote.files import CARD, MAIN, RemoteFile, is_model_file
from mixhub.hub.verify.subject import RepoUnderCheck
from mixhub.phrases import listed
from mixhub.workspace.lineage import LINEAGE_FILE

_SHOWN = 3
"""Files that a line shows."""


def license_missing(repo: RepoUnderCheck) -> Iterator[Finding]:
    """The file of the licence."""
    if MAIN not in repo.branches or not repo.is_any_ours:
        return
    if missing := [name for name in repo.licenses if name not in repo.branches[MAIN].tree]:
        hint = "push it again: mixhub push --all"
        yield Finding("file-missing", MAIN, f"lacks {', '.join(missing)}", hint, about=missing[0])


def main_differs(repo: RepoUnderCheck) -> Iterator[Finding]:
    """The model of the revision that the family names, or none."""
    if repo.family is None or MAIN not in repo.branches:
        return
    main, run = repo.branches[MAIN], repo.family.main_run
    branch = repo.branches.get(run.revision) if run else None
    if run is None:
        yield from _without_run(repo, main)
    elif branch is None or not branch.is_model:
        if main.is_model:
            message = f"holds a model, and {run.revision}, whose it should be, is not there"
            yield Finding("main-model-unknown", MAIN, message, "push it: mixhub push --all")
    else:
        yield from _beside_its_run(main, branch)


def _without_run(repo: RepoUnderCheck, main: Branch) -> Iterator[Finding]:
    if repo.family is not None and main.is_model and repo.is_any_ours:
        away = "push again: mixhub push --all" if LINEAGE_FILE in main.tree else "delete its files there"
        message = f"holds a model, and {repo.family.name} does not say whose"
        hint = f"name it: revisions.main in mixhub.yaml; or {away}"
        yield Finding("main-model-unknown", MAIN, message, hint, "warning")


def _beside_its_run(main: Branch, branch: Branch) -> Iterator[Finding]:
    held, meant = ({path: file for path, file in one.tree.items() if is_model_file(path)} for one in (main, branch))
    odd = [path for path in sorted({*held, *meant}) if not _is_same(held.get(path), meant.get(path))]
    why = withdrawal_of(branch.text(CARD) or "")
    if why is not None and main.weights == branch.weights:
        message = f"holds the model of {branch.name}, which was withdrawn: {why}"
        hint = "name another in revisions.main of mixhub.yaml, or none; then push"
        yield Finding("weights-withdrawn", MAIN, message, hint, about=branch.name)
    elif odd:
        message = f"{listed(odd, most=_SHOWN)}: not as on {branch.name}, whose model it holds by the family"
        if not held:
            message = f"holds no model, and by the family that of {branch.name}"
        hint = "push the card again, or promote all: mixhub push"
        yield Finding("main-differs", MAIN, message, hint, about=branch.name)


def _is_same(one: RemoteFile | None, other: RemoteFile | None) -> bool:
    """Whether two files on one hub have the same content."""
    return one is not None and other is not None and (one.sha256, one.oid) == (other.sha256, other.oid)
