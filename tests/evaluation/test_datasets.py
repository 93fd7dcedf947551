"""Dataset repos that are kept: fetched once, whole or not there, and never one taken for another."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mixhub.errors import HubError, HubUnreachableError, ResultsError
from mixhub.evaluation.datasets import Datasets
from mixhub.evaluation.lm_eval_private import quiet
from mixhub.evaluation.suite import build, resolve
from mixhub.spec import Task
from tests.evaluation.making import CopyFetch
from tests.evaluation.suite_documents import write_dataset_repos
from tests.refusals import refused

ROOT = Path(__file__).parents[2]


@dataclass
class Numbers:
    """A hub whose repos hold one file that says what was asked for, and how often."""

    commit: str = "1" * 40
    hub: str = "https://hub.example"
    fails: BaseException | None = None
    """Raised when half of the files are there."""
    seconds: float = 0
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)

    def __call__(self, repo_id: str, config: str | None, revision: str | None, into: Path) -> str:
        self.asked.append((repo_id, config, revision))
        (into / "data.txt").write_text(f"{repo_id} {config} {revision} {self.commit[:4]}")
        time.sleep(self.seconds)
        if self.fails is not None:
            raise self.fails
        (into / "more.txt").write_text("more")
        return self.commit


def data(folder: Path) -> str:
    return (folder / "data.txt").read_text()


def state(root: Path) -> dict[str, tuple[int, int]]:
    """Which files there are, and whether they are the same ones: their inodes and times."""
    found = {path.relative_to(root).as_posix(): path.stat() for path in root.rglob("*") if path.name != ".lock"}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items() if not name.endswith("acme--one")}


@pytest.fixture
def fetch() -> Numbers:
    return Numbers()


def test_what_is_there_is_not_fetched_again(tmp_path, fetch):
    first = Datasets(tmp_path, fetch).get("acme/one", "a", None)
    again = Datasets(tmp_path, fetch).get("acme/one", "a", None)
    assert first == again == (Datasets(tmp_path, fetch).folder("acme/one", "a"), fetch.commit)
    assert len(fetch.asked) == 1


def test_a_refresh_keeps_the_folder_when_the_commit_is_the_same(tmp_path, fetch):
    Datasets(tmp_path, fetch).get("acme/one", None, None)
    before = state(tmp_path)
    folder, commit = Datasets(tmp_path, fetch, refresh=True).get("acme/one", None, None)
    assert (commit, len(fetch.asked)) == (fetch.commit, 2)
    assert folder.is_dir()
    assert state(tmp_path) == before


def test_a_refresh_replaces_the_folder_when_the_commit_is_another(tmp_path, fetch):
    folder, _ = Datasets(tmp_path, fetch).get("acme/one", None, None)
    (folder / "old.txt").write_text("of the old commit")
    fetch.commit = "2" * 40
    assert Datasets(tmp_path, fetch).get("acme/one", None, None) == (folder, "1" * 40)
    assert Datasets(tmp_path, fetch, refresh=True).get("acme/one", None, None) == (folder, "2" * 40)
    assert data(folder) == "acme/one None None 2222"
    assert not (folder / "old.txt").exists()


@pytest.mark.parametrize("other", ["local", "http://hub.example", "https://mirror.example"])
def test_two_hubs_never_share_a_copy(tmp_path, fetch, other):
    second = Numbers(commit="3" * 40, hub=other)
    for _ in range(2):
        for hub in (fetch, second):
            assert Datasets(tmp_path, hub).get("acme/one", None, None)[1] == hub.commit
            assert data(Datasets(tmp_path, hub).folder("acme/one", None)).endswith(hub.commit[:4])


def test_a_hub_that_fails_gets_the_copy_of_no_other_but_the_hint_names_it(tmp_path, fetch):
    Datasets(tmp_path, fetch).get("acme/one", "a", None)
    dead = Numbers(hub="https://dead.example", fails=HubUnreachableError("nothing answers there"))
    with refused("dataset-missing", ResultsError, dataset="acme/one") as caught:
        Datasets(tmp_path, dead).get("acme/one", "a", None)
    assert f"--datasets-hub {fetch.hub}" in str(caught.value.hint)
    with refused("dataset-missing", ResultsError, dataset="acme/one") as caught:
        Datasets(tmp_path, dead).get("acme/one", "b", None)
    assert fetch.hub not in str(caught.value.hint)


def test_revisions_lie_apart(tmp_path, fetch):
    datasets = Datasets(tmp_path, fetch)
    for _ in range(2):
        for revision in (None, "v1", "refs/pr/1"):
            assert data(datasets.get("acme/one", None, revision)[0]) == f"acme/one None {revision} 1111"
    assert len(fetch.asked) == 3


READ = """
import os, sys
from pathlib import Path
import filelock
from mixhub.evaluation.datasets import Datasets

class Hub:
    hub = "https://hub.example"
    def __call__(self, *asked):
        sys.exit("asked the hub")

"".encode("utf-8-sig")  # imports it, before the home of Python is out of reach
if os.getuid() == 0:  # for whom the modes of files mean nothing
    os.setuid(65534)
datasets = Datasets(Path(sys.argv[1]), Hub())
print(*datasets.get("acme/one", "a", None))
folder = datasets.prepared("acme/one", "1" * 40)
folder.mkdir(parents=True, exist_ok=True)
(folder / "file").write_text("written")
print(folder.is_relative_to(sys.argv[1]))
"""


def test_a_cache_that_cannot_be_written_to_is_read(tmp_path, fetch):
    folder, commit = Datasets(tmp_path / "cache", fetch).get("acme/one", "a", None)
    for path in (tmp_path / "cache", *(tmp_path / "cache").rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(path.stat().st_mode | 0o055)
    command = [sys.executable, "-c", READ, str(tmp_path / "cache")]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    for path in (tmp_path / "cache").rglob("*"):
        path.chmod(0o755)
    assert (answer.stdout.splitlines(), answer.stderr) == ([f"{folder} {commit}", "False"], "")


@pytest.mark.parametrize(
    ("fails", "raised"),
    [
        (HubUnreachableError("nothing answers there"), ResultsError),
        (HubError("half came"), ResultsError),
        (OSError("no space left"), OSError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_fetch_that_fails_midway_leaves_the_old_folder_or_none(tmp_path, fetch, fails, raised):
    fetch.fails = fails
    with pytest.raises(raised):
        Datasets(tmp_path, fetch).get("acme/one", "a", None)
    assert {path.name for path in tmp_path.rglob("*")} == {"hub.example", "acme--one", ".lock"}
    fetch.fails = None
    Datasets(tmp_path, fetch).get("acme/one", "a", None)
    before = state(tmp_path)
    fetch.fails, fetch.commit = fails, "2" * 40
    with pytest.raises(raised):
        Datasets(tmp_path, fetch, refresh=True).get("acme/one", "a", None)
    assert state(tmp_path) == before
    assert Datasets(tmp_path, fetch).get("acme/one", "a", None)[1] == "1" * 40


def test_what_a_killed_process_left_is_cleared_and_a_damaged_note_is_fetched_again(tmp_path, fetch):
    folder, _ = Datasets(tmp_path, fetch).get("acme/one", "a", None)
    (folder.parent / f".tmp-{folder.name}.123-00").mkdir()
    (folder.parent / f".tmp-{folder.name}.123-00" / "data.txt").write_text("half")
    (folder / "mixhub-snapshot.json").write_text("{")
    Datasets(tmp_path, fetch).get("acme/one", "a", None)
    assert len(fetch.asked) == 2
    assert sorted(path.name for path in folder.parent.iterdir()) == [".lock", folder.name]


def test_two_configs_and_two_repos_lie_apart(tmp_path, fetch):
    datasets = Datasets(tmp_path, fetch)
    asked = [("acme/one", "a"), ("acme/one", "b"), ("acme/one", None), ("acme/two", "a")]
    found = [datasets.get(repo_id, config, None)[0] for repo_id, config in asked]
    assert [data(folder).rsplit(" ", 2)[0] for folder in found] == [f"{repo_id} {config}" for repo_id, config in asked]


def test_the_default_config_is_not_a_config_that_is_called_default(tmp_path, fetch):
    datasets = Datasets(tmp_path, fetch)
    datasets.get("acme/one", None, None)
    assert data(datasets.get("acme/one", "default", None)[0]).startswith("acme/one default")


@pytest.mark.parametrize("refresh", [False, True])
def test_what_is_not_there_and_cannot_be_fetched_says_how_to_mirror_it(tmp_path, refresh):
    fetch = CopyFetch({})
    with refused("dataset-missing", ResultsError, dataset="acme/one", config="a") as caught:
        Datasets(tmp_path, fetch, refresh).get("acme/one", "a", None)
    assert ("--prefetch" in str(caught.value.hint)) is not refresh  # which is --prefetch itself
    for part in (
        "hf download --repo-type dataset acme/one --local-dir DIR/acme/one",
        "mixhub hub import DIR --repo-type dataset",
        "--datasets-hub local",
    ):
        assert part in str(caught.value.hint)


def test_threads_that_ask_at_once_fetch_once(tmp_path, fetch):
    fetch.seconds = 0.2
    found: list[tuple[Path, str]] = []
    threads = [
        threading.Thread(target=lambda: found.append(Datasets(tmp_path, fetch).get("acme/one", "a", None)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(Datasets(tmp_path, fetch).folder("acme/one", "a"), fetch.commit)] * 4
    assert len(fetch.asked) == 1


def test_repos_with_the_same_config_and_file_names_are_not_taken_for_each_other(tmp_path):
    names = ("piqa", "social_iqa", "hellaswag")
    fetch = CopyFetch(write_dataset_repos(tmp_path / "repos"))  # one commit for all: it must not tell them apart
    expected = {"piqa": "goal", "social_iqa": "answerA", "hellaswag": "endings"}
    for _ in range(2):  # read anew, then from the datasets library's cache
        for task in resolve([Task(name=name, title=name) for name in names], {}):
            with quiet():
                built = build(task, Datasets(tmp_path / "kept", fetch))
            assert expected[task.name] in built.task.dataset["validation"].column_names
    assert len(fetch.asked) == 3


def test_another_commit_is_read_anew(tmp_path):
    repos = write_dataset_repos(tmp_path / "repos")
    fetch = CopyFetch(repos)
    (task,) = resolve([Task(name="piqa", title="PIQA")], {})
    with quiet():
        first = build(task, Datasets(tmp_path / "kept", fetch))
    path = repos["baber/piqa"] / "data" / "validation.jsonl"
    stat, lines = path.stat(), path.read_text().splitlines(keepends=True)
    path.write_text("".join(reversed(lines)))
    fetch.commit = "2" * 40
    with quiet():
        second = build(task, Datasets(tmp_path / "kept", fetch, refresh=True))
    assert stat.st_size == path.stat().st_size
    assert (first.fingerprint, second.fingerprint) == ("1" * 40, "2" * 40)
    goals = [list(built.task.dataset["validation"]["goal"]) for built in (first, second)]
    assert goals[0] == goals[1][::-1] != goals[1]
