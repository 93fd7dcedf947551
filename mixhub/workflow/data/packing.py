"""Packing text into token shards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.data.corpus import Corpus
from mixhub.endpoint import choose_hub_of_call
from mixhub.errors import HubError
from mixhub.progress import SILENT, Progress
from mixhub.workflow.inputs import WorkspaceLike, find_family, open_workspace
from mixhub.workspace.manifest import Manifest, required_domains

if TYPE_CHECKING:
    from mixhub.spec import Family


def pack(
    workspace: WorkspaceLike,
    *,
    family: str | Family | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    progress: Progress = SILENT,
) -> Manifest:
    """Pack the family's corpus into token shards; domains that are already packed stay as they are.

    Args:
        workspace: the workspace with the corpus.
        family: the family; None: the workspace's.
        tokenizer: folder of the tokenizer; None: download it from the family's repo, or train one if there is none.
        progress: counts bytes of text.

    Returns:
        The content of the shards.

    Raises:
        CorpusError: text is missing or malformed.
        HubError: the tokenizer cannot be downloaded.
    """
    from mixhub.data.pack import pack

    workspace = open_workspace(workspace)
    family = find_family(workspace, family)
    destination = workspace.tokens(family)
    Corpus.open(workspace.corpus(family)).require(required_domains(family))  # before any download
    folder = Path(tokenizer) if tokenizer is not None else None
    if folder is None and family.tokenizer.repo_id is not None:
        packed = destination / "tokenizer"
        folder = packed if packed.is_dir() else download_tokenizer(family.tokenizer.repo_id, progress)
    return pack(family, workspace.corpus(family), destination, tokenizer_folder=folder, progress=progress)


def download_tokenizer(repo_id: str, progress: Progress) -> Path:
    """Download a published tokenizer from HF_ENDPOINT or huggingface.co, not from the workspace's hub."""
    from mixhub.hub.remote.connect import open_hub
    from mixhub.hub.remote.fetch import fetch_tokenizer

    choice = choose_hub_of_call(None, None)
    progress.notice(f"tokenizer: {repo_id} from {choice}")
    try:
        with open_hub(choice, None) as endpoint:
            return fetch_tokenizer(endpoint, repo_id)
    except HubError as error:
        hint = "pass its folder: mixhub data pack --tokenizer DIR; or train one: tokenizer.repo_id: null"
        raise HubError(f"tokenizer {repo_id}: {error.message}", code=error.code, hint=hint) from None
