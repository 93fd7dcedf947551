"""Exports that were read completely without a finding, so that a push does not read them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mixhub.files import FileState, file_states
from mixhub.hub.rules.export import ExportCheck
from mixhub.receipts import Store
from mixhub.spec.base import FrozenMap, Spec
from mixhub.workspace.lineage import Sha256, combined_sha256, file_sha256
from mixhub.workspace.paths import Workspace

CHECKS = 3
"""Increase it when an export that passed earlier may fail now."""


class CheckedFile(Spec):
    """A file as it was when read."""

    size: int
    """Bytes."""
    modified_ns: int
    """Last change of its content, nanoseconds."""
    changed_ns: int
    """Last change of its inode, nanoseconds; every write changes it."""
    digest: Sha256
    """sha256 of its content."""


class CheckReceipt(Spec):
    """One export without a finding."""

    checks: int
    """Version of the checks, a number that grows."""
    files: FrozenMap[str, CheckedFile]
    """All files of the folder, by name."""
    config: FrozenMap[str, Any] = Field(default_factory=dict, validate_default=True)
    """The config of its model (see `known_config`)."""
    vocab_size: int | None = None
    """Number of ids of its tokenizer."""
    eos_token: str | None = None
    """Token that ends text."""
    loaded: bool
    """Whether it was also loaded, and generated text."""
    fault: str | None = None
    """Error from loading it."""
    errors: int = 0
    """Number of errors outside of the folder: in other runs, recipe, results, card."""

    @classmethod
    def of(
        cls, content: ExportCheck, states: Mapping[str, FileState], *, loaded: bool, fault: str | None, errors: int
    ) -> CheckReceipt:
        """Return the receipt of a check without findings in the folder; `states` are from before it was read."""
        assert not content.findings
        files = {name: {**asdict(state), "digest": content.hashes[name]} for name, state in states.items()}
        facts = {key: getattr(content, key) for key in ("config", "vocab_size", "eos_token")}
        return cls.model_validate(
            {"checks": CHECKS, "files": files, **facts, "loaded": loaded, "fault": fault, "errors": errors}
        )

    def content(self) -> ExportCheck:
        """Return the result of checking the folder."""
        hashes = {name: file.digest for name, file in self.files.items()}
        weights = combined_sha256((name, digest) for name, digest in hashes.items() if name.endswith(".safetensors"))
        return ExportCheck((), hashes, weights, self.config, self.vocab_size, self.eos_token)

    def holds_for(self, export: Path) -> bool:
        """Whether a folder is as it was when it was checked; files that are not weights are read again."""
        states = {name: FileState(file.size, file.modified_ns, file.changed_ns) for name, file in self.files.items()}
        return (self.checks, states) == (CHECKS, file_states(export)) and all(
            name.endswith(".safetensors") or file_sha256(export / name) == file.digest
            for name, file in self.files.items()
        )


class CheckReceipts(Spec):
    """The content of `receipts/check.json`: by `weights_sha256`."""

    format: Literal[1] = 1
    """Version of this file's layout."""
    exports: FrozenMap[Sha256, CheckReceipt] = Field(default_factory=dict, validate_default=True)


def valid_receipt(workspace: Workspace, export: Path, weights_sha256: str) -> CheckReceipt | None:
    """Return the receipt of a folder with these weights; None if the folder changed, so that it must be read."""
    receipt = _store(workspace).read().exports.get(weights_sha256)
    if receipt is None or not receipt.holds_for(export):
        return None
    return receipt if receipt.content().weights_sha256 == weights_sha256 else None  # somebody may have edited it


def write_receipt(workspace: Workspace, receipt: CheckReceipt) -> None:
    """Note an export without findings, unless the same is noted; several processes may do so at once.

    Raises:
        OSError: the receipts cannot be written.
    """
    store, weights = _store(workspace), str(receipt.content().weights_sha256)
    if store.read().exports.get(weights) != receipt:
        with store.update() as data:
            data["exports"][weights] = receipt.to_data()


def _store(workspace: Workspace) -> Store[CheckReceipts]:
    return Store(workspace.check_receipts, CheckReceipts, workspace.lock("check-receipts"))
