"""Downloading the text of a family from a dataset repo."""

from __future__ import annotations

import math
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.endpoint import choose_hub_of_call
from mixhub.errors import CorpusError, UnknownNameError, UsageError
from mixhub.files import locked, write_json
from mixhub.phrases import plural, size
from mixhub.progress import SILENT, Progress
from mixhub.workflow.inputs import WorkspaceLike, find_family, open_workspace
from mixhub.workspace.downloads import DOWNLOAD_FILE, DownloadedFile, DownloadRecord, read_downloads
from mixhub.workspace.lineage import DatasetPart
from mixhub.workspace.manifest import SPLITS, Domains, Split, required_domains

if TYPE_CHECKING:
    from mixhub.endpoint import Endpoint
    from mixhub.hub.remote.corpus_files import CorpusFile, DatasetRepo
    from mixhub.spec import Family

BYTES_PER_TOKEN = 5.0
"""Bytes of a file of text for each token: a guess on the high side, so that files suffice; English takes fewer."""
MARGIN = 1.1
"""Text to take for each needed byte: tails of chunks are lost, and the files of a domain differ."""
_STAGING = ".download"


@dataclass(frozen=True)
class Download:
    """What was downloaded, or would be."""

    repo_id: str
    commit: str
    """The commit that the revision names; all files are of it."""
    hub: str
    folder: Path
    """The corpus."""
    files: tuple[CorpusFile, ...]
    """The files that the corpus needs."""
    missing: tuple[CorpusFile, ...]
    """Those that were not there before."""
    free: int
    """Free bytes of the disk, before."""
    train: DatasetPart
    """How many of the dataset's files of training text these are."""
    short: tuple[str, ...] = ()
    """Domains that have less text than the budget needs, by the estimate."""

    @property
    def needed(self) -> int:
        """Bytes to download."""
        return sum(file.remote.size for file in self.missing)


@dataclass(frozen=True)
class Wanted:
    """Which files to download."""

    repo: str | None = None
    """Dataset repo; None: the one that the family names."""
    revision: str | None = None
    """Branch, tag or commit; None: `main`."""
    domains: Sequence[str] = ()
    """Domains, without prefix; empty: those that the family reads."""
    for_budget: bool = False
    """Take only as many training files of each domain as the family's budget needs."""
    subset: bool = False
    """Allow a part of the files although the order of the family depends on all."""


def download_data(
    workspace: WorkspaceLike,
    wanted: Wanted | None = None,
    *,
    family: str | Family | None = None,
    hub: str | None = None,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Download:
    """Download text in RegMix's layout into the family's corpus; files that are there already stay.

    A killed download goes on where it stopped. Each file is compared with the hub's hash before it enters the corpus.

    Args:
        workspace: the workspace.
        wanted: which files; None: all files of the domains that the family reads.
        family: the family; None: the workspace's.
        hub: the hub of the dataset, `local` or an address; None: HF_ENDPOINT or huggingface.co.
        dry_run: only list the files.
        progress: counts bytes.

    Raises:
        UsageError: there is no dataset to download, or a part of the files would change the order.
        UnknownNameError: the dataset has no such domain.
        CorpusError: the dataset lacks a domain, another file has the name of one, or the disk is too small.
        HubError: the hub does not send it.
    """
    from mixhub.hub.remote.connect import open_hub
    from mixhub.hub.remote.corpus_files import list_corpus

    workspace, wanted = open_workspace(workspace), wanted or Wanted()
    family = find_family(workspace, family)
    repo_id = wanted.repo or family.data.dataset
    if repo_id is None:
        hint = "pass --repo OWNER/NAME"
        raise UsageError(f"{family.name} names no dataset (data.dataset)", code="option-missing", hint=hint)
    if wanted.subset and not wanted.for_budget:
        raise UsageError("--subset needs --for", code="option-missing", hint="add --for FAMILY", option="--for")
    folder = workspace.corpus(family)
    choice = choose_hub_of_call(hub, None, asked_by="--hub")
    with (
        locked(workspace.lock(f"download.{family.data.corpus}"), f"{folder} is being downloaded"),
        open_hub(choice, workspace) as endpoint,
    ):
        progress.notice(f"dataset: {repo_id} on {choice}")
        repo = list_corpus(endpoint, repo_id, wanted.revision)
        limits = _bytes_needed(family) if wanted.for_budget else {}
        files = _chosen(repo, _domains(repo, family, wanted.domains), limits)
        train = repo.parts(files, "train")
        if family.training.order == "regmix" and train.files < train.of and not wanted.subset:
            raise _needs_subset(family, train)
        record = read_downloads(folder)
        missing = tuple(file for file in files if not _is_there(folder, file, record))
        free = shutil.disk_usage(next(one for one in (folder, *folder.parents) if one.is_dir())).free
        short = tuple(domain for domain, limit in limits.items() if _train_bytes(files, domain) < limit)
        plan = Download(repo_id, repo.commit, str(endpoint), folder, tuple(files), missing, free, train, short)
        _require_space(plan)
        if not dry_run:
            _fetch(endpoint, repo, plan, record, progress)
    return plan


def _chosen(repo: DatasetRepo, domains: Domains, limits: Mapping[str, float]) -> list[CorpusFile]:
    """Return the files to have: with limits, of each training domain only as many as reach its bytes."""
    files = []
    for split in SPLITS:
        for domain in domains[split]:
            limit = limits.get(domain, 0.0) if split == "train" and limits else math.inf
            files += _first_files(repo.of_domain(split, domain), limit)
    return files


def _train_bytes(files: Sequence[CorpusFile], domain: str) -> float:
    """Return the bytes of a domain's training files; infinite if none is chosen."""
    return sum(file.remote.size for file in files if (file.split, file.domain) == ("train", domain)) or math.inf


def _first_files(files: Sequence[CorpusFile], limit: float) -> list[CorpusFile]:
    """Return the first files, at least one, whose sizes sum to `limit` bytes."""
    taken: list[CorpusFile] = []
    total = 0
    for file in files:
        if taken and total >= limit:
            break
        taken.append(file)
        total += file.remote.size
    return taken


def _bytes_needed(family: Family) -> dict[str, float]:
    """Return the bytes of text that the budget needs of each domain, by the run that needs most of it."""
    needed: dict[str, float] = {}
    for run in family.runs():
        for key, share in run.mixture.shares.items():
            domain = key.removeprefix(family.data.train_prefix)
            needed[domain] = max(needed.get(domain, 0.0), share * family.training.tokens)
    return {domain: tokens * BYTES_PER_TOKEN * MARGIN for domain, tokens in needed.items()}


def _domains(repo: DatasetRepo, family: Family, names: Sequence[str]) -> Domains:
    """Return the domains to download, by split: the named ones that a split has, or those that the family reads."""
    available: Mapping[Split, list[str]] = {
        split: sorted({file.domain for file in repo.files if file.split == split}) for split in SPLITS
    }
    if names:
        prefixes = (family.data.train_prefix, family.data.valid_prefix)
        every = sorted({domain for domains in available.values() for domain in domains})
        chosen = [_without_prefix(name, prefixes, every) for name in names]
        for name in chosen:
            if name not in every:
                raise UnknownNameError("domain", name, every, where=f"dataset {repo.repo_id}")
        return {split: [domain for domain in available[split] if domain in chosen] for split in SPLITS}
    required = required_domains(family)
    missing = [(split, one) for split in SPLITS for one in required[split] if one not in available[split]]
    if missing:
        lines = [f"dataset {repo.repo_id} has no file {split}/{domain}-<n>.jsonl" for split, domain in missing]
        hint = "pass --domain for the domains that it has, and add text for the others"
        raise CorpusError("\n".join(lines), code="domains-missing", hint=hint, missing=tuple(missing))
    return required


def _without_prefix(name: str, prefixes: Sequence[str], known: Collection[str]) -> str:
    return next((bare for prefix in prefixes if (bare := name.removeprefix(prefix)) in known), name)


def _needs_subset(family: Family, train: DatasetPart) -> UsageError:
    message = (
        f"{family.name} needs {train.files:,} of the {train.of:,} files of its domains, but its order (regmix) "
        "shuffles all files of a domain, so a part of them gives another order than the original's"
    )
    hint = "pass --subset as well, which manifest, lineage and card will say; or download all files, without --for"
    return UsageError(message, code="subset-unconfirmed", hint=hint, files=train.files, of=train.of)


def _is_there(folder: Path, file: CorpusFile, record: DownloadRecord) -> bool:
    """Whether the corpus has a file already: by its record, otherwise by its hash.

    Raises:
        CorpusError: a file that mixhub did not download has its name, and other content.
    """
    from mixhub.hub.remote.files import local_file, same_content

    path, known = folder / file.path, record.files.get(file.path)
    if not path.exists():
        return False
    has_size = path.is_file() and path.stat().st_size == file.remote.size
    if known is not None:
        return has_size and known.content_id == _content_id(file)
    if has_size and same_content(local_file(path), file.remote):
        return True
    message = f"{path}: is not the file of the dataset, and was not downloaded by mixhub"
    hint = f"rename {path}, or choose another data.corpus in mixhub.yaml"
    raise CorpusError(message, code="corpus-file-foreign", hint=hint, path=path)


def _content_id(file: CorpusFile) -> str:
    return file.remote.sha256 or file.remote.oid


def _require_space(plan: Download) -> None:
    partial = sum(path.stat().st_size for path in (plan.folder / _STAGING).rglob("*") if path.is_file())
    if plan.needed - partial > plan.free:
        message = f"{plan.folder}: {size(plan.needed)} to download, but the disk has {size(plan.free)} free"
        hint = "pass --for FAMILY to take only what a run needs, name domains with --domain, or use a larger disk"
        fields = {"path": plan.folder, "needed": plan.needed, "free": plan.free}
        raise CorpusError(message, code="disk-too-small", hint=hint, **fields)


def _fetch(endpoint: Endpoint, repo: DatasetRepo, plan: Download, record: DownloadRecord, progress: Progress) -> None:
    from mixhub.hub.remote.corpus_files import fetch_corpus_file

    staging = plan.folder / _STAGING
    progress.notice(f"{plural(len(plan.missing), 'file')}, {size(plan.needed)}; {size(plan.free)} free on the disk")
    pairs = {(file.split, file.domain) for file in plan.files}
    counts = {f"{split}/{domain}": len(repo.of_domain(split, domain)) for split, domain in pairs}
    record = _noted(plan, record, counts, [file for file in plan.files if file not in plan.missing])
    with progress.start(f"download {plan.repo_id}", plan.needed, "byte") as bar:
        for file in plan.missing:
            bar.advance(0, note=file.path)
            path = fetch_corpus_file(endpoint, repo, file, staging)
            target = plan.folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            record = _noted(plan, record, counts, [file])
            bar.advance(file.remote.size)
    shutil.rmtree(staging, ignore_errors=True)


def _noted(
    plan: Download, record: DownloadRecord, counts: Mapping[str, int], files: Sequence[CorpusFile]
) -> DownloadRecord:
    """Write the record, with some files more."""
    new = {
        file.path: DownloadedFile(
            repo_id=plan.repo_id, commit=plan.commit, size=file.remote.size, content_id=_content_id(file)
        )
        for file in files
    }
    known = {**record.datasets.get(plan.repo_id, {}), **counts}
    datasets = {**record.datasets, plan.repo_id: dict(sorted(known.items()))}
    record = DownloadRecord(datasets=datasets, files=dict(sorted({**record.files, **new}.items())))
    write_json(plan.folder / DOWNLOAD_FILE, record.to_data())
    return record
