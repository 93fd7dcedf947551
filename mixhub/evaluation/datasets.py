"""The documents of tasks: dataset repos, downloaded once into folders that need no hub."""

from __future__ import annotations

import atexit
import errno
import glob
import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from mixhub.endpoint import cache_name
from mixhub.errors import HubError, ResultsError
from mixhub.files import clear_leftovers, locked, new_folder, read_json, write_json
from mixhub.phrases import listed
from mixhub.spec.base import read_yaml
from mixhub.workspace.cells import Benchmark

_SNAPSHOT_FILE = "mixhub-snapshot.json"
_BENCHMARK_FILE = "eval.yaml"
"""Names the tasks of a dataset that is a benchmark on the Hub (https://huggingface.co/docs/hub/eval-results)."""


class Fetch(Protocol):
    """Downloads from a hub. `evaluate` itself makes no network request."""

    @property
    def hub(self) -> str:
        """The hub, as an address or `local`."""

    def __call__(self, repo_id: str, config: str | None, revision: str | None, into: Path) -> str:
        """Download the files of one config of a dataset repo into a folder, and return the commit.

        Raises:
            HubError: the hub does not answer, or does not have the repo, config or revision.
        """


@dataclass(frozen=True)
class Datasets:
    """A folder of dataset repos, downloaded from one hub; copies of other hubs are next to them, and never used."""

    root: Path
    fetch: Fetch
    refresh: bool = False
    """Whether to download a repo again if the hub has another commit by now."""

    def prepared(self, dataset: str, fingerprint: str) -> Path:
        """Return the datasets library's cache for a dataset with this fingerprint.

        The library distinguishes files by path and time, not by content. It must write into its cache, so a temporary
        one takes the place of one that is read-only.
        """
        digest = hashlib.sha256(f"{self.fetch.hub}\0{dataset}\0{fingerprint}".encode()).hexdigest()
        folder = self.root / "arrow" / digest[:16]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError as error:
            if not is_read_only(error):
                raise
            return _temporary_cache() / digest[:16]

    def folder(self, repo_id: str, config: str | None, revision: str | None = None) -> Path:
        """Return the folder of one config of a repo."""
        name = "default" if config is None else f"config-{config}"  # the default one need not be called `default`
        at = "" if revision is None else f"@{revision.replace('/', '--')}"
        return self.root / cache_name(self.fetch.hub) / repo_id.replace("/", "--") / f"{name}{at}"

    def get(self, repo_id: str, config: str | None, revision: str | None) -> tuple[Path, str]:
        """Return folder and commit of one config of a dataset repo, downloading it if necessary.

        Raises:
            ResultsError: it cannot be downloaded; the hint says how to mirror it.
        """
        folder = self.folder(repo_id, config, revision)
        if not self.refresh and (known := self._snapshot(folder, revision)) is not None:
            return folder, known["commit"]  # without the lock, which a read-only cache cannot have
        with locked(folder.parent / ".lock", f"{folder} is being downloaded", timeout=-1):
            before = self._snapshot(folder, revision)
            if before is not None and not self.refresh:
                return folder, before["commit"]
            clear_leftovers(folder.parent)
            try:
                with new_folder(folder) as building:
                    commit, hub = self.fetch(repo_id, config, revision, building), self.fetch.hub
                    if before is not None and (before["commit"], before["hub"]) == (commit, hub):
                        raise _UnchangedError
                    snapshot = {"format": 1, "hub": hub, "repo_id": repo_id, "config": config}
                    write_json(building / _SNAPSHOT_FILE, {**snapshot, "revision": revision, "commit": commit})
            except _UnchangedError:
                return folder, commit
            except HubError as error:
                raise self._missing(repo_id, config, revision, error) from error
        return folder, commit

    def _snapshot(self, folder: Path, revision: str | None) -> dict[str, Any] | None:
        """Return hub, revision and commit of the folder, if they are the requested ones."""
        try:
            snapshot = read_json(folder / _SNAPSHOT_FILE, ResultsError)
            asked = (snapshot["format"], snapshot.get("revision"), snapshot["hub"]) == (1, revision, self.fetch.hub)
            return snapshot if asked and snapshot["commit"] else None
        except (ResultsError, KeyError, TypeError):
            return None

    def _missing(self, repo_id: str, config: str | None, revision: str | None, why: HubError) -> ResultsError:
        name = f"{repo_id} ({config})" if config else repo_id
        mirror = (
            f"mirror it: hf download --repo-type dataset {repo_id} --local-dir DIR/{repo_id}; mixhub hub import DIR "
            "--repo-type dataset; --datasets-hub local"
        )
        hint = mirror
        if others := self._other_hubs(repo_id, config, revision):
            hint = (
                f"the cache has a copy from {listed(others)}: to use it, pass --datasets-hub {others[0]}; or {mirror}"
            )
        elif not self.refresh:
            hint = f"download it on a machine with network (add --prefetch to this command), or {mirror}"
        message = f"dataset {name} cannot be loaded: {why.message}"
        return ResultsError(message, code="dataset-missing", hint=hint, dataset=repo_id, config=config)

    def _other_hubs(self, repo_id: str, config: str | None, revision: str | None) -> list[str]:
        """Return the other hubs that the cache has copies from."""
        below = self.folder(repo_id, config, revision).relative_to(self.root / cache_name(self.fetch.hub))
        hubs = set()
        for path in self.root.glob(f"*/{glob.escape(str(below / _SNAPSHOT_FILE))}"):
            with suppress(ResultsError, KeyError, TypeError):
                hubs.add(str(read_json(path, ResultsError)["hub"]))
        return sorted(hubs - {self.fetch.hub})


def benchmark_of(folder: Path, config: str | None, split: str) -> Benchmark | None:
    """Return the benchmark that the `eval.yaml` of a dataset defines for all documents of a split.

    None if there is none, several, or the file is malformed.

    Args:
        folder: the dataset, as `Datasets.get` returns it.
        config: its config; None: the default one.
        split: the split.
    """
    path = folder / _BENCHMARK_FILE
    try:
        data = read_yaml(path, ResultsError) if path.is_file() else {}
    except ResultsError:
        return None
    data = data if isinstance(data, Mapping) else {}
    tasks = data.get("tasks")
    found = [
        one["id"]
        for one in (tasks if isinstance(tasks, list) else ())
        if isinstance(one, Mapping) and isinstance(one.get("id"), str)
        if (one.get("config") or "default", one.get("split") or "test") == (config or "default", split)
    ]
    if len(found) != 1:
        return None
    framework = data.get("evaluation_framework")
    return Benchmark(task_id=found[0], split=split, framework=framework if isinstance(framework, str) else None)


def is_read_only(error: OSError) -> bool:
    """Whether a file could not be written because the place is read-only, not because it is full."""
    return error.errno in (errno.EROFS, errno.EACCES, errno.EPERM)


@cache
def _temporary_cache() -> Path:
    """Return a folder that lasts as long as the process."""
    folder = tempfile.mkdtemp(prefix="mixhub-datasets-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


class _UnchangedError(Exception):
    """The hub has the commit that is on disk: the folder stays."""
