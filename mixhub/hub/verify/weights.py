"""Weights, index, config and tokenizer of a branch, from its small files and the first bytes of the large ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mixhub.errors import HubError
from mixhub.findings import Finding, from_error
from mixhub.hub.rules.config import CONFIG, code_findings
from mixhub.hub.rules.tensors import dtype_findings, index_findings, shape_findings, stored_findings
from mixhub.hub.rules.tokenizer import token_findings
from mixhub.hub.verify.files import CONFIGS
from mixhub.hub.verify.subject import BranchUnderCheck
from mixhub.phrases import listed

AGAIN = "push it again from its export"
_SHOWN = 3
"""Files that a line shows."""


def shards_missing(branch: BranchUnderCheck) -> Iterator[Finding]:
    """The files that the weights consist of, and no other."""
    if not branch.branch.safetensors:
        return
    if branch.weights.problem is not None:
        yield from_error(branch.weights.problem, branch.name, hint=AGAIN)
        return
    missing, extra = _missing(branch), _extra(branch)
    if missing:
        yield Finding("shard-missing", branch.name, f"lacks {listed(missing, most=_SHOWN)}", AGAIN, about=missing[0])
    if extra:
        message = f"has, beside its weights, {listed(extra, most=_SHOWN)}"
        yield Finding("shard-foreign", branch.name, message, AGAIN, about=extra[0])


def weights_malformed(branch: BranchUnderCheck) -> Iterator[Finding]:
    """Each file is safetensors, as long as its header says."""
    if branch.branch.safetensors:
        for path, error in branch.weights.broken.items():
            said = f"{path} cannot be read: {error.message}" if isinstance(error, HubError) else error.message
            yield Finding(error.code, branch.name, said, AGAIN, about=path)


def tensors_differ(branch: BranchUnderCheck) -> Iterator[Finding]:
    """Tensors beside index and `config.json`, if all files of the weights can be read."""
    weights, folder = branch.weights, branch.branch.folder
    if not branch.branch.safetensors or _missing(branch) or _extra(branch) or len(weights.shards) < len(weights.named):
        return
    if weights.index is not None:
        yield from index_findings(branch.name, weights.index, weights.shards)
    if branch.is_ours:
        yield from dtype_findings(branch.name, weights.tensors)
        yield from stored_findings(branch.name, folder, weights.tensors)
        if branch.branch.weights_sha256 is None:
            message = "its weights are no large files, so that the hub tells no hash of them"
            yield Finding("weights-hash-missing", branch.name, message, AGAIN)
    if CONFIG in branch.branch.tree:
        yield from shape_findings(branch.name, folder, weights.tensors, strict=branch.is_ours)


def config_unfit(branch: BranchUnderCheck) -> Iterator[Finding]:
    """No config asks for custom code, and the tokenizer fits; warnings for what others pushed."""
    found = [*code_findings(branch.name, branch.branch.folder)]
    if all(name in branch.branch.tree for name in CONFIGS):
        found += token_findings(branch.name, branch.branch.folder)
    for finding in found:
        yield finding if branch.is_ours else replace(finding, level="warning")


def _missing(branch: BranchUnderCheck) -> list[str]:
    return [path for path in branch.weights.named if path not in branch.branch.tree]


def _extra(branch: BranchUnderCheck) -> list[str]:
    return [path for path in branch.branch.safetensors if path not in branch.weights.named]
