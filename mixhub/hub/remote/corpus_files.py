"""Files of a dataset repo in RegMix's layout: listed with sizes and hashes, and downloaded one by one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mixhub.endpoint import Endpoint
from mixhub.errors import CorpusError, HubError
from mixhub.files import writing
from mixhub.formats import TEXT_FILE, Split
from mixhub.hub.remote.client import client, hub_errors
from mixhub.hub.remote.files import RemoteFile, local_file, same_content
from mixhub.workspace.lineage import DatasetPart

_FILE = re.compile(rf"(?P<split>train|valid)/{TEXT_FILE}")


@dataclass(frozen=True)
class CorpusFile:
    """A file of text in a dataset repo."""

    path: str
    """Path in the repo, and in the corpus."""
    split: Split
    domain: str
    """Without prefix."""
    number: int
    """Its number within the domain."""
    remote: RemoteFile


@dataclass(frozen=True)
class DatasetRepo:
    """A commit of a dataset repo, and its files of text."""

    repo_id: str
    commit: str
    files: tuple[CorpusFile, ...]
    """By split, domain and number."""

    def of_domain(self, split: Split, domain: str) -> list[CorpusFile]:
        """Return the files of a domain, in the order of their numbers."""
        return [file for file in self.files if (file.split, file.domain) == (split, domain)]

    def parts(self, chosen: Iterable[CorpusFile], split: Split) -> DatasetPart:
        """Return how many of the files of the domains in `chosen` are chosen."""
        own = [file for file in chosen if file.split == split]
        domains = {file.domain for file in own}
        total = sum(file.split == split and file.domain in domains for file in self.files)
        return DatasetPart(repo_id=self.repo_id, files=len(own), of=total)


def list_corpus(endpoint: Endpoint, repo_id: str, revision: str | None = None) -> DatasetRepo:
    """List the files of text of a dataset repo, with one request.

    Args:
        endpoint: the hub.
        repo_id: the dataset repo.
        revision: a branch, tag or commit; None: `main`.

    Raises:
        RepoNotFoundError, HubUnreachableError: the hub has no such repo, or does not answer.
        HubError: no such revision, or no access.
        CorpusError: the repo has no file of text in RegMix's layout.
    """
    from huggingface_hub import errors

    with hub_errors(endpoint, repo_id, revision):
        try:
            info = client(endpoint).dataset_info(repo_id, revision=revision, files_metadata=True)
        except errors.RevisionNotFoundError:
            message = f"{endpoint}: dataset {repo_id} has no revision {revision or 'main'}"
            fields = {"dataset": repo_id, "revision": revision or "main"}
            hint = "pass another --revision"
            raise HubError(message, code="dataset-revision-missing", hint=hint, **fields) from None
    files = []
    for one in info.siblings or ():
        if match := _FILE.fullmatch(one.rfilename):
            split = cast(Split, match["split"])
            remote = RemoteFile(one.size or 0, one.blob_id or "", one.lfs.sha256 if one.lfs else None)
            files.append(CorpusFile(one.rfilename, split, match["domain"], int(match["number"]), remote))
    if not files:
        message = f"{endpoint}: dataset {repo_id} has no file train/<domain>-<n>.jsonl"
        hint = "download it by other means, and convert it to this layout"
        raise CorpusError(message, code="dataset-layout", hint=hint, dataset=repo_id)
    files.sort(key=lambda file: (file.split, file.domain, file.number, file.path))
    return DatasetRepo(repo_id, str(info.sha), tuple(files))


def fetch_corpus_file(endpoint: Endpoint, repo: DatasetRepo, file: CorpusFile, staging: Path) -> Path:
    """Download a file into a staging folder, from where a killed download stopped, and compare it with the hub's hash.

    Raises:
        HubError: the hub refuses it, or sent other bytes than it lists.
        OSError: the disk is full.
    """
    from huggingface_hub import hf_hub_download

    options: dict[str, Any] = {"endpoint": endpoint.url, "token": endpoint.token, "local_dir": staging}
    with hub_errors(endpoint, repo.repo_id, repo.commit), writing(staging):
        path = Path(hf_hub_download(repo.repo_id, file.path, repo_type="dataset", revision=repo.commit, **options))
    if not same_content(local_file(path), file.remote):
        path.unlink()
        message = f"{endpoint}: sent other bytes of {file.path} than {repo.repo_id} lists at {repo.commit}"
        hint = "run it again; if it persists, a mirror or proxy in between is wrong"
        raise HubError(message, code="dataset-file-differs", hint=hint, dataset=repo.repo_id, file=file.path)
    return path
