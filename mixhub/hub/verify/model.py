"""The model of a branch: lineage, recipe, weights, config and tokenizer.

Reads the small files, and the first bytes of the large ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from mixhub.errors import HubError, MixhubError
from mixhub.findings import Finding, Level, from_error
from mixhub.hub.remote.client import read_bytes
from mixhub.hub.remote.files import METRICS
from mixhub.hub.rules.config import CONFIG, code_findings, known_config, names_code
from mixhub.hub.rules.family import model_findings
from mixhub.hub.rules.lineage import hash_findings, lineage_findings, recipe_findings
from mixhub.hub.rules.tensors import dtype_findings, index_findings, shape_findings, tied_findings
from mixhub.hub.rules.tokenizer import size_and_end, stored_sha256, token_findings
from mixhub.hub.rules.weights import Tensor
from mixhub.hub.verify.subject import AGAIN, BranchUnderCheck, unread_finding
from mixhub.workspace.export import (
    TRAIN_CONFIG_FILE,
    WEIGHTS_INDEX_FILE,
    WeightsIndex,
    WeightsProblem,
    has_usual_name,
    opened_weights,
    weights_problems,
)
from mixhub.workspace.metrics import read_metrics

_COMPARED = 4096
"""Bytes of tied tensors that are compared."""


def lineage_differs(branch: BranchUnderCheck) -> Iterator[Finding]:
    """A lineage that is malformed, or contradicts files, run or family; and a model that differs from the family."""
    lineage, family, folder = branch.lineage, branch.repo.family, branch.branch.folder
    if isinstance(branch.read_lineage, MixhubError):
        yield from_error(branch.read_lineage, branch.name, code="lineage-malformed")
    if lineage is None:
        return
    path = folder / "tokenizer.json"
    digest = stored_sha256(path) if path.is_file() else None
    yield from hash_findings(branch.name, lineage, branch.branch.weights_sha256, digest, AGAIN)
    meaning = branch.meaning
    if family is not None and meaning is not None and meaning.run is not None:
        yield from lineage_findings(branch.name, family, meaning.run, meaning.step, lineage, AGAIN)
    yield from recipe_findings(branch.name, folder / TRAIN_CONFIG_FILE, lineage, family, branch.run)
    if family is not None and branch.run is not None:
        for finding in model_findings(branch.name, family, known_config(folder), *size_and_end(folder)):
            is_code = finding.code == "architecture-unusable" and names_code(folder)  # which is not run here
            yield replace(finding, level="unchecked") if is_code else finding


def metrics_malformed(branch: BranchUnderCheck) -> Iterator[Finding]:
    """Metrics of a branch of ours that cannot be read."""
    if branch.is_ours:
        try:
            read_metrics(branch.branch.folder / METRICS)
        except MixhubError as error:
            yield from_error(error, branch.name, hint="push it again from where the model was trained")


def weights_malformed(branch: BranchUnderCheck) -> Iterator[Finding]:
    """Missing, foreign or malformed files of weights; if there are none, tensors that contradict index or config."""
    where, tree, folder = branch.name, branch.branch.tree, branch.branch.folder
    if not branch.branch.safetensors:
        return
    try:
        index = WeightsIndex.read(folder) if WEIGHTS_INDEX_FILE in tree else None
        problems = list(weights_problems(folder, tree))
        names = [path for path in opened_weights(folder, tree) if path.endswith(".safetensors")]
    except MixhubError as error:
        yield from_error(error, where, hint=branch.again)
        return
    yield from _file_findings(branch, problems)
    shards: dict[str, Mapping[str, Tensor]] = {}
    for path in (path for path in names if path in tree):
        header = branch.repo.headers[branch.branch.digest(path)]
        if isinstance(header, MixhubError):
            yield unread_finding(where, header, branch.again, path)
        else:
            shards[path] = header
    if not names or len(shards) < len(names):
        return
    tensors = {name: tensor for shard in shards.values() for name, tensor in shard.items()}
    if index is not None and index.shards == names:
        yield from index_findings(where, index, shards)
    dtypes = list(dtype_findings(where, folder, tensors))
    if branch.is_ours:
        yield from dtypes
    else:  # others may quantise
        yield from (replace(one, level="warning") for one in dtypes if one.code == "dtype-differs")
    if branch.is_ours and branch.branch.weights_sha256 is None:
        message = "its weights are not stored as large files, so the hub states no hash for them"
        yield Finding("weights-hash-missing", where, message, AGAIN)
    if CONFIG in tree:
        yield from shape_findings(where, folder, tensors, is_ours=branch.is_ours)
        yield from _untied_findings(branch, tensors, shards)


def _untied_findings(
    branch: BranchUnderCheck, tensors: Mapping[str, Tensor], shards: Mapping[str, Mapping[str, Tensor]]
) -> Iterator[Finding]:
    """As `tied_findings`, by a few numbers in the middle of the tensors; with `--deep` all are compared."""

    def middle(name: str) -> bytes:
        [path] = [path for path, shard in shards.items() if name in shard][:1]
        names = list(shards[path])  # in the order of their bytes, up to the end of the file
        after = sum(shards[path][other].size for other in names[names.index(name) :])
        start = branch.branch.tree[path].size - after + tensors[name].size // 2
        count = min(_COMPARED, tensors[name].size - tensors[name].size // 2)
        return read_bytes(branch.repo.endpoint, branch.repo.repo_id, branch.branch.commit, path, count, start)

    def are_equal(name: str, source: str) -> bool:
        one, other = tensors[name], tensors[source]
        is_comparable = (one.dtype, one.shape) == (other.dtype, other.shape)
        return not is_comparable or middle(name) == middle(source)

    try:
        folder, is_ours = branch.branch.folder, branch.is_ours
        yield from tied_findings(branch.name, folder, tensors, is_ours=is_ours, are_equal=are_equal)
    except HubError as error:
        yield unread_finding(branch.name, error, branch.again)


def _file_findings(branch: BranchUnderCheck, problems: Iterable[WeightsProblem]) -> Iterator[Finding]:
    """Problems of the names of files; other layouts beside a model of others, such as `consolidated.safetensors`."""
    for problem in problems:
        files = list(problem.files)
        level: Level = "error"
        if not branch.is_ours:
            if problem.code == "shard-foreign":
                files, level = [path for path in files if has_usual_name(path)], "warning"
                if not files:
                    continue
            elif problem.code == "weights-missing" and not any(has_usual_name(path) for path in files):
                level = "unchecked"
            elif problem.code == "weights-ambiguous":
                index = WeightsIndex.read(branch.branch.folder)
                level = "error" if {*index.shards} & {*branch.branch.tree} else "warning"
        about = next(iter(files), "")
        yield Finding(problem.code, branch.name, problem.what, branch.again, level, about=about)


def config_unfit(branch: BranchUnderCheck) -> Iterator[Finding]:
    """Custom code in a config, and a tokenizer that does not fit.

    For what others pushed these are warnings, unless Transformers gives a text other ids than the tokenizer.
    """
    findings = [*code_findings(branch.name, branch.branch.folder)]
    if {"tokenizer.json", CONFIG} <= {*branch.branch.tree}:
        findings += token_findings(branch.name, branch.branch.folder)
    for finding in findings:
        is_fault = branch.is_ours and not (finding.code == "code-required" and _states_code(branch))
        is_error = is_fault or finding.code == "tokenizer-rebuilt" or finding.level != "error"
        yield finding if is_error else replace(finding, level="warning")


def _states_code(branch: BranchUnderCheck) -> bool:
    """Whether the family of a branch states the custom code that its config names."""
    family = branch.repo.family
    return family is not None and "auto_map" in family.architecture.config


BRANCH_RULES = (lineage_differs, metrics_malformed, weights_malformed, config_unfit)
