"""Dataset repos that are kept: fetched once, whole or not there, and never one taken for another."""

from __future__ import annotations

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
    without = Datasets(tmp_path).get("acme/one", "a", None)
    assert first == again == without == (Datasets(tmp_path).folder("acme/one", "a"), fetch.commit)
    assert len(fetch.asked) == 1
    assert Datasets(tmp_path).commit("acme/one", "a", None) == fetch.commit
    assert Datasets(tmp_path).commit("acme/one", "b", None) is None


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
    assert Datasets(tmp_path).commit("acme/one", None, None) == "2" * 40


def test_a_refresh_without_a_hub_takes_what_is_there(tmp_path, fetch):
    first = Datasets(tmp_path, fetch).get("acme/one", None, None)
    assert Datasets(tmp_path, refresh=True).get("acme/one", None, None) == first


def test_what_another_hub_gave_is_fetched_again_when_one_is_named(tmp_path, fetch):
    Datasets(tmp_path, fetch).get("acme/one", None, None)
    local = Numbers(commit="3" * 40, hub="local")
    assert Datasets(tmp_path, local).get("acme/one", None, None)[1] == fetch.commit
    assert local.asked == []
    named = Datasets(tmp_path, local, only_from="local")
    assert named.commit("acme/one", None, None) is None
    assert named.get("acme/one", None, None)[1] == named.get("acme/one", None, None)[1] == "3" * 40
    assert len(local.asked) == 1


def test_the_same_commit_from_another_hub_is_noted_as_from_there(tmp_path, fetch):
    Datasets(tmp_path, fetch).get("acme/one", None, None)
    local = Numbers(commit=fetch.commit, hub="local")
    Datasets(tmp_path, local, only_from="local").get("acme/one", None, None)
    assert Datasets(tmp_path, only_from="local").commit("acme/one", None, None) == fetch.commit


def test_another_revision_is_fetched(tmp_path, fetch):
    datasets = Datasets(tmp_path, fetch)
    assert data(datasets.get("acme/one", None, "v1")[0]) == "acme/one None v1 1111"
    assert data(datasets.get("acme/one", None, "v2")[0]) == "acme/one None v2 1111"
    assert datasets.commit("acme/one", None, "v1") is None


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
    assert {path.name for path in tmp_path.rglob("*")} == {"acme--one", ".lock"}
    fetch.fails = None
    Datasets(tmp_path, fetch).get("acme/one", "a", None)
    before = state(tmp_path)
    fetch.fails, fetch.commit = fails, "2" * 40
    with pytest.raises(raised):
        Datasets(tmp_path, fetch, refresh=True).get("acme/one", "a", None)
    assert state(tmp_path) == before
    assert Datasets(tmp_path).get("acme/one", "a", None)[1] == "1" * 40


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
    assert len({datasets.prepared_folder(repo_id, config, fetch.commit) for repo_id, config in asked}) == len(asked)


def test_the_default_config_is_not_a_config_that_is_called_default(tmp_path, fetch):
    datasets = Datasets(tmp_path, fetch)
    datasets.get("acme/one", None, None)
    assert data(datasets.get("acme/one", "default", None)[0]).startswith("acme/one default")


def test_what_is_not_there_and_cannot_be_fetched_says_how_to_mirror_it(tmp_path):
    with refused("dataset-missing", ResultsError, dataset="acme/one", config="a") as caught:
        Datasets(tmp_path).get("acme/one", "a", None)
    for part in (
        "--prefetch",
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
    assert found == [(Datasets(tmp_path).folder("acme/one", "a"), fetch.commit)] * 4
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
