"""Text becomes token shards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.data.corpus import Corpus
from mixhub.endpoint import choose_hub
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
    """Tokenizes the family's corpus into shards; what is packed already is left alone.

    Args:
        workspace: where the corpus lies.
        family: the family; None: the workspace's.
        tokenizer: a folder with its tokenizer; None: it is downloaded from the repo that the family names; if the
            family names none, one is trained on the corpus.
        progress: shows the files.

    Returns:
        What the shards hold.

    Raises:
        CorpusError: text is missing or malformed.
        HubError: the tokenizer cannot be downloaded.
    """
    from mixhub.data.pack import pack

    workspace = open_workspace(workspace)
    family = find_family(workspace, family)
    destination = workspace.tokens(family)
    Corpus.open(workspace.corpus(family)).require(required_domains(family))  # before anything is asked of a hub
    folder = Path(tokenizer) if tokenizer is not None else None
    if folder is None and family.tokenizer.repo_id is not None:
        packed = destination / "tokenizer"
        folder = packed if packed.is_dir() else download_tokenizer(family.tokenizer.repo_id, progress)
    return pack(family, workspace.corpus(family), destination, tokenizer_folder=folder, progress=progress)


def download_tokenizer(repo_id: str, progress: Progress) -> Path:
    """A published tokenizer lies where the family's authors put it, not on the workspace's own hub."""
    from mixhub.hub.remote.connect import open_hub
    from mixhub.hub.remote.fetch import fetch_tokenizer

    choice = choose_hub(None, {"HF_ENDPOINT": os.environ.get("HF_ENDPOINT", "")}, None)
    progress.notice(f"tokenizer: {repo_id} from {choice}")
    try:
        with open_hub(choice, None) as endpoint:
            return fetch_tokenizer(endpoint, repo_id)
    except HubError as error:
        raise HubError(
            f"tokenizer {repo_id}: {error.message}",
            code=error.code,
            hint="give its folder: mixhub data pack --tokenizer DIR; or have one trained: tokenizer.repo_id: null",
            repo_id=repo_id,
        ) from None
