"""Whether token shards, and the text that they were made from, are as they were when they were packed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub.data.hashes import (
    TOKENIZER,
    changed_files,
    compared,
    packed_files,
    source_files,
    trained_files,
)
from mixhub.data.shards import pack_again
from mixhub.errors import CorpusError
from mixhub.findings import Finding
from mixhub.phrases import plural
from mixhub.progress import SILENT, Progress
from mixhub.workflow.inputs import WorkspaceLike, find_family, open_workspace
from mixhub.workspace.manifest import read_manifest

if TYPE_CHECKING:
    from mixhub.spec import Family
    from mixhub.workspace.paths import Workspace


@dataclass(frozen=True)
class VerifiedData:
    """A folder of token shards whose files were compared with the manifest."""

    tokens: Path
    """The folder of token shards."""
    files: int
    """Files that the manifest describes."""
    sources: int
    """Files of text that were compared too; 0 if there is no corpus."""
    findings: tuple[Finding, ...]
    """Errors: files of the folder that are not as they were packed. Warnings: files of the corpus that are not."""

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        own = {"tokens": str(self.tokens), "files": self.files, "sources": self.sources}
        return own | {"findings": [finding.to_data() for finding in self.findings]}


def verify_data(
    workspace: WorkspaceLike, *, family: str | Family | None = None, progress: Progress = SILENT
) -> VerifiedData:
    """Read every file of the token shards, and of the corpus if it is there, and compare it with the manifest.

    Args:
        workspace: the workspace with the token shards.
        family: the family whose corpus and tokenizer they have; None: the workspace's.
        progress: counts bytes.

    Raises:
        CorpusError: there are no token shards.
    """
    workspace = open_workspace(workspace)
    family = find_family(workspace, family)
    tokens, corpus = workspace.tokens(family), workspace.corpus(family)
    manifest = read_manifest(tokens)
    files, sources = packed_files(manifest), source_files(manifest) if corpus.is_dir() else {}
    changed = changed_files(tokens, files, workspace.hashed_tokens(family), again=True, progress=progress)
    findings = [_finding(tokens, name, fault) for name, fault in changed.items()]
    findings += sorted(_source_findings(corpus, sources, progress), key=lambda finding: finding.where)
    return VerifiedData(tokens, len(files), len(sources), tuple(findings))


def require_same_tokens(workspace: Workspace, family: Family, progress: Progress = SILENT) -> None:
    """Raise CorpusError if a file that training reads is not as it was packed.

    Files with the size and date that they had when they were last compared are not read again.
    """
    tokens = workspace.tokens(family)
    files = trained_files(read_manifest(tokens).for_family(family))
    changed = changed_files(tokens, files, workspace.hashed_tokens(family), progress=progress)
    if findings := [_finding(tokens, name, fault) for name, fault in changed.items()]:
        first, more = findings[0], len(findings) - 1
        message = f"{first.where}: {first.message}" + (f" (and {plural(more, 'more file')})" if more else "")
        paths = tuple(tokens / name for name in changed)
        raise CorpusError(message, code=first.code, hint=first.hint, path=paths[0], paths=paths)


def _finding(tokens: Path, name: str, fault: str) -> Finding:
    path, hint = str(tokens / name), f"restore it, or {pack_again(tokens)}"
    if name == TOKENIZER:
        return Finding("tokenizer-changed", path, f"the tokenizer of the shards {fault}", hint)
    return Finding("tokens-damaged", path, f"the shard {fault}", hint)


def _source_findings(corpus: Path, sources: dict[str, Any], progress: Progress) -> Iterator[Finding]:
    for name, fault in compared(corpus, sources, progress):
        if fault is not None:
            hint = "the token shards keep what was packed; restore the text to be able to pack it again"
            yield Finding("corpus-changed", str(corpus / name), f"the packed text {fault}", hint, "warning")
