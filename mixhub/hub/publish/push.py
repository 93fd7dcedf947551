"""A push: first the plan, then the large files, then one commit on the branch, then the proof, then the receipt."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub.card.facts.withdrawal import Withdrawal, withdrawals
from mixhub.card.markdown.parse import front_matter
from mixhub.card.page.write import is_plot
from mixhub.card.plots.plots import drawn_sha256
from mixhub.endpoint import Endpoint
from mixhub.errors import HubError, MixhubError, PushConflictError
from mixhub.files import read_json
from mixhub.findings import Finding, errors
from mixhub.hub.check.check import check_run, initial_findings, require_sound, training_of
from mixhub.hub.publish.plan import Plan, changes
from mixhub.hub.publish.receipts import Receipt, hub_key, local_weights, pushed_commits, read_receipts, write_receipt
from mixhub.hub.publish.release import main_files, run_files, state_files
from mixhub.hub.remote.branches import Branch, read_branches
from mixhub.hub.remote.client import (
    ASKED_AT_ONCE,
    branch_heads,
    client,
    file_content,
    remote_tree,
    tags,
    translated,
)
from mixhub.hub.remote.files import (
    CARD,
    MAIN,
    TRAIN_CONFIG,
    LocalFile,
    is_model_file,
    is_result_file,
    remote_file,
    require_unchanged,
    safetensors_in,
    same_content,
    weights_in,
)
from mixhub.hub.rules.export import listed
from mixhub.progress import SILENT, Progress
from mixhub.spec.family import Family, Run
from mixhub.workspace.lineage import LINEAGE_FILE, Lineage, combined_sha256
from mixhub.workspace.paths import Workspace

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

_LARGE = 10_000_000
"""Bytes from which a file is looked for on the hub before it is sent: another branch, or a push that was broken off,
may have brought it."""
_TOGETHER = 64_000_000
"""Bytes that are uploaded at once: what arrived whole is not sent again after a push that was broken off."""

_RENDERED = re.compile(
    r"Publish \S+, weights [0-9a-f]{12}|Publish the optimizer state of \S+|Update the family's card"
    r"|Promote (?:\S+|the card) from commit [0-9a-f]{12}"
)
"""Titles of commits in which mixhub put a whole card on the hub."""
_MARKED = re.compile(r"Withdraw \S+|Errata")
"""Titles of commits in which mixhub added to the card that was there."""


@dataclass(frozen=True)
class Pushed:
    """What a push came to."""

    plan: Plan
    commit: str
    sent: bool
    """False when the branch held it all already, and nothing was sent."""
    uploaded: tuple[str, ...] = ()
    """Large files that were sent: those that the hub had from elsewhere are not among them."""


def plan_run(
    workspace: Workspace,
    family: Family,
    run: Run,
    endpoint: Endpoint,
    *,
    step: int | None = None,
    samples: bool = False,
    tag: str | None = None,
    private: bool = False,
    force: bool = False,
    progress: Progress = SILENT,
) -> Plan:
    """The plan of the branch of a run, or of an earlier step of it: export, card, metrics, results.

    The run is checked first (see `check_run`); what is wrong stands in the plan.

    Args:
        workspace: where it lies.
        family: the family.
        run: the run.
        endpoint: the hub.
        step: an earlier step; absent: the last.
        samples: the samples of the results too, as parquet.
        tag: a tag for the commit; it is named `<branch>-<tag>`.
        private: make the repo private, where it is new.
        force: replace a card that somebody changed on the hub, and delete results that only the branch has.
        progress: is told of each file of weights that is read.

    Raises:
        RunError: there is no export of that step.
        MixhubError: its card cannot be rendered, though nothing wrong was found.
        HubError: the hub cannot be asked.
    """
    checked = check_run(workspace, family, run, step=step, progress=progress)
    files = {} if errors(checked.findings) else run_files(workspace, family, checked, samples=samples)
    parent = _Parent.read(family.repo_id, checked.branch, endpoint)
    weights = checked.content.weights_sha256 or ""
    plan = _plan(family.repo_id, checked.branch, files, endpoint, parent, weights=weights)
    plan = replace(
        plan,
        findings=(
            *checked.findings,
            *(() if force else (*_changed_cards(plan, endpoint), *_lost_results(plan, run))),
        ),
        message=f"Publish {checked.branch}, weights {weights[:12]}",
        private=private,
    )
    return _tagged(plan, endpoint, f"{checked.branch}-{tag}" if tag else None)


def plan_state(workspace: Workspace, family: Family, run: Run, endpoint: Endpoint, *, private: bool = False) -> Plan:
    """The plan of the branch that holds a run's resumable state; raises RunError where there is none."""
    branch = f"{run.revision}-optimizer"
    files = state_files(workspace, family, run)
    parent = _Parent.read(family.repo_id, branch, endpoint)
    plan = _plan(family.repo_id, branch, files, endpoint, parent, weights=None)
    return replace(plan, message=f"Publish the optimizer state of {run.revision}", private=private)


def plan_card(
    workspace: Workspace,
    family: Family,
    endpoint: Endpoint,
    *,
    tag: str | None = None,
    private: bool = False,
    force: bool = False,
    before: Sequence[Plan] = (),
) -> Plan:
    """The plan of `main`: the family's card, which names the commits of the branches on this hub, and its plots.

    Runs that were trained elsewhere and pushed from there are told of by what their branches hold. Where `main` holds
    the model of a run, by the family, the hub copies it from the run's branch.

    Args:
        workspace: where the others lie.
        family: the family.
        endpoint: the hub.
        tag: a tag for the commit.
        private: make the repo private, where it is new.
        force: replace a card that somebody changed on the hub, and a model that somebody else put on `main`.
        before: plans of branches that will be carried out before this one, so that the card will change.

    Raises:
        MixhubError: the card cannot be rendered.
        HubError: the hub cannot be asked.
    """
    parent = _Parent.read(family.repo_id, MAIN, endpoint)  # before the receipts are read: a push between is a conflict
    heads: dict[str, str] = {}
    commits: dict[str, str] = {}
    others: list[Branch] = []
    if parent.commit:
        heads = branch_heads(endpoint, family.repo_id)
        commits = _own_commits(workspace, family, endpoint, heads)
        others = _published(workspace, family, endpoint, heads)
        commits |= {branch.name: branch.commit for branch in others}
    tree = remote_tree(endpoint, family.repo_id, parent.commit) if parent.commit else {}
    model, copied = held_by_main(family, endpoint, heads, before)
    on_main = family.main_run.revision if family.main_run and model else None
    if not model and LINEAGE_FILE not in tree and safetensors_in(tree):
        on_main = ""
    files = main_files(workspace, family, commits, {branch.name: branch.folder for branch in others}, on_main)
    plan = _plan(family.repo_id, MAIN, {**files, **model}, endpoint, parent, weights=None)
    wrong = () if force else (*_changed_cards(plan, endpoint), *_foreign_model(plan, tree))
    wrong += tuple(withdrawn_on_main(model, withdrawals(workspace, family)))
    plan = replace(plan, message="Update the family's card", private=private, findings=wrong, copied=copied)
    return _tagged(plan, endpoint, tag, moved=any(one.changed for one in before))


def held_by_main(
    family: Family, endpoint: Endpoint, heads: Mapping[str, str], before: Sequence[Plan]
) -> tuple[dict[str, LocalFile], dict[str, str]]:
    """The files of the model that `main` holds by the family, and the revision that has each; none while the run's
    branch is not on the hub.

    Args:
        family: the family.
        endpoint: the hub.
        heads: the commits of the branches that are on it.
        before: plans of branches that will be carried out before.
    """
    run = family.main_run
    if run is None:
        return {}, {}
    planned = next((plan for plan in before if plan.branch == run.revision), None)
    if planned is not None:
        files, revision = dict(planned.files), run.revision
    elif run.revision in heads:
        revision = heads[run.revision]
        tree = remote_tree(endpoint, family.repo_id, revision)
        files = {path: remote_file(file) for path, file in tree.items()}
    else:
        return {}, {}
    model = {path: file for path, file in files.items() if is_model_file(path)}
    return model, dict.fromkeys(model, revision)


def withdrawn_on_main(model: Mapping[str, LocalFile], marks: Sequence[Withdrawal]) -> Iterator[Finding]:
    """That the model which `main` would hold was withdrawn: who names no revision is not to get such weights."""
    weights = [(path, file.sha256 or "") for path, file in model.items() if path.endswith(".safetensors")]
    for mark in marks if weights else ():
        if mark.weights_sha256 == combined_sha256(weights):
            message = f"would hold the model of {mark.revision}, which was withdrawn"
            yield Finding(
                "weights-withdrawn", MAIN, message, "name another in revisions.main of mixhub.yaml, or none; then push"
            )


def _foreign_model(plan: Plan, tree: Mapping[str, object]) -> Iterator[Finding]:
    """Files of a model that somebody put on `main`, and that the model of a run would replace."""
    gone = [one.path for one in plan.changed if one.path in tree and is_model_file(one.path)]
    if gone and LINEAGE_FILE not in tree:
        message = f"holds {', '.join(gone)}, which no push put there, and another model is to take their place"
        hint = "keep them elsewhere, then push with --force; or leave revisions.main out"
        yield Finding("main-model-foreign", MAIN, message, hint)


def _own_commits(workspace: Workspace, family: Family, endpoint: Endpoint, heads: Mapping[str, str]) -> dict[str, str]:
    """The heads of branches that hold the weights of the workspace: as it pushed them, or as the hub says."""
    pushed = pushed_commits(workspace, hub_key(endpoint), family)
    local = local_weights(workspace, family)
    return {
        name: heads[name]
        for name in {**pushed, **local}
        if name in heads
        and (
            pushed.get(name) == heads[name]
            or weights_in(remote_tree(endpoint, family.repo_id, heads[name])) == local.get(name, "")
        )
    }


def _published(workspace: Workspace, family: Family, endpoint: Endpoint, heads: Mapping[str, str]) -> list[Branch]:
    """Branches of runs that have no export here, and say themselves what they are."""
    last = family.training.steps
    absent = [run.revision for run in family.runs() if last not in workspace.run_folder(run).export_steps()]
    wanted = {name: heads[name] for name in absent if name in heads}
    with SILENT.start("branches", len(wanted), "branch") as bar:
        read = list(read_branches(endpoint, family.repo_id, wanted, bar))
    return [branch for branch in read if {LINEAGE_FILE, TRAIN_CONFIG} <= set(branch.tree) and branch.weights_sha256]


def plan_files(
    repo_id: str,
    branch: str,
    files: Mapping[str, LocalFile],
    endpoint: Endpoint,
    *,
    weights: str | None,
    message: str,
    tag: str | None = None,
    private: bool = False,
    force: bool = False,
    moved: bool = False,
) -> Plan:
    """The plan that makes a branch hold the given files and no other (`main` keeps what is not ours).

    Args:
        repo_id: the repo.
        branch: the branch.
        files: what it shall hold, by path.
        endpoint: the hub.
        weights: names the weights among them; None where there are none.
        message: of the commit.
        tag: a tag for the commit.
        private: make the repo private, where it is new.
        force: replace a card that somebody changed on the hub.
        moved: what the files say will have changed before this is carried out.
    """
    plan = _plan(repo_id, branch, files, endpoint, _Parent.read(repo_id, branch, endpoint), weights=weights)
    wrong = () if force else tuple(_changed_cards(plan, endpoint))
    return _tagged(replace(plan, message=message, private=private, findings=wrong), endpoint, tag, moved=moved)


def compared(plans: Sequence[Plan], workspace: Workspace, family: Family, endpoint: Endpoint) -> list[Plan]:
    """The plans, with what is wrong beside what else the hub has: seeds may be trained on several machines.

    No two branches of runs and steps may hold the same weights; those that are in the plans themselves are compared by
    what they will hold. Initial weights are compared with those of runs that were pushed from elsewhere. A branch that
    is as this workspace pushed it is known without a request.

    Raises:
        HubError: the hub cannot be asked.
    """
    if all(plan.parent is None for plan in plans):
        return list(plans)
    heads = branch_heads(endpoint, family.repo_id)
    receipts = read_receipts(workspace, hub_key(endpoint), family.repo_id)
    runs = {run.revision for run in family.runs()}
    planned = {plan.branch for plan in plans}
    others = [name for name in heads if name not in planned and training_of(family, name) is not None]

    def look(name: str) -> tuple[str | None, Lineage | None]:
        """The weights of a branch; and the lineage of a run that was pushed from elsewhere."""
        receipt = receipts.get(name)
        if receipt is not None and receipt.commit == heads[name]:
            return receipt.weights_sha256, None
        tree = remote_tree(endpoint, family.repo_id, heads[name])
        told = name in runs and LINEAGE_FILE in tree
        return weights_in(tree), _lineage(endpoint, family.repo_id, heads[name]) if told else None

    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        found = dict(zip(others, pool.map(look, others), strict=True))
    held = {name: weights for name, (weights, _) in found.items()}
    lineages = {name: lineage for name, (_, lineage) in found.items() if lineage is not None}
    return [
        replace(
            plan,
            findings=(
                *plan.findings,
                *_repeated(plan, family, held, endpoint),
                *(_initial(plan, lineages) if plan.branch in runs else ()),
            ),
        )
        for plan in plans
    ]


def _lineage(endpoint: Endpoint, repo_id: str, commit: str) -> Lineage | None:
    """The lineage of a commit; None where it is malformed, as `verify` says."""
    content = file_content(endpoint, repo_id, commit, LINEAGE_FILE)
    try:
        return Lineage.from_data(json.loads(content), LINEAGE_FILE)
    except (MixhubError, ValueError):
        return None


def _initial(plan: Plan, lineages: Mapping[str, Lineage]) -> Iterator[Finding]:
    """Initial weights and seeds beside runs that were pushed from elsewhere; not known of what lies on another hub."""
    file = plan.files.get(LINEAGE_FILE)
    if file is not None and isinstance(file.source, Path):
        own = Lineage.from_data(read_json(file.source), str(file.source))
        yield from initial_findings(plan.branch, own, lineages)


def _repeated(plan: Plan, family: Family, held: Mapping[str, str | None], endpoint: Endpoint) -> Iterator[Finding]:
    for name, weights in held.items():
        is_other = training_of(family, name) != training_of(family, plan.branch)
        if weights is not None and weights == plan.weights_sha256 and is_other:
            message = f"has the same weights as {name} has on {endpoint}"
            hint = f"find out which of the two is right; if {name} is wrong there, push that first, or both with --all"
            yield Finding("weights-repeated", plan.branch, message, hint)


def execute(plan: Plan, workspace: Workspace, endpoint: Endpoint, progress: Progress = SILENT) -> Pushed:
    """Makes the branch what the plan says, in one commit, and sees that it is so; sends nothing when it is already.

    Whenever it is broken off, the branch holds the commit of before or the new one; the same push again ends in the
    same tree, and does not send what the hub has.

    Raises:
        ExportError: something in the plan is wrong, or a file changed since it was planned; nothing is on the branch.
        PushConflictError: the branch moved since the plan was made; nothing of this push is there.
        HubError: the hub refused, or does not hold what was sent.
    """
    require_sound(plan.findings, plan.branch, f"nothing was sent to {plan.branch}")
    require_unchanged(plan.files)
    parent = _ready_branch(plan, endpoint)
    commit, uploaded = parent, []
    if plan.changed:
        additions, others = _operations(plan)
        uploaded = _upload(plan, additions, endpoint, progress)
        require_unchanged(plan.files)
        with translated(endpoint, plan.repo_id, plan.branch), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*you are about to commit a data file")  # samples as parquet
            made = client(endpoint).create_commit(
                plan.repo_id,
                [*additions, *others],
                commit_message=plan.message,
                revision=plan.branch,
                parent_commit=parent,
            )
        commit = str(made.oid)
    elif branch_heads(endpoint, plan.repo_id).get(plan.branch) != parent:
        raise PushConflictError(
            f"{endpoint}: somebody pushed to {plan.repo_id} of branch {plan.branch} meanwhile",
            hint="look at what came, then push again: the plan is made anew",
            repo_id=plan.repo_id,
            revision=plan.branch,
        )
    _verify(plan, commit, endpoint)
    _tag(plan, commit, endpoint)
    receipt = Receipt(
        hub=endpoint.name or endpoint.url,
        commit=commit,
        weights_sha256=plan.weights_sha256 or None,
        files=len(plan.files),
        size=sum(file.size for file in plan.files.values()),
    )
    write_receipt(workspace, hub_key(endpoint), plan.repo_id, plan.branch, receipt)
    return Pushed(plan, commit, bool(plan.changed), tuple(uploaded))


@dataclass(frozen=True)
class _Parent:
    """What a push builds on."""

    commit: str | None
    """The branch's commit, or the repo's first where the branch is new; None where the repo is new."""
    branch_exists: bool

    @classmethod
    def read(cls, repo_id: str, branch: str, endpoint: Endpoint) -> _Parent:
        with translated(endpoint, repo_id):
            if not client(endpoint).repo_exists(repo_id):
                return cls(None, False)
        heads = branch_heads(endpoint, repo_id)
        return cls(heads.get(branch) or _first_commit(endpoint, repo_id), branch in heads)


def _plan(
    repo_id: str,
    branch: str,
    files: Mapping[str, LocalFile],
    endpoint: Endpoint,
    parent: _Parent,
    *,
    weights: str | None,
) -> Plan:
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


def _changed_cards(plan: Plan, endpoint: Endpoint) -> Iterator[Finding]:
    """A card that the plan replaces, and that somebody wrote or changed on the hub itself since the last push.

    A new branch has the card of the repo's first commit, if any, which nobody wrote for it.
    """
    replaced = any(one.path == CARD and one.action == "replace" for one in plan.changes)
    if plan.parent is None or not plan.branch_exists or not replaced:
        return
    with translated(endpoint, plan.repo_id, plan.branch):
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


def _lost_results(plan: Plan, run: Run) -> Iterator[Finding]:
    """Results of the same weights that the branch has and the workspace lacks: they would go, and their figures too."""
    is_same = not any(one.path.endswith(".safetensors") for one in plan.changed)
    gone = [one.path for one in plan.changed if one.action == "delete" and is_result_file(one.path)]
    lost = [path for path in gone if path.endswith(".json")]  # samples are sent only where that is asked for
    if lost and is_same and plan.files:
        message = f"has {listed(lost)}, of the same weights, and the workspace has not: a push would delete them"
        hint = f"evaluate it again: mixhub evaluate --{run.kind} {run.number}; or let them go: push with --force"
        yield Finding("results-lost", plan.branch, message, hint)


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


def _tagged(plan: Plan, endpoint: Endpoint, tag: str | None, *, moved: bool = False) -> Plan:
    """The plan with a tag; a tag that is there already does not move."""
    if tag is None:
        return plan
    known = tags(endpoint, plan.repo_id) if plan.parent else {}
    wrong: tuple[Finding, ...] = ()
    if tag in known and (moved or plan.changed or known[tag] != plan.parent):
        message = f"the tag {tag} is there, at {known[tag][:12]}, and tags do not move"
        wrong = (Finding("tag-taken", plan.branch, message, "choose another: --tag NAME"),)
    return replace(plan, tag=tag, findings=(*plan.findings, *wrong))


def _operations(plan: Plan) -> tuple[list[CommitOperationAdd], list[Any]]:
    """What is sent, and what the hub does by itself."""
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

    additions: list[CommitOperationAdd] = []
    others: list[Any] = []
    for change in plan.changed:
        if change.action == "delete":
            others.append(CommitOperationDelete(path_in_repo=change.path))
            continue
        if change.path in plan.copied:
            others.append(CommitOperationCopy(change.path, change.path, src_revision=plan.copied[change.path]))
            continue
        file = plan.files[change.path]
        assert file.source is not None
        operation = CommitOperationAdd(change.path, _readable(file.source))
        if file.sha256 is not None:
            operation.upload_info.sha256 = bytes.fromhex(file.sha256)  # else the client reads the file once more
        additions.append(operation)
    return additions, others


def _upload(plan: Plan, additions: Sequence[CommitOperationAdd], endpoint: Endpoint, progress: Progress) -> list[str]:
    """Sends the large files that the hub does not have, some at a time; their paths."""
    api = client(endpoint)
    with translated(endpoint, plan.repo_id, plan.branch):
        present = _present(plan, additions, api)
        missing = [one for one in additions if one.path_in_repo not in present]
        total = sum(plan.files[one.path_in_repo].size for one in missing)
        with progress.start(f"sending {plan.branch}", total, "byte") as bar:
            for group in _groups(missing, plan):
                api.preupload_lfs_files(plan.repo_id, group, revision=plan.branch)
                bar.advance(sum(plan.files[one.path_in_repo].size for one in group))
    return [one.path_in_repo for one in missing if plan.files[one.path_in_repo].size >= _LARGE]


def _present(plan: Plan, additions: Iterable[CommitOperationAdd], api: HfApi) -> set[str]:
    """Large files that the hub has already; they are marked so that the client does not send them."""
    from huggingface_hub.lfs import post_lfs_batch_info

    large = [one for one in additions if plan.files[one.path_in_repo].size >= _LARGE]
    if not large or not all(hasattr(one, name) for one in large for name in ("_is_uploaded", "_upload_mode")):
        return set()
    answers, _, _ = post_lfs_batch_info(
        [one.upload_info for one in large],
        token=api.token,  # type: ignore[arg-type]  # False: none, where None would send that of huggingface.co
        repo_type="model",
        repo_id=plan.repo_id,
        endpoint=api.endpoint,
    )
    there = {answer["oid"] for answer in answers if not answer.get("actions")}
    present = set()
    for one in large:
        if one.upload_info.sha256.hex() in there:
            one._upload_mode, one._is_uploaded = "lfs", True
            present.add(one.path_in_repo)
    return present


def _groups(additions: Iterable[CommitOperationAdd], plan: Plan) -> Iterator[list[CommitOperationAdd]]:
    """In the order of their size, as many at once as are small together."""
    group: list[CommitOperationAdd] = []
    size = 0
    for one in sorted(additions, key=lambda one: plan.files[one.path_in_repo].size):
        own = plan.files[one.path_in_repo].size
        if group and size + own > _TOGETHER:
            yield group
            group, size = [], 0
        group.append(one)
        size += own
    if group:
        yield group


def _first_commit(endpoint: Endpoint, repo_id: str) -> str:
    with translated(endpoint, repo_id, MAIN):
        return str(client(endpoint).list_repo_commits(repo_id, revision=MAIN)[-1].commit_id)


def _ready_branch(plan: Plan, endpoint: Endpoint) -> str:
    """The commit that the push builds on; makes the repo, and the branch from its first commit, where they are new."""
    api = client(endpoint)
    with translated(endpoint, plan.repo_id, plan.branch):
        if plan.parent is None:
            api.create_repo(plan.repo_id, exist_ok=True, private=plan.private or None)
        if plan.private and not api.model_info(plan.repo_id).private:
            raise HubError(
                f"{endpoint}: {plan.repo_id} is public already, and a push does not hide what others may use",
                hint="leave --private out, or change it in the repo's settings",
                repo_id=plan.repo_id,
            )
        parent = plan.parent or _first_commit(endpoint, plan.repo_id)
        if not plan.branch_exists and plan.branch != MAIN:
            api.create_branch(plan.repo_id, branch=plan.branch, revision=parent, exist_ok=True)
    return parent


def _verify(plan: Plan, commit: str, endpoint: Endpoint) -> None:
    """Raises HubError unless a commit holds exactly the planned files, by hash."""
    remote = remote_tree(endpoint, plan.repo_id, commit)
    wrong = {
        path: "another content" if path in remote else "no such file"
        for path, file in plan.files.items()
        if path not in remote or not same_content(file, remote[path])
    }
    wrong |= {change.path: "a file that was deleted" for change in plan.changes if _stayed(change, remote)}
    for path, state in wrong.items():
        raise HubError(
            f"{endpoint}: {plan.repo_id}@{commit} has {state} at {path} after the push",
            hint=f"push again; do not use {plan.branch} before",
            repo_id=plan.repo_id,
            revision=commit,
            path=path,
        )


def _stayed(change: Any, remote: Mapping[str, object]) -> bool:
    return change.action == "delete" and change.path in remote


def _tag(plan: Plan, commit: str, endpoint: Endpoint) -> None:
    if plan.tag is not None:
        with translated(endpoint, plan.repo_id, commit):
            client(endpoint).create_tag(plan.repo_id, tag=plan.tag, revision=commit, exist_ok=True)
        if tags(endpoint, plan.repo_id).get(plan.tag) != commit:
            raise HubError(
                f"{endpoint}: the tag {plan.tag} of {plan.repo_id} was set elsewhere meanwhile",
                hint="the commit is there; choose another tag: --tag NAME",
                repo_id=plan.repo_id,
                tag=plan.tag,
            )


def _readable(source: Path | bytes) -> str | bytes:
    return source if isinstance(source, bytes) else str(source)
