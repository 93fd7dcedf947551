"""The rule that no two branches of a repo share weights; and, with `--deep`, what only the weights show.

For the second, every byte is downloaded and read, and complete models are loaded.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mixhub.errors import HubError, MixhubError
from mixhub.findings import Finding, Level
from mixhub.hub.check.loading import loading_findings
from mixhub.hub.remote.branches import fetch
from mixhub.hub.remote.files import MAIN
from mixhub.hub.rules.lineage import hash_findings, have_different_starts, initial_findings
from mixhub.hub.rules.tensors import not_finite_findings, shared_findings, tied_findings
from mixhub.hub.rules.weights import (
    FLOATS,
    Fingerprint,
    are_same_tensors,
    equal_tensors,
    fingerprints,
    scan,
    shared_tensors,
)
from mixhub.hub.verify.subject import AGAIN, BranchUnderCheck, RepoUnderCheck, unread_finding
from mixhub.phrases import listed
from mixhub.progress import Progress
from mixhub.workspace.lineage import combined_sha256, file_sha256

_DTYPES = {
    **{name: name for name in FLOATS.values()},
    "fp64": "float64",
    "fp32": "float32",
    "fp16": "float16",
    "half": "float16",
    "bf16": "bfloat16",
}
"""Names of dtypes in names of branches."""
_SHOWN = 3
"""Maximum number of files in a line."""
_SHARED_HINT = (
    "find out which branch they belong to, and push the other again; frozen weights: state base_model on the card"
)


def weights_repeated(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Branches with the same weights, by the hub's hashes; `main` may hold those of another branch."""
    yield from _repeated(repo, {one.name: one.branch.weights for one in repo.models})


def _repeated(repo: RepoUnderCheck, weights: Mapping[str, str | None]) -> Iterator[Finding]:
    """For each branch, another one with its weights: this alone does not tell which of the two is wrong.

    Args:
        repo: the repo.
        weights: what identifies the weights, by branch; None if unknown.
    """
    by_weights: dict[str, list[str]] = defaultdict(list)
    for name, digest in weights.items():
        if digest is not None and name != MAIN:
            by_weights[digest].append(name)
    for names in by_weights.values():
        trainings = {name: repo.training_of(name) for name in names}
        known = [name for name in names if trainings[name] is not None]
        others = [*known[:1], *[name for name in known if trainings[name] != trainings[known[0]]][:1]]
        for name, training in trainings.items():
            other = next((one for one in others if trainings[one] != training), None)
            if other is None:
                continue
            if repo.family is not None and training is None:
                message = f"is not a revision of {repo.family.name}, and holds the weights of {other}"
                yield Finding(
                    "weights-repeated", name, message, "delete it if it is not intended", "warning", about=other
                )
            else:
                hint = "find out which of the two is right, and push the other again from its export"
                yield Finding("weights-repeated", name, f"has the same weights as {other}", hint, about=other)


def files_shared(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Branches that have some, but not all, of their weight files in common with one of another training.

    By the hub's hashes. A step of training changes every file, unless a part of the weights is frozen: a warning for
    models that build on another one by their card.
    """
    weights = {one.name: one.branch.weights for one in repo.models}
    files = {one.name: _hashes(one) for one in repo.models}
    holders: dict[str, list[str]] = defaultdict(list)
    for name in sorted(files, key=lambda name: name == MAIN):  # another branch says more than main
        for digest in files[name]:
            holders[digest].append(name)
    holders = {digest: names for digest, names in holders.items() if len({weights[name] for name in names}) > 1}
    for name in files:
        if name == MAIN:
            continue
        others = (_another(repo, name, holders[digest], weights) for digest in files[name] if digest in holders)
        if found := Counter(other for other in others if other is not None).most_common(1):
            [(other, _)] = found
            shared = [path for digest, path in files[name].items() if digest in files[other]]
            message = f"{len(shared)} of its {len(files[name])} weight files are also on {other}: "
            message += listed(shared, most=_SHOWN)
            yield Finding("tensors-shared", name, message, _SHARED_HINT, _level(repo, name, other), about=other)


def _hashes(branch: BranchUnderCheck) -> dict[str, str]:
    """Return the files of weights that Transformers opens, by the hub's hashes."""
    return {branch.branch.digest(path): path for path in branch.branch.opened}


def _another(repo: RepoUnderCheck, name: str, holders: Iterable[str], weights: Mapping[str, str | None]) -> str | None:
    """Return a branch of another training, with other weights as a whole, that holds a file of this one."""
    others = (one for one in holders if weights[one] != weights[name] and _are_different(repo, name, one))
    return next(others, None)


def _are_different(repo: RepoUnderCheck, name: str, other: str) -> bool:
    """Whether two branches mean different trainings, as far as that is known."""
    return repo.training_of(name) != repo.training_of(other)


def _level(repo: RepoUnderCheck, name: str, other: str) -> Level:
    """Return a warning where equal parts may be intended: on a branch of no run, or on top of another model."""
    is_of_no_run = repo.family is not None and None in (repo.training_of(name), repo.training_of(other))
    return "warning" if is_of_no_run or repo.builds_on_a_model(name) else "error"


def initial_weights_repeated(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Two runs whose initial weights contradict their init_seed; a pair is reported once."""
    names = [name for name in repo.lineages if repo.family is None or name in repo.runs]
    for number, name in enumerate(names):
        before = {other: repo.lineages[other] for other in names[:number]}
        yield from initial_findings(name, repo.lineages[name], before)


def deep_findings(repo: RepoUnderCheck, shallow: list[Finding], progress: Progress) -> Iterator[Finding]:
    """Download the weights of all branches and check them; a branch without findings is loaded, too.

    Args:
        repo: the repo.
        shallow: the findings without the weights.
        progress: advances with each branch.
    """
    not_loaded = {finding.where for finding in shallow if finding.level != "warning"}
    untied = {finding.where for finding in shallow if finding.code == "tensors-untied"}
    prints: dict[str, Mapping[str, Fingerprint]] = {}
    folders: dict[str, Path] = {}
    with progress.start("weights", len(repo.models), "branch") as bar:
        for branch in repo.models:
            one = branch.branch
            try:
                folder = fetch(repo.endpoint, repo.repo_id, one.commit, one.opened, one.tree)
            except HubError as error:
                yield unread_finding(branch.name, error, branch.again)
                continue
            findings = list(_weights_wrong(branch, folder))
            yield from findings or (() if branch.name in not_loaded else loading_findings(branch.name, folder))
            prints[branch.name], folders[branch.name] = fingerprints(folder), folder
            tensors = {name: one.tensor for name, one in prints[branch.name].items()}
            if branch.name not in untied:
                yield from tied_findings(branch.name, folder, tensors, is_ours=branch.is_ours)
            bar.advance(note=branch.name)
    yield from _copies(repo, folders, prints, shallow)


def _weights_wrong(branch: BranchUnderCheck, folder: Path) -> Iterator[Finding]:
    """Files of weights that are damaged, differ from the hub's hash, or hold NaN or infinite numbers.

    If the hub states no hashes, the weights are compared with the lineage.
    """
    hashes = {}
    for path in (path for path in branch.branch.opened if path.endswith(".safetensors")):
        stated = branch.branch.tree[path].sha256
        try:
            scanned = scan(folder / path)
        except MixhubError as error:
            if stated is not None and (folder / path).is_file() and file_sha256(folder / path) != stated:
                yield _damaged_copy(branch, folder / path, path)
            else:
                yield Finding(error.code, branch.name, error.message.replace(f"{folder}/", ""), AGAIN, about=path)
            continue
        hashes[path] = scanned.sha256
        if stated not in (None, scanned.sha256):
            yield _damaged_copy(branch, folder / path, path)
        yield from not_finite_findings(branch.name, scanned.not_finite, "withdraw it: mixhub withdraw")
    is_whole = bool(hashes) and len(hashes) == len(branch.branch.safetensors)
    if branch.lineage is not None and branch.branch.weights_sha256 is None and is_whole:
        yield from hash_findings(branch.name, branch.lineage, combined_sha256(hashes.items()), None, AGAIN)


def _damaged_copy(branch: BranchUnderCheck, file: Path, path: str) -> Finding:
    """Return the finding for a file in the cache that is not the one that the hub has by its hash."""
    message = f"{path}: the copy in the cache is damaged: it has not the sha256 that the hub states"
    hint = f"delete {file.resolve()}, and run it again; if it persists, push it again"
    return Finding("download-differs", branch.name, message, hint, about=path)


def _copies(
    repo: RepoUnderCheck,
    folders: Mapping[str, Path],
    prints: Mapping[str, Mapping[str, Fingerprint]],
    shallow: Sequence[Finding],
) -> Iterator[Finding]:
    """Branches with the same numbers in other shards or dtypes, and matrices that trainings share; each pair once.

    Args:
        repo: the repo.
        folders: where the weights are, by branch.
        prints: fingerprints of the tensors, by branch.
        shallow: what was found by the hub's hashes.
    """
    reported = {finding.where for finding in shallow if finding.code == "weights-repeated"}
    pairs = {frozenset((one.where, one.about)) for one in shallow if one.code == "tensors-shared"}
    names = list(prints)
    first = {
        name: next((one for one in names[:number] if are_same_tensors(prints[name], prints[one])), name)
        for number, name in enumerate(names)
    }
    casts = set(_casts(prints, first)) if repo.family is None else set()
    yield from _repeated(repo, {name: one for name, one in first.items() if name not in reported | casts})
    counts = Counter(first[name] for name in names if name != MAIN)
    unique = [name for name in names if name not in reported and name != MAIN and counts[first[name]] == 1]
    for number, name in enumerate(unique):
        for other in unique[:number]:
            if not _are_different(repo, name, other) or frozenset((name, other)) in pairs:
                continue
            shared = shared_tensors(prints[name], prints[other])
            if shared and not _started_apart(repo, name, other):  # the edges of a matrix may be equal
                shared = equal_tensors(folders[name], folders[other], {one: one for one in shared})
            yield from shared_findings(name, shared, len(prints[name]), other, _level(repo, name, other))


def _casts(prints: Mapping[str, Mapping[str, Fingerprint]], first: Mapping[str, str]) -> Iterator[str]:
    """Yield branches that are by their names copies in another dtype, which their weights have.

    `float16` is one of any branch, `step9-fp16` only one of `step9`.

    Args:
        prints: fingerprints of the tensors, by branch.
        first: by branch, the first one with the same numbers.
    """
    words = {name: re.split(r"[^a-z0-9]+", name.lower()) for name in prints}
    stems = {name: [word for word in some if word not in _DTYPES] for name, some in words.items()}
    for name, prints_of in prints.items():
        dtypes = {FLOATS.get(one.tensor.dtype) for one in prints_of.values()}
        originals = [stems[other] for other in first if other != name and first[other] == first[name]]
        is_named = any(_DTYPES.get(word) in dtypes for word in words[name] if word in _DTYPES)
        if is_named and (not stems[name] or stems[name] in originals):
            yield name


def _started_apart(repo: RepoUnderCheck, name: str, other: str) -> bool:
    lineages = [repo.lineages[one] for one in (name, other) if one in repo.lineages]
    return len(lineages) == 2 and have_different_starts(*lineages)
