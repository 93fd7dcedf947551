"""Which exports were read to their last byte and found to be without fault, so that no push reads them again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mixhub.files import locked, read_json, write_json
from mixhub.hub.rules.export import ExportCheck
from mixhub.spec.base import FrozenMap, Spec
from mixhub.workspace.lineage import Sha256, combined_sha256, file_sha256
from mixhub.workspace.paths import Workspace

CHECKS = 2
"""Changes when an export that passed before may fail."""

FileState = tuple[int, int, int]
"""Bytes of a file, and when its content and its inode changed last, nanoseconds."""


class CheckedFile(Spec):
    """A file as it was when it was read."""

    size: int
    """Bytes."""
    modified_ns: int
    """When its content changed last, nanoseconds."""
    changed_ns: int
    """When its inode changed last, nanoseconds: no write leaves that as it was."""
    digest: Sha256
    """sha256 of its content."""


class CheckReceipt(Spec):
    """One export without fault."""

    checks: int
    """What was looked for, as a number that grows."""
    files: FrozenMap[str, CheckedFile]
    """All files of the folder, by name."""
    config: FrozenMap[str, Any] = Field(default_factory=dict, validate_default=True)
    """What its model is made with (see `effective_config`), but for keys without a value."""
    vocab_size: int | None = None
    """How many ids its tokenizer has."""
    eos_token: str | None = None
    """The token that ends text."""
    loaded: bool
    """Whether it was loaded, too, and wrote text."""
    fault: str | None = None
    """What was wrong when it was loaded."""
    errors: int = 0
    """How many errors were found around it: beside other runs, in its recipe, its results, its card."""


class CheckReceipts(Spec):
    """The content of `receipts/check.json`: by `weights_sha256`."""

    format: Literal[1] = 1
    """Version of this file's layout."""
    exports: FrozenMap[Sha256, CheckReceipt] = Field(default_factory=dict, validate_default=True)


def read_receipt(workspace: Workspace, weights_sha256: str) -> CheckReceipt | None:
    """The receipt of some weights, whatever became of their folder since; None where there is none."""
    return _read(workspace).exports.get(weights_sha256)


def known_check(workspace: Workspace, export: Path, weights_sha256: str) -> ExportCheck | None:
    """What a check found, where the folder is as it was then, file by file; None where it must be read."""
    receipt = read_receipt(workspace, weights_sha256)
    if receipt is None or receipt.checks != CHECKS or file_states(export) != _known_states(receipt):
        return None
    hashes = {name: file.digest for name, file in receipt.files.items()}
    weights = {name: digest for name, digest in hashes.items() if name.endswith(".safetensors")}
    if combined_sha256(weights.items()) != weights_sha256 or any(
        file_sha256(export / name) != digest for name, digest in hashes.items() if name not in weights
    ):  # somebody wrote into the receipt
        return None
    return ExportCheck((), hashes, weights_sha256, receipt.config, receipt.vocab_size, receipt.eos_token)


def file_states(export: Path) -> dict[str, FileState]:
    """Size and dates of each file of a folder, by name; taken before it is read, so that a receipt does not hold for a
    file that changed meanwhile."""
    found = {}
    for path in sorted(export.rglob("*")):
        if path.is_file():
            status = path.stat()
            found[path.relative_to(export).as_posix()] = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return found


def write_receipt(
    workspace: Workspace,
    check: ExportCheck,
    states: Mapping[str, FileState],
    *,
    loaded: bool,
    fault: str | None = None,
    errors: int = 0,
) -> None:
    """Notes an export whose files are without fault; several processes may do so at once.

    Args:
        workspace: where it lies.
        check: what the check came to; it has found nothing.
        states: `file_states` from before the check.
        loaded: whether it was loaded, too.
        fault: what was wrong then.
        errors: how many were found around it.
    """
    assert not check.findings
    assert check.weights_sha256
    files = {
        name: CheckedFile(size=size, modified_ns=modified, changed_ns=changed, digest=check.hashes[name])
        for name, (size, modified, changed) in states.items()
    }
    receipt = CheckReceipt(
        checks=CHECKS,
        files=files,
        config=check.config,
        vocab_size=check.vocab_size,
        eos_token=check.eos_token,
        loaded=loaded,
        fault=fault,
        errors=errors,
    )
    with locked(workspace.lock("check-receipts"), f"{workspace.check_receipts} is being written", timeout=30):
        data = _read(workspace).to_data()
        data["exports"][check.weights_sha256] = receipt.to_data()
        write_json(workspace.check_receipts, data)


def _known_states(receipt: CheckReceipt) -> dict[str, FileState]:
    return {name: (file.size, file.modified_ns, file.changed_ns) for name, file in receipt.files.items()}


def _read(workspace: Workspace) -> CheckReceipts:
    path = workspace.check_receipts
    return CheckReceipts.from_data(read_json(path), str(path)) if path.is_file() else CheckReceipts()
