"""What a family takes from elsewhere: its tokenizer."""

from __future__ import annotations

from pathlib import Path

from mixhub.endpoint import Endpoint
from mixhub.hub.client import translated

_TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt"]


def fetch_tokenizer(endpoint: Endpoint, repo_id: str) -> Path:
    """Folder of a repo's tokenizer, from the cache where it is there.

    Raises:
        RepoNotFoundError, HubUnreachableError: the hub has no such repo, or does not answer.
    """
    from huggingface_hub import snapshot_download

    with translated(endpoint, repo_id):
        folder = snapshot_download(
            repo_id,
            endpoint=endpoint.url,
            token=endpoint.token,
            cache_dir=endpoint.cache_dir,
            allow_patterns=_TOKENIZER_FILES,
        )
    return Path(str(folder))
