"""Whether the branches of a repo are those that its family names: each step there, none that is nearly named so."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from mixhub.findings import Finding, Level
from mixhub.hub.remote.files import MAIN
from mixhub.hub.rules.revisions import BranchNames, Meaning
from mixhub.hub.verify.subject import AGAIN, MANY, REPORT, RepoUnderCheck
from mixhub.phrases import listed, strides

_PARTS = 20
"""Maximum number of steps and ranges of steps in a line."""
_RENAME = "rename it: make a branch of the right name at its commit, and delete this one"

_Step = tuple[str | None, int, int]
"""Revision of the run, position of the stage, and step."""


def steps_missing(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Steps that should have a branch and have none, in one finding for each run and stage; and those without a model.

    A run that lacks its own branch, too, is reported by that alone.
    """
    if repo.names is None:
        return
    present = _present(repo, repo.names)
    groups: dict[tuple[str | None, int], list[Meaning]] = defaultdict(list)
    for _, meaning in repo.names.expected():
        groups[_key(meaning)[:2]].append(meaning)
    for meanings in groups.values():
        run = meanings[0].run
        missing = [one.step for one in meanings if _key(one) not in present]
        is_begun = run is None or run.branch in repo.branches or run.branch in repo.unread
        if missing and (is_begun or len(missing) < len(meanings)):
            pattern = repo.names.pattern(meanings[0])
            shown = listed(strides(missing), most=_PARTS)
            message = f"lacks {len(missing):,} of the {len(meanings):,} steps named {pattern}: {shown}"
            hint = "if they will never exist, remove them from revisions in mixhub.yaml"
            hint = hint if repo.is_foreign else f"push them; or, {hint}"
            yield Finding("steps-missing", repo.repo_id, message, hint, about=pattern)
        for name in (present[_key(one)] for one in meanings if _key(one) in present):
            if name in repo.branches and name not in repo.runs and not repo.branches[name].is_model:
                yield Finding("model-missing", name, "holds no model", REPORT if repo.is_foreign else AGAIN)


def steps_unexpected(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Steps that have a branch, although the family lists others, in one finding for each run and stage."""
    if repo.names is None:
        return
    expected = {_key(meaning) for _, meaning in repo.names.expected()}
    listed_stages = {key[:2] for key in expected}
    groups: dict[str, list[int]] = defaultdict(list)
    for key, name in _present(repo, repo.names).items():
        meaning = repo.names.meaning(name)
        is_last = meaning is not None and repo.names.is_last(meaning)
        if meaning is not None and not is_last and key[:2] in listed_stages and key not in expected:
            groups[repo.names.pattern(meaning)].append(meaning.step)
    for pattern, steps in groups.items():
        shown = listed(strides(sorted(steps)), most=_PARTS)
        message = f"has steps named {pattern} that its family does not list: {shown}"
        hint = "add them to the steps in revisions, or delete these branches"
        yield Finding("steps-unexpected", repo.repo_id, message, hint, "warning", about=pattern)


def tokens_contradicted(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Names that state other tokens than their step has seen."""
    if (names := repo.names) is None:
        return
    meanings = {name: names.meaning(name) for name in repo.branches}
    wrong = {name: one for name, one in meanings.items() if one and names.contradicts_tokens(one)}
    right = {name: names.family.branch_of_step(one.run, one.stage, one.step) for name, one in wrong.items()}
    yield from _misnamed("tokens-contradicted", right, "its name states other tokens than its step has seen", "error")


def branches_unknown(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Branches with a model that are neither a run of the family nor a step of one; and how they should be named."""
    if repo.names is None or repo.family is None:
        return
    names = {*repo.names.runs, *(name for name, _ in repo.names.expected())} - repo.branches.keys()
    near = {_words(name): name for name in names}
    unknown = [one.name for one in repo.models if one.name != MAIN and one.meaning is None]
    right = {name: near[_words(name)] for name in unknown if _words(name) in near}
    what = f"is not a revision of {repo.family.name}"
    for name in unknown:
        if name not in right:
            yield Finding("branch-unknown", name, what, "rename it, or add it to the family", "warning")
    yield from _misnamed("branch-misnamed", right, what, "warning")


def _misnamed(code: str, right: Mapping[str, str], what: str, level: Level) -> Iterator[Finding]:
    """Yield a finding for each wrong name, given the right one of each."""
    example = next(iter(right.items()), ("", ""))
    for wrong, name in right.items():
        message = f"{what}; {name} would be right"
        if len(right) >= MANY:
            message = f"{what}; for {example[0]}, {example[1]} would be right"
        yield Finding(code, wrong, message, _RENAME, level, about=name)


def _present(repo: RepoUnderCheck, names: BranchNames) -> dict[_Step, str]:
    """Return the branch of each step that has one; unread ones, too."""
    found = {name: names.meaning(name) for name in (*repo.branches, *repo.unread)}
    return {_key(meaning): name for name, meaning in found.items() if meaning is not None}


def _key(meaning: Meaning) -> _Step:
    return meaning.run.revision if meaning.run else None, meaning.stage, meaning.step


def _words(name: str) -> tuple[str, ...]:
    """Return the words and numbers of a name, without case, separators and leading zeros: of `Step-0100`, step, 100."""
    return tuple(part.lstrip("0") or "0" for part in re.findall(r"[a-z]+|[0-9]+", name.lower()))


RULES = (steps_missing, steps_unexpected, tokens_contradicted, branches_unknown)
