"""Packing text into token shards."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.data.corpus import Reading
from mixhub.data.packing.building import WHOLE, Part
from mixhub.data.tokenizer import TOKENIZER_FILE, TOKENIZER_FOLDER
from mixhub.endpoint import choose_hub_of_call
from mixhub.errors import HubError
from mixhub.progress import SILENT, Progress
from mixhub.workflow.inputs import WorkspaceLike, find_family, open_workspace
from mixhub.workspace.manifest import Manifest, read_manifest

if TYPE_CHECKING:
    from mixhub.spec import Family


@dataclass(frozen=True)
class PackOptions:
    """How text is read and packed."""

    text_key: str = "text"
    """Key of the text in a line of JSON, or column of a parquet file."""
    valid_fraction: float | None = None
    """Share of the training documents that is held out, in domains without files in `valid/`."""
    skip_bad: bool = False
    """Whether to skip and count broken rows; otherwise the first is an error."""
    workers: int | None = None
    """Number of processes; None: one for each core. A small corpus is packed without."""


def pack(
    workspace: WorkspaceLike,
    *,
    family: str | Family | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    options: PackOptions = PackOptions(),
    progress: Progress = SILENT,
) -> Manifest:
    """Pack the family's corpus into token shards; domains that are already packed stay as they are.

    A pack that was stopped goes on with the files that are not finished. Large corpora are packed by several
    processes, so a script that calls this needs `if __name__ == "__main__"`.

    Args:
        workspace: the workspace with the corpus.
        family: the family; None: the workspace's.
        tokenizer: folder of the tokenizer; None: download it from the family's repo, or train one if there is none.
        options: how to read the text, and how many processes share the work.
        progress: counts bytes of text.

    Returns:
        The content of the shards.

    Raises:
        UsageError: an option is out of range.
        CorpusError: text is missing or malformed.
        HubError: the tokenizer cannot be downloaded.
        WorkspaceError: another process packs the same corpus.
    """
    manifest = _pack(workspace, WHOLE, family, tokenizer, options, progress)
    assert manifest is not None  # there is no other part
    return manifest


def pack_shard(
    workspace: WorkspaceLike,
    shard: str,
    *,
    family: str | Family | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    options: PackOptions = PackOptions(),
    progress: Progress = SILENT,
) -> Manifest | None:
    """Pack one part of the files as `pack` does, and leave the others to other calls; the last completes the tokens.

    Args:
        workspace: the workspace with the corpus.
        shard: `i/n`: the i-th of n parts, which have about the same number of bytes.
        family: as in `pack`, like the other arguments.
        tokenizer: as in `pack`.
        options: as in `pack`.
        progress: as in `pack`.

    Returns:
        The content of the shards; None if other parts are not finished.

    Raises:
        UsageError: `shard` is not such a part.
        WorkspaceError: another process packs the same part.
    """
    return _pack(workspace, Part.parse(shard), family, tokenizer, options, progress)


def _pack(
    workspace: WorkspaceLike,
    part: Part,
    family: str | Family | None,
    tokenizer: str | os.PathLike[str] | None,
    options: PackOptions,
    progress: Progress,
) -> Manifest | None:
    from mixhub.data.hashes import packed_files, remember_files
    from mixhub.data.packing.pack import pack, require_text

    workspace = open_workspace(workspace)
    family = find_family(workspace, family)
    corpus, destination = workspace.corpus(family), workspace.tokens(family)
    reading = Reading(options.text_key, options.valid_fraction, options.skip_bad)
    require_text(family, corpus, destination, reading)  # before any download
    folder = Path(tokenizer) if tokenizer is not None else None
    if folder is None and not destination.exists():  # tokens that exist have their own
        folder = find_tokenizer(family, destination, progress)
    before = packed_files(read_manifest(destination)) if destination.exists() else {}
    manifest = pack(
        family,
        corpus,
        destination,
        part=part,
        tokenizer_folder=folder,
        reading=reading,
        workers=options.workers,
        progress=progress,
    )
    if manifest is not None:
        new = {name: file for name, file in packed_files(manifest).items() if name not in before}
        remember_files(destination, new, workspace.hashed_tokens(family))
    return manifest


def find_tokenizer(family: Family, tokens: Path, progress: Progress) -> Path | None:
    """Return the folder of a family's tokenizer: that of its tokens, or a downloaded one; None if it is not trained."""
    folder, repo_id = tokens / TOKENIZER_FOLDER, family.tokenizer.repo_id
    if (folder / TOKENIZER_FILE).is_file():
        return folder
    return None if repo_id is None else _download_tokenizer(repo_id, progress)


def _download_tokenizer(repo_id: str, progress: Progress) -> Path:
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
