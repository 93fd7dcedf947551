"""Which exports were read to their last byte and found to be without fault, so that no push reads them again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mixhub.files import FileState, file_states
from mixhub.hub.rules.export import ExportCheck
from mixhub.receipts import Store
from mixhub.spec.base import FrozenMap, Spec
from mixhub.workspace.lineage import Sha256, combined_sha256, file_sha256
from mixhub.workspace.paths import Workspace

CHECKS = 2
"""Changes when an export that passed before may fail."""


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

    @property
    def state(self) -> FileState:
        """What shows whether it has changed since."""
        return FileState(self.size, self.modified_ns, self.changed_ns)


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

    @classmethod
    def of(
        cls, content: ExportCheck, states: Mapping[str, FileState], *, loaded: bool, fault: str | None, errors: int
    ) -> CheckReceipt:
        """The receipt of a check.

        Args:
            content: the check of the folder, which found nothing.
            states: `file_states` from before it was read.
            loaded: whether it was loaded, too.
            fault: what was wrong then.
            errors: how many were found around it.
        """
        assert not content.findings
        files = {
            name: CheckedFile(
                size=state.size,
                modified_ns=state.modified_ns,
                changed_ns=state.changed_ns,
                digest=content.hashes[name],
            )
            for name, state in states.items()
        }
        return cls(
            checks=CHECKS,
            files=files,
            config=content.config,
            vocab_size=content.vocab_size,
            eos_token=content.eos_token,
            loaded=loaded,
            fault=fault,
            errors=errors,
        )

    @property
    def weights_sha256(self) -> str:
        """Hash of the weights (see `mixhub.workspace.lineage`)."""
        return combined_sha256(
            (name, file.digest) for name, file in self.files.items() if name.endswith(".safetensors")
        )

    def content(self) -> ExportCheck:
        """What the check of the folder gave."""
        hashes = {name: file.digest for name, file in self.files.items()}
        return ExportCheck((), hashes, self.weights_sha256, self.config, self.vocab_size, self.eos_token)

    def holds_for(self, export: Path) -> bool:
        """Whether a folder is as it was when it was checked, file by file; what is no weights is read again."""
        if self.checks != CHECKS or file_states(export) != {name: file.state for name, file in self.files.items()}:
            return False
        others = {name: file.digest for name, file in self.files.items() if not name.endswith(".safetensors")}
        return all(file_sha256(export / name) == digest for name, digest in others.items())


class CheckReceipts(Spec):
    """The content of `receipts/check.json`: by `weights_sha256`."""

    format: Literal[1] = 1
    """Version of this file's layout."""
    exports: FrozenMap[Sha256, CheckReceipt] = Field(default_factory=dict, validate_default=True)


def valid_receipt(workspace: Workspace, export: Path, weights_sha256: str) -> CheckReceipt | None:
    """The receipt of a folder with these weights, if the folder is as it was then; None if it must be read."""
    receipt = _store(workspace).read().exports.get(weights_sha256)
    if receipt is None or not receipt.holds_for(export):
        return None
    return receipt if receipt.weights_sha256 == weights_sha256 else None  # somebody may have written into it


def write_receipt(workspace: Workspace, receipt: CheckReceipt) -> None:
    """Notes an export whose files are without fault, unless the same is noted; several processes may do so at once.

    Raises:
        PermissionError: the receipts cannot be written.
    """
    store, weights = _store(workspace), receipt.weights_sha256
    if store.read().exports.get(weights) != receipt:
        with store.update() as data:
            data["exports"][weights] = receipt.to_data()


def _store(workspace: Workspace) -> Store[CheckReceipts]:
    return Store(workspace.check_receipts, CheckReceipts, workspace.lock("check-receipts"))
