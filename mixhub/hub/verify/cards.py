"""The cards of a repo: whether they are sound, and match the results and the branches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mixhub.card.check.lint import lint_card
from mixhub.card.facts.runs import FamilyFacts
from mixhub.card.facts.scores import best_scores
from mixhub.card.facts.withdrawal import withdrawal_of
from mixhub.card.markdown.model_index import read_model_index
from mixhub.card.markdown.parse import read_card
from mixhub.card.page.metadata import card_metadata
from mixhub.errors import HubError, MixhubError, RevisionNotFoundError
from mixhub.findings import Finding, Level, from_error
from mixhub.hub.remote.branches import Branch
from mixhub.hub.remote.client import remote_tree
from mixhub.hub.remote.files import CARD, MAIN, RESULTS, is_model_file
from mixhub.hub.rules.lineage import result_findings
from mixhub.hub.verify.subject import BranchUnderCheck, RepoUnderCheck
from mixhub.phrases import listed

_RENDER = "run mixhub card render, then push"
_WHOSE = ("seed", "index", "seeds")
"""Arguments of a score that say which models it belongs to."""
_SHOWN = 3
"""Maximum number of scores in a line."""


def card_missing(branch: BranchUnderCheck) -> Iterator[Finding]:
    """A branch of ours, or `main` of a family, without a card."""
    is_needed = branch.is_ours or (branch.repo.family is not None and branch.name == MAIN)
    if branch.branch.text(CARD) is None and is_needed:
        yield Finding("card-missing", branch.name, "has no card", branch.again)


def card_unsound(branch: BranchUnderCheck) -> Iterator[Finding]:
    """Findings in a single card that mixhub rendered."""
    if (text := _own_card(branch)) is not None:
        for finding in lint_card(text, folder=None, source=CARD):
            yield finding.within(branch.name)


def results_foreign(branch: BranchUnderCheck) -> Iterator[Finding]:
    """Results on the branch of a run that were measured with other weights or as another run."""
    if branch.name in branch.repo.runs and branch.lineage is not None:
        run = branch.repo.runs[branch.name]
        folder, hint = branch.branch.folder / RESULTS, "evaluate the run again, and push it"
        yield from result_findings(branch.name, folder, run, branch.lineage, hint)


def card_scores_differ(branch: BranchUnderCheck) -> Iterator[Finding]:
    """Scores in the metadata of a card that differ from the results on the branches."""
    text = _own_card(branch)
    try:
        metadata = _metadata_by_results(branch) if text is not None else None
    except MixhubError as error:
        yield from_error(error, branch.name)
        return
    if text is None or metadata is None:
        return
    expected, stated = _scores(metadata), _scores(_metadata(text))
    for what, value in expected.items():
        if what not in stated:
            message = f"its card lacks {what}: {value}"
            yield Finding("card-score-missing", branch.name, message, _RENDER, about=what)
        elif stated[what] != value:
            message = f"{what}: the card says {stated[what]}, the results give {value}"
            yield Finding("card-score-differs", branch.name, message, _RENDER, about=what)
    if unsupported := [what for what in stated if what not in expected]:
        shown = listed(unsupported, most=_SHOWN)
        message = f"its card reports scores that no results file on the branches supports: {shown}"
        hint = "push it again from where it was evaluated"
        yield Finding("card-score-unsupported", branch.name, message, hint, "warning", about=unsupported[0])


def weights_withdrawn(branch: BranchUnderCheck) -> Iterator[Finding]:
    """Withdrawn weights, with the reason on their card."""
    if (why := withdrawal_of(branch.branch.text(CARD) or "")) is not None:
        yield Finding("weights-withdrawn", branch.name, f"was withdrawn: {why}", level="warning")


def card_commits_differ(repo: RepoUnderCheck) -> Iterator[Finding]:
    """A card on `main` that names other commits than those of the branches."""
    text = repo.branches[MAIN].text(CARD) if MAIN in repo.branches else None
    if text is None or repo.family is None or not repo.lineages:
        return
    commits = dict(re.findall(r"^\|\s*`([^`]+)`\s*\|.*?`([0-9a-f]{40})`", text, re.MULTILINE))
    branches = [branch for branch in repo.pushed if branch.name != MAIN]  # a card cannot name its own commit
    named = {one.name: commits.get(one.name, commits.get(repo.revision(one.name))) for one in branches}
    for branch in branches if any(named.values()) else ():
        stated = named[branch.name]
        level: Level = "error"
        if stated is None and branch.name in repo.lineages:
            message = f"its card does not name the commit of {branch.name}, {branch.commit[:12]}"
        elif stated is not None and stated != branch.commit:
            level, why = _differing_commit(repo, branch, stated)
            message = f"its card names commit {stated[:12]} for {branch.name}, which is at {branch.commit[:12]}{why}"
        else:
            continue
        hint = "push the card again: mixhub push --all"
        yield Finding("card-commit-differs", MAIN, message, hint, level, about=branch.name)


def _differing_commit(repo: RepoUnderCheck, branch: Branch, stated: str) -> tuple[Level, str]:
    """Return how bad it is that a card names another commit than that of a branch, and what is known of it."""
    try:
        tree = remote_tree(repo.endpoint, repo.repo_id, stated)
    except RevisionNotFoundError:
        return "warning", "; the hub has no such commit: the branch was made again, or its history was rewritten"
    except HubError:
        return "error", ""
    models = [
        {path: file.sha256 or file.oid for path, file in one.items() if is_model_file(path)}
        for one in (tree, branch.tree)
    ]
    return ("warning", "; both hold the same model") if models[0] == models[1] else ("error", "")


def _own_card(branch: BranchUnderCheck) -> str | None:
    """Return the text of a card of ours, or in a repo with branches of ours; None otherwise."""
    return branch.branch.text(CARD) if branch.is_ours or branch.repo.lineages else None


def _metadata_by_results(branch: BranchUnderCheck) -> Mapping[str, Any] | None:
    """Return the metadata that the results on the branches give for a card.

    None if they give none: it belongs to no run, or a run on the branches has no results.

    Raises:
        MixhubError: the results contradict each other.
    """
    repo = branch.repo
    if repo.family is None:
        return None
    if branch.name == MAIN and not branch.is_of_run:
        facts = [repo.facts[name] for name in repo.runs if name in repo.facts]
        if not facts or not all(one.cells for one in facts):
            return None
        card = FamilyFacts(repo.family, tuple(facts))
    elif branch.facts is not None:
        card = FamilyFacts(repo.family, (branch.facts,), of_run=True)
    else:
        return None
    metadata: dict[str, Any] = card_metadata(card, best_scores(card)).to_dict()  # type: ignore[no-untyped-call]
    return metadata


def _metadata(text: str) -> Mapping[str, Any]:
    try:
        return read_card(text).metadata
    except MixhubError:  # `card_unsound` reports it
        return {}


def _scores(metadata: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores of a model-index by their names; empty if it has another shape."""
    scores: dict[str, float] = {}
    for entry in read_model_index(metadata) or ():
        arguments = ", ".join(f"{key} {value}" for key, value in entry.args.items() if key in _WHOSE)
        scores[f"{entry.dataset} {entry.metric.type} ({arguments})"] = entry.metric.value
    return scores


CARD_RULES = (card_missing, card_unsound, results_foreign, card_scores_differ, weights_withdrawn)
