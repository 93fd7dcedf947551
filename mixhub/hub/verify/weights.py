"""The rule that no two branches share weights; and, with `--deep`, what only the weights show.

For the second, every byte is downloaded and read, and complete models are loaded.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mixhub.errors import HubError, MixhubError
from mixhub.findings import Finding, Level
from mixhub.hub.check.loading import loading_findings
from mixhub.hub.remote.branches import fetch
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
from mixhub.hub.verify.subject import AGAIN, MANY, REPORT, BranchUnderCheck, Compared, unread_finding
from mixhub.phrases import listed
from mixhub.progress import Progress
from mixhub.workspace.lineage import Lineage, combined_sha256, file_sha256

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


def weights_repeated(compared: Compared) -> Iterator[Finding]:
    """Branches with the same weights, by the hub's hashes; `main` may hold those of another branch."""
    yield from _repeated(compared, {name: one.branch.weights for name, one in compared.models.items()})


def _repeated(compared: Compared, weights: Mapping[str, str | None]) -> Iterator[Finding]:
    """For each branch, another one with its weights: this alone does not tell which of the two is wrong.

    Of many branches, it is the same other one: that of a run, if it is among them.

    Args:
        compared: the branches.
        weights: what identifies the weights, by name of the branch; None if unknown.
    """
    by_weights: dict[str, list[str]] = defaultdict(list)
    for name, digest in weights.items():
        if digest is not None:
            by_weights[digest].append(name)
    found: list[tuple[str, Sequence[str], str]] = []
    for names in by_weights.values():
        trainings = {name: compared.models[name].training for name in names if not compared.models[name].is_alias}
        known = [name for name, training in trainings.items() if training is not None]
        known.sort(key=lambda name: not compared.models[name].is_of_run)
        others = [name for name in known if trainings[name] != trainings[known[0]]]
        alias = "".join(f", as has {name}" for name in names if name not in trainings)
        for name, training in trainings.items():
            different = others if known and training == trainings[known[0]] else known[:1]
            if different:
                found.append((name, different, alias))
    runs = {name: _same_step(compared, name, same) for name, same, _ in found}
    counts = Counter((compared.run(name), whose) for name, whose in runs.items())
    for name, same, alias in found:
        is_whole = counts[compared.run(name), runs[name]] >= MANY and runs[name] is not None
        shown = f"the same step of {runs[name]}" if is_whole else listed(same, most=1)
        yield _repeated_finding(compared.models[name], name, shown, same[0], alias)


def _same_step(compared: Compared, name: str, others: Sequence[str]) -> str | None:
    """Return the other runs whose steps of the same number these branches are; None if some are not."""
    steps = {(one.stage, one.step) if one else None for one in (compared.models[at].meaning for at in (name, *others))}
    runs = [compared.run(other) for other in others]
    if len(steps) > 1 or None in steps or None in runs:
        return None
    return listed(runs, most=1)


def _repeated_finding(branch: BranchUnderCheck, name: str, shown: str, other: str, alias: str) -> Finding:
    """Return the finding for a branch with the weights of others."""
    family = branch.repo.family
    if family is not None and branch.training is None:
        message = f"is not a revision of {family.name}, and holds the weights of {shown}"
        return Finding("weights-repeated", name, message, "delete it if it is not intended", "warning", about=other)
    message = f"has the same weights as {shown}{alias if family is None else ''}"
    again = "push the other again from its export" if branch.is_ours else REPORT
    return Finding("weights-repeated", name, message, f"find out which of the two is right, and {again}", about=other)


def files_shared(compared: Compared) -> Iterator[Finding]:
    """Branches that have some, but not all, of their weight files in common with one of another training.

    By the hub's hashes. A step of training changes every file, unless a part of the weights is frozen: a warning for
    models that build on another one by their card. Of branches with the same weights, one is compared.
    """
    models = compared.models
    by_weights: dict[str | None, str] = {}
    for name in sorted(models, key=lambda name: (models[name].is_alias, not models[name].is_of_run)):
        by_weights.setdefault(models[name].branch.weights, name)
    files = {name: _hashes(models[name]) for name in by_weights.values()}  # main last: another branch says more
    holders: dict[str, list[str]] = defaultdict(list)
    for name, hashes in files.items():
        for digest in hashes:
            holders[digest].append(name)
    for name in (name for name in models if name in files and not models[name].is_alias):
        branch = models[name]
        others = (_another(models, name, holders[digest]) for digest in files[name])
        if found := Counter(other for other in others if other is not None).most_common(1):
            [(other, _)] = found
            shared = [path for digest, path in files[name].items() if digest in files[other]]
            message = f"{len(shared)} of its {len(files[name])} weight files are also on {other}: "
            message += listed(shared, most=_SHOWN)
            yield Finding("tensors-shared", name, message, _SHARED_HINT, _level(branch, models[other]), about=other)


def _hashes(branch: BranchUnderCheck) -> dict[str, str]:
    """Return the files of weights that Transformers opens, by the hub's hashes."""
    return {branch.branch.digest(path): path for path in branch.branch.opened}


def _another(models: Mapping[str, BranchUnderCheck], name: str, holders: Iterable[str]) -> str | None:
    """Return the first of the branches that hold a file that is of another training."""
    return next((one for one in holders if models[one].training != models[name].training), None)


def _level(branch: BranchUnderCheck, other: BranchUnderCheck) -> Level:
    """Return a warning where equal parts may be intended: on a branch of no run, or on top of another model."""
    is_of_no_run = None in (branch.training, other.training)
    return "warning" if is_of_no_run or branch.repo.builds_on_a_model(branch.name) else "error"


def initial_weights_repeated(compared: Compared) -> Iterator[Finding]:
    """Two runs whose initial weights contradict their init_seed; a pair is reported once."""
    lineages: dict[str, Lineage] = {}
    for name, branch in compared.models.items():
        if branch.lineage is not None and (branch.repo.family is None or branch.is_of_run):
            yield from initial_findings(name, branch.lineage, lineages)
            lineages[name] = branch.lineage


def deep_findings(compared: Compared, shallow: list[Finding], progress: Progress) -> Iterator[Finding]:
    """Download the weights of all branches and check them; a branch without findings is loaded, too.

    Args:
        compared: the branches.
        shallow: the findings without the weights.
        progress: advances with each branch.
    """
    not_loaded = {finding.where for finding in shallow if finding.level != "warning"}
    untied = {finding.where for finding in shallow if finding.code == "tensors-untied"}
    prints: dict[str, Mapping[str, Fingerprint]] = {}
    folders: dict[str, Path] = {}
    with progress.start("weights", len(compared.models), "branch") as bar:
        for name, branch in compared.models.items():
            one = branch.branch
            try:
                folder = fetch(branch.repo.endpoint, branch.repo.repo_id, one.commit, one.opened, one.tree)
            except HubError as error:
                yield unread_finding(name, error, branch.again)
                continue
            findings = [replace(finding, where=name) for finding in _weights_wrong(branch, folder)]
            yield from findings or (() if name in not_loaded else loading_findings(name, folder))
            prints[name], folders[name] = fingerprints(folder), folder
            tensors = {tensor: print_.tensor for tensor, print_ in prints[name].items()}
            if name not in untied:
                yield from tied_findings(name, folder, tensors, is_ours=branch.is_ours)
            bar.advance(note=name)
    yield from _copies(compared, folders, prints, shallow)


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
    compared: Compared,
    folders: Mapping[str, Path],
    prints: Mapping[str, Mapping[str, Fingerprint]],
    shallow: Sequence[Finding],
) -> Iterator[Finding]:
    """Branches with the same numbers in other shards or dtypes, and matrices that trainings share; each pair once.

    Args:
        compared: the branches.
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
    models = compared.models
    casts = {name for name in _casts(prints, first) if models[name].repo.family is None}
    yield from _repeated(compared, {name: one for name, one in first.items() if name not in reported | casts})
    counts = Counter(first[name] for name in names if not models[name].is_alias)
    unique = [name for name in names if name not in reported and counts[first[name]] == 1 and not models[name].is_alias]
    for number, name in enumerate(unique):
        for other in unique[:number]:
            if models[name].training == models[other].training or frozenset((name, other)) in pairs:
                continue
            shared = shared_tensors(prints[name], prints[other])
            if shared and not _started_apart(models[name], models[other]):  # the edges of a matrix may be equal
                shared = equal_tensors(folders[name], folders[other], {one: one for one in shared})
            yield from shared_findings(name, shared, len(prints[name]), other, _level(models[name], models[other]))


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


def _started_apart(branch: BranchUnderCheck, other: BranchUnderCheck) -> bool:
    lineages = [one.lineage for one in (branch, other) if one.lineage is not None]
    return len(lineages) == 2 and have_different_starts(*lineages)
