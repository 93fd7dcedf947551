"""The plan of any branch: what lies there, what the push would change, and which card and tag are in its way."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from mixhub.card.markdown.parse import front_matter
from mixhub.card.page.write import is_plot
from mixhub.card.plots.plot import drawn_sha256
from mixhub.endpoint import Endpoint
from mixhub.findings import Finding
from mixhub.hub.publish.plan import DEFAULTS, Plan, PushOptions, changes
from mixhub.hub.remote.client import branch_heads, client, file_content, first_commit, hub_errors, remote_tree, tags
from mixhub.hub.remote.files import CARD, MAIN, LocalFile, is_model_file
from mixhub.workspace.lineage import LINEAGE_FILE

_RENDERED = re.compile(
    r"Publish \S+, weights [0-9a-f]{12}|Publish the optimizer state of \S+|Update the family's card"
    r"|Promote (?:\S+|the card) from commit [0-9a-f]{12}"
)
"""Titles of commits in which mixhub put a whole card on the hub."""
_MARKED = re.compile(r"Withdraw \S+|Errata")
"""Titles of commits in which mixhub added to the card that was there."""


@dataclass(frozen=True)
class Parent:
    """What a push builds on."""

    commit: str | None
    """The branch's commit, or the repo's first where the branch is new; None where the repo is new."""
    branch_exists: bool

    @classmethod
    def read(cls, repo_id: str, branch: str, endpoint: Endpoint) -> Parent:
        """Asks a hub for it."""
        with hub_errors(endpoint, repo_id):
            if not client(endpoint).repo_exists(repo_id):
                return cls(None, False)
        heads = branch_heads(endpoint, repo_id)
        return cls(heads.get(branch) or first_commit(endpoint, repo_id), branch in heads)


def plan_files(
    repo_id: str,
    branch: str,
    files: Mapping[str, LocalFile],
    endpoint: Endpoint,
    options: PushOptions = DEFAULTS,
    *,
    weights: str | None,
    message: str,
    moved: bool = False,
) -> Plan:
    """The plan that makes a branch hold the given files and no other (`main` keeps what is not ours).

    Args:
        repo_id: the repo.
        branch: the branch.
        files: what it shall hold, by path.
        endpoint: the hub.
        options: `tag`, `private` and `force` are looked at.
        weights: names the weights among them; None where there are none.
        message: of the commit.
        moved: what the files say will have changed before this is carried out.
    """
    plan = compare_files(repo_id, branch, files, endpoint, Parent.read(repo_id, branch, endpoint), weights=weights)
    findings = () if options.force else changed_cards(plan, endpoint)
    return with_options(plan, endpoint, options, message=message, findings=findings, moved=moved)


def compare_files(
    repo_id: str,
    branch: str,
    files: Mapping[str, LocalFile],
    endpoint: Endpoint,
    parent: Parent,
    *,
    weights: str | None,
) -> Plan:
    """The plan of a branch as far as the files alone make it."""
    remote = remote_tree(endpoint, repo_id, parent.commit) if parent.commit and files else {}
    if branch == MAIN:  # others may keep files there: only what is ours is replaced or deleted
        stale = {path for path in remote if path not in files and is_plot(path)}
        assert parent.commit or not stale
        stale = {path for path in stale if _is_drawn(endpoint, repo_id, str(parent.commit), path)}
        if LINEAGE_FILE in remote or any(is_model_file(path) for path in files):  # no shard of another model may stay
            stale |= {path for path in remote if is_model_file(path)}
        remote = {path: file for path, file in remote.items() if path in files or path in stale}
    planned = changes(files, remote)
    return Plan(repo_id, branch, files, tuple(planned), parent.commit, parent.branch_exists, weights)


def with_options(
    plan: Plan,
    endpoint: Endpoint,
    options: PushOptions,
    *,
    message: str,
    findings: Iterable[Finding],
    moved: bool = False,
) -> Plan:
    """The plan with the message of its commit, what is wrong, and what the options ask for.

    A tag that is there already does not move.
    """
    plan = replace(plan, message=message, private=options.private, findings=tuple(findings))
    tag = options.tag_of(plan.branch)
    if tag is None:
        return plan
    known = tags(endpoint, plan.repo_id) if plan.parent else {}
    wrong: tuple[Finding, ...] = ()
    if tag in known and (moved or plan.changed or known[tag] != plan.parent):
        text = f"the tag {tag} is there, at {known[tag][:12]}, and tags do not move"
        wrong = (Finding("tag-taken", plan.branch, text, "choose another: --tag NAME"),)
    return replace(plan, tag=tag, findings=(*plan.findings, *wrong))


def changed_cards(plan: Plan, endpoint: Endpoint) -> Iterator[Finding]:
    """A card that the plan replaces, and that somebody wrote or changed on the hub itself since the last push.

    A new branch has the card of the repo's first commit, if any, which nobody wrote for it.
    """
    replaced = any(one.path == CARD and one.action == "replace" for one in plan.changes)
    if plan.parent is None or not plan.branch_exists or not replaced:
        return
    with hub_errors(endpoint, plan.repo_id, plan.branch):
        commits = client(endpoint).list_repo_commits(plan.repo_id, revision=plan.parent)
    for commit, before in zip(commits, [*commits[1:], None], strict=True):
        if _RENDERED.fullmatch(commit.title):
            return
        if _MARKED.fullmatch(commit.title):
            continue
        written = _card_text(endpoint, plan.repo_id, commit.commit_id)
        if written and (before is None or written != _card_text(endpoint, plan.repo_id, before.commit_id)):
            message = f"{CARD} was written on the hub since the last push ({commit.title!r}), and would be replaced"
            words = "card.md" if plan.branch == MAIN else "revision.md"
            yield Finding(
                "card-written-on-hub", plan.branch, message, f"put those words into {words}; then push with --force"
            )
            return


def _card_text(endpoint: Endpoint, repo_id: str, commit: str) -> str:
    """The card of a commit; empty where it has none, or one of nothing but metadata, as a hub makes for a new repo."""
    if CARD not in remote_tree(endpoint, repo_id, commit):
        return ""
    text = file_content(endpoint, repo_id, commit, CARD).decode(errors="replace")
    head = front_matter(text)
    return text if text[head.end if head else 0 :].strip() else ""


def _is_drawn(endpoint: Endpoint, repo_id: str, commit: str, path: str) -> bool:
    """Whether an image on the hub is a plot that mixhub drew, and no image of somebody's own."""
    return drawn_sha256(file_content(endpoint, repo_id, commit, path)) is not None
