"""The plan of a branch: what a push would change, and which card or tag conflicts with it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mixhub.analysis.published.eval_results import own_cell
from mixhub.card.facts.withdrawal import is_rendered
from mixhub.card.markdown.parse import front_matter
from mixhub.card.page.write import is_plot
from mixhub.card.plots.plot import drawn_sha256
from mixhub.endpoint import Endpoint
from mixhub.findings import Finding
from mixhub.hub.publish.receipts import hub_key, read_receipts
from mixhub.hub.remote.client import branch_heads, client, file_content, first_commit, hub_errors, remote_tree, tags
from mixhub.hub.remote.files import (
    CARD,
    KEPT_ON_HUB,
    MAIN,
    METRICS,
    LocalFile,
    RemoteFile,
    is_model_file,
    is_result_file,
    same_content,
)
from mixhub.phrases import listed
from mixhub.workspace.export import WEIGHTS_INDEX_FILE
from mixhub.workspace.lineage import LINEAGE_FILE
from mixhub.workspace.paths import Workspace

Action = Literal["add", "replace", "delete", "keep"]
_RENDERED = re.compile(
    r"Publish \S+, weights [0-9a-f]{12}|Publish the optimizer state of \S+|Update the family's card"
    r"|Promote (?:\S+|the card) from commit [0-9a-f]{12}"
)
"""Titles of commits in which mixhub pushed a whole card."""
_CHECKPOINT = re.compile(r"step-\d{6,}/")
"""Files of a checkpoint, on the branch of an optimizer state."""
_WEIGHTS = re.compile(rf"model(?:-\d+-of-\d+)?\.safetensors|{re.escape(WEIGHTS_INDEX_FILE)}")
"""Files of weights that a push may have left; Transformers would open them."""
_MARKED = re.compile(r"Withdraw \S+|Errata")
"""Titles of commits in which mixhub added to the existing card."""


@dataclass(frozen=True)
class PushOptions:
    """Options of a push besides the runs."""

    samples: bool = False
    """Also push the samples of the results, as parquet."""
    tag: str | None = None
    """Tag the commits: `<branch>-<tag>` on a branch, `<tag>` on `main`."""
    private: bool = False
    """Make a new repo private."""
    force: bool = False
    """Replace a card that was changed on the hub and a model on `main` from others, and delete results that only the
    branch has."""


DEFAULTS = PushOptions()


@dataclass(frozen=True)
class FileChange:
    """The change of one path."""

    path: str
    action: Action
    size: int
    """Bytes after the push; of a deleted file, before it."""


@dataclass(frozen=True)
class Target:
    """A branch on a hub, and the commit that a push would build on."""

    endpoint: Endpoint
    repo_id: str
    branch: str
    parent: str | None
    """The branch's commit, or the repo's first for a new branch; None for a new repo."""
    branch_exists: bool
    pushed: Mapping[str, str] = field(default_factory=dict)
    """Hashes of the files that the workspace pushed there last, by path; empty if unknown."""
    place: str = ""
    """What messages call it (see `Family.place`); empty: as the branch."""
    is_card: bool = False
    """Whether it is for the family's card, not for a run: `main`, unless that is the branch of a run."""

    @property
    def where(self) -> str:
        """What messages call it."""
        return self.place or self.branch

    @classmethod
    def read(
        cls,
        endpoint: Endpoint,
        repo_id: str,
        branch: str,
        workspace: Workspace | None = None,
        *,
        place: str = "",
        is_card: bool = False,
    ) -> Target:
        """Ask the hub, and the receipts of a workspace."""
        with hub_errors(endpoint, repo_id):
            if not client(endpoint).repo_exists(repo_id):
                return cls(endpoint, repo_id, branch, None, False, {}, place, is_card)
        heads = branch_heads(endpoint, repo_id)
        parent = heads.get(branch) or first_commit(endpoint, repo_id)
        receipts = read_receipts(workspace, hub_key(endpoint), repo_id) if workspace else {}
        pushed = receipts[branch].content if branch in receipts else {}
        return cls(endpoint, repo_id, branch, parent, branch in heads, pushed, place, is_card)

    def tree(self) -> dict[str, RemoteFile]:
        """Return the files of the parent commit; empty for a new repo."""
        return remote_tree(self.endpoint, self.repo_id, self.parent) if self.parent else {}


@dataclass(frozen=True)
class Plan:
    """The changes of a push to one branch."""

    repo_id: str
    branch: str
    files: Mapping[str, LocalFile] = field(repr=False)
    changes: tuple[FileChange, ...]
    parent: str | None
    """As `Target.parent`."""
    branch_exists: bool
    weights_sha256: str | None
    """The weights; None for the card on `main`."""
    findings: tuple[Finding, ...] = ()
    """A plan with errors is not carried out."""
    message: str = ""
    """Title of the commit."""
    tag: str | None = None
    """Tag for the commit."""
    private: bool = False
    """Whether a new repo is private."""
    copied: Mapping[str, str] = field(default_factory=dict)
    """Files that the hub copies, by path: the revision of the repo that holds, or will hold, the same file."""
    where: str = ""
    """As `Target.where`."""

    @property
    def changed(self) -> list[FileChange]:
        """The changes that the commit makes."""
        return [change for change in self.changes if change.action != "keep"]

    @property
    def bytes_to_send(self) -> int:
        """Bytes of new and replaced files, except for those that the hub copies."""
        sent = (change for change in self.changed if change.action != "delete" and change.path not in self.copied)
        return sum(change.size for change in sent)


def plan_files(
    target: Target,
    files: Mapping[str, LocalFile],
    options: PushOptions,
    *,
    message: str,
    weights: str | None = None,
    moves_first: bool = False,
    kept: Collection[str] = (),
) -> Plan:
    """Return the plan that makes a branch hold the given files, and deletes what pushes before left (see `stale`).

    Its findings are a card or a model changed on the hub, samples of other figures, and a tag that exists elsewhere.

    Args:
        target: the branch.
        files: what it should hold, by path.
        options: `tag`, `private` and `force` are used.
        message: title of the commit.
        weights: identifies the weights in the files.
        moves_first: whether another push will change the files before.
        kept: files that stay if the branch has them: those of a model, and results of the same weights.
    """
    remote = target.tree() if files else {}
    deleted = stale(target, files, remote, kept)
    planned = changes(files, {path: file for path, file in remote.items() if path in files or path in deleted})
    findings = [*_stale_samples(target.where, deleted), *(() if options.force else _changed_card(target, planned))]
    findings += _changed_model(target, planned, remote)
    tag = options.tag
    if tag is not None:
        tag = tag if target.branch == MAIN else f"{target.branch}-{tag}"
        existing = tags(target.endpoint, target.repo_id).get(tag) if target.parent else None
        moves = moves_first or any(change.action != "keep" for change in planned) or existing != target.parent
        if existing is not None and moves:
            text = f"the tag {tag} exists at {existing[:12]}, and tags do not move"
            findings.append(Finding("tag-taken", target.where, text, "choose another: --tag NAME"))
    return Plan(
        target.repo_id,
        target.branch,
        files,
        tuple(planned),
        target.parent,
        target.branch_exists,
        weights,
        tuple(findings),
        message,
        tag,
        options.private,
        where=target.where,
    )


def stale(
    target: Target, files: Mapping[str, LocalFile], remote: Mapping[str, RemoteFile], kept: Collection[str] = ()
) -> set[str]:
    """Return the files of a branch that earlier pushes left, and that do not belong to the files that it should hold.

    The files of a model, also results and metrics of other weights, samples of other figures, checkpoints, and plots.
    Files of others stay, whatever they are.
    """
    extra = {path: file for path, file in remote.items() if path not in files and path not in KEPT_ON_HUB}
    plots = [path for path in extra if is_plot(path)]  # drawn by mixhub, or by others
    contents = {path: file_content(target.endpoint, target.repo_id, str(target.parent), path) for path in plots}
    found = {path for path, content in contents.items() if drawn_sha256(content) is not None}
    if any(_CHECKPOINT.match(path) for path in files):
        found |= {path for path in extra if _CHECKPOINT.match(path)}
    if LINEAGE_FILE not in remote and not any(is_model_file(path) for path in files):
        return found
    models = {path for path in extra if is_model_file(path) and path not in kept}  # no shard of another may stay
    is_foreign = not target.pushed or LINEAGE_FILE not in remote
    found |= {path for path in models if is_foreign or path in target.pushed or _WEIGHTS.fullmatch(path)}
    found |= {path for path in extra if own_cell(path) and path not in kept}
    if target.is_card:
        return found
    replaced = {path for path in files if path in remote and not same_content(files[path], remote[path])}
    has_other_weights = any(path.endswith(".safetensors") for path in replaced)
    found |= {path for path in extra if path == METRICS and has_other_weights}
    results = {path for path in extra if is_result_file(path) and path.endswith(".json")}
    found |= {path for path in results if path not in kept or has_other_weights}
    samples = [path for path in extra if is_result_file(path) and not path.endswith(".json")]
    figures = {path: path.replace(".samples.parquet", ".json") for path in samples}
    return found | {path for path, figure in figures.items() if figure in replaced | found}


def _stale_samples(where: str, deleted: Collection[str]) -> Iterator[Finding]:
    """Samples on the branch that belong to figures which were replaced."""
    if samples := sorted(path for path in deleted if path.endswith(".samples.parquet")):
        message = f"the samples of figures that were measured again are deleted: {listed(samples, most=3)}"
        yield Finding("samples-stale", where, message, "push with --samples to publish the new ones", "warning")


def changes(local: Mapping[str, LocalFile], remote: Mapping[str, RemoteFile]) -> list[FileChange]:
    """Return what turns `remote` into `local`, by path; equal content is kept, whatever its date.

    Args:
        local: the files that the branch should hold.
        remote: its files that a push may delete; those that the hub makes are not touched.
    """
    planned = []
    for path in sorted(local):
        action: Action = "add"
        if path in remote:
            action = "keep" if same_content(local[path], remote[path]) else "replace"
        planned.append(FileChange(path, action, local[path].size))
    extra = sorted(set(remote) - set(local) - KEPT_ON_HUB)
    return planned + [FileChange(path, "delete", remote[path].size) for path in extra]


def _changed_card(target: Target, planned: list[FileChange]) -> Iterator[Finding]:
    """A card that would be replaced, and that somebody wrote or changed on the hub since the last push.

    A new branch has the card of the repo's first commit, which nobody wrote for it.
    """
    is_replaced = any(one.path == CARD and one.action == "replace" for one in planned)
    if target.parent is None or not target.branch_exists or not is_replaced:
        return
    if pushed := target.pushed.get(CARD):  # also after its history was squashed
        content = file_content(target.endpoint, target.repo_id, target.parent, CARD)
        if hashlib.sha256(content).hexdigest() == pushed:
            return
    with hub_errors(target.endpoint, target.repo_id, target.branch):
        commits = client(target.endpoint).list_repo_commits(target.repo_id, revision=target.parent)
    for commit, before in zip(commits, [*commits[1:], None], strict=True):
        if _RENDERED.fullmatch(commit.title):
            return
        if _MARKED.fullmatch(commit.title):
            continue
        text = _card_text(target, commit.commit_id)
        if before is None and is_rendered(text):
            message = f"its history was squashed ({commit.title!r}), so text that was added to {CARD} there is lost"
            hint = f"if there is some, copy it to {'card' if target.is_card else 'revision'}.md first"
            yield Finding("card-written-on-hub", target.where, message, hint, "warning")
            return
        if text and (before is None or text != _card_text(target, before.commit_id)):
            message = f"{CARD} was written on the hub since the last push ({commit.title!r}), and would be replaced"
            hint = f"move that text to {'card' if target.is_card else 'revision'}.md; then push with --force"
            yield Finding("card-written-on-hub", target.where, message, hint)
            return


def _changed_model(target: Target, planned: list[FileChange], remote: Mapping[str, RemoteFile]) -> Iterator[Finding]:
    """Files of a model that would be replaced, and that somebody changed on the hub since the last push from here."""
    replaced = [one.path for one in planned if one.action == "replace" and is_model_file(one.path)]
    changed = [path for path in replaced if path in target.pushed and not _is_pushed(target, path, remote[path])]
    if changed:
        message = f"changed on the hub since the last push from here, and would be replaced: {listed(changed, most=3)}"
        hint = "make the same change in the export if it is wanted, then check and push"
        yield Finding("model-changed-on-hub", target.where, message, hint, "warning")


def _is_pushed(target: Target, path: str, file: RemoteFile) -> bool:
    """Whether a file on a branch is the one that this workspace pushed there last."""
    known = target.pushed[path]
    if file.sha256 or known == file.oid:
        return known in (file.sha256, file.oid)
    return hashlib.sha256(file_content(target.endpoint, target.repo_id, str(target.parent), path)).hexdigest() == known


def _card_text(target: Target, commit: str) -> str:
    """Return the card of a commit; empty without one, or if it has only metadata, as a hub makes for a new repo."""
    if CARD not in remote_tree(target.endpoint, target.repo_id, commit):
        return ""
    text = file_content(target.endpoint, target.repo_id, commit, CARD).decode(errors="replace")
    head = front_matter(text)
    return text if text[head.end if head else 0 :].strip() else ""
