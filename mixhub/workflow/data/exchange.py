"""Token files of other tools: importing and exporting."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.errors import CorpusError
from mixhub.progress import SILENT, Progress
from mixhub.workflow.data.packing import find_tokenizer
from mixhub.workflow.inputs import WorkspaceLike, find_family, open_workspace

if TYPE_CHECKING:
    from mixhub.data.exchange.exports import Exported
    from mixhub.data.exchange.imports import Imported, ImportOptions
    from mixhub.spec import Family
    from mixhub.workspace.manifest import Split, TokenFormat


def import_tokens(
    workspace: WorkspaceLike,
    files: Sequence[str | os.PathLike[str]],
    *,
    domain: str,
    tokenizer: str | os.PathLike[str],
    split: Split = "train",
    options: ImportOptions | None = None,
    family: str | Family | None = None,
    progress: Progress = SILENT,
) -> Imported:
    """Make a domain of the family's token shards from token files of other tools, a shard for each file.

    Args:
        workspace: the workspace.
        files: the files, in the order of the domain's tokens.
        domain: name of the domain, without prefix.
        tokenizer: the tokenizer that made the ids: its folder, or the name or repo_id that the family gives it.
        split: `train` or `valid`.
        options: how the files are read; None: by their names and first bytes.
        family: the family; None: the workspace's.
        progress: counts tokens.

    Returns:
        The domain, and what the files do not record.

    Raises:
        CorpusError: a file is damaged or does not fit the tokenizer, or the domain exists.
        UnknownNameError: the family does not read the domain, or there is no such format.
        HubError: the tokenizer cannot be downloaded.
    """
    from mixhub.data.exchange.imports import ImportOptions, import_tokens

    workspace = open_workspace(workspace)
    family = find_family(workspace, family)
    return import_tokens(
        family,
        workspace.tokens(family),
        [Path(file) for file in files],
        domain=(split, domain),
        tokenizer=_given_tokenizer(family, workspace.tokens(family), tokenizer, progress),
        options=options or ImportOptions(),
        progress=progress,
    )


def _given_tokenizer(family: Family, tokens: Path, name: str | os.PathLike[str], progress: Progress) -> Path:
    """Return the folder of a tokenizer, which is downloaded if it is the family's and not here."""
    folder, spec = Path(name), family.tokenizer
    if folder.is_dir():
        return folder
    if os.fspath(name) not in (spec.name, spec.repo_id):
        message = (
            f"--tokenizer {name}: no such folder, and the tokenizer of {family.name} is {spec.repo_id or spec.name}"
        )
        raise CorpusError(message, code="tokens-differ", key="tokenizer", packed=os.fspath(name), wanted=spec.name)
    if (own := find_tokenizer(family, tokens, progress)) is None:
        message = f"{tokens}: no tokenizer {spec.name} yet"
        raise CorpusError(message, code="tokens-missing", hint="pass the folder of the tokenizer", path=tokens)
    return own


def export_tokens(
    workspace: WorkspaceLike,
    to: str | os.PathLike[str],
    *,
    format: TokenFormat,
    domains: Sequence[str] | None = None,
    split: Split | None = None,
    family: str | Family | None = None,
    progress: Progress = SILENT,
) -> Exported:
    """Write the family's token shards as files of another tool, into a new folder.

    Args:
        workspace: the workspace with the token shards.
        to: a new or empty folder.
        format: name of the format: `megatron`, `datatrove`, `parquet`, `olmo`, `llm.c`, `litgpt` or `regmix`.
        domains: names of domains, without prefix; None: all that are packed.
        split: `train` or `valid`; None: both.
        family: the family; None: the workspace's.
        progress: counts tokens.

    Returns:
        What was written, and what the format does not hold.

    Raises:
        CorpusError: there are no tokens, or shards are damaged.
        UnknownNameError: there is no such format or domain.
        WorkspaceError: the folder is not empty.
    """
    from mixhub.data.exchange.exports import export_tokens

    workspace = open_workspace(workspace)
    family = find_family(workspace, family)
    tokens = workspace.tokens(family)
    return export_tokens(family, tokens, Path(to), format=format, domains=domains, split=split, progress=progress)
