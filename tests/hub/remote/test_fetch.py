"""Dataset repos of a real hub: which files come, of which commit, and that they open where there is no hub."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pygit2
import pytest
import yaml

from mixhub.endpoint import Endpoint, HubChoice
from mixhub.errors import HubError, HubUnreachableError, RepoNotFoundError
from mixhub.evaluation.lm_eval_private import quiet
from mixhub.hub.remote import fetch
from mixhub.hub.remote.client import snapshot
from mixhub.hub.remote.fetch import DatasetFetch, fetch_dataset
from mixhub.hubserver import RunningHub, import_folder
from tests.evaluation.suite_documents import write_dataset_repos
from tests.refusals import refused

Import = Callable[..., str]


@pytest.fixture
def imported(hub: RunningHub, tmp_path: Path) -> Import:
    """Makes `main` of a dataset repo hold exactly some files; gives the commit."""

    def make(repo_id: str, files: Mapping[str, str | bytes], card: Mapping[str, Any] | None = None) -> str:
        told = {} if card is None else {"README.md": f"---\n{yaml.safe_dump(dict(card), sort_keys=False)}---\nText.\n"}
        source = tmp_path / "source" / repo_id
        for name, data in {**told, **files}.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        (repo,) = import_folder(tmp_path / "source", hub.root, "dataset")
        return repo.commit

    return make


def rows(*numbers: int) -> str:
    return "".join(f'{{"number": {number}}}\n' for number in numbers)


def parquet(*numbers: int) -> bytes:
    import pyarrow
    from pyarrow.parquet import write_table

    file = io.BytesIO()
    write_table(pyarrow.table({"number": list(numbers)}), file)
    return file.getvalue()


def files(folder: Path) -> list[str]:
    """All that lies in a folder, hidden or not, apart from what git's client says of large files."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if name != ".gitattributes")


def splits(folder: Path, config: str | None, cache: Path) -> dict[str, list[int]]:
    """What the datasets library reads of a folder."""
    from datasets import load_dataset

    with quiet():
        loaded = load_dataset(str(folder), name=config, cache_dir=str(cache))
    return {str(split): list(part["number"]) for split, part in loaded.items()}


@pytest.fixture(scope="module")
def suite(hub: RunningHub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The suite's datasets on the hub; their commits by repo."""
    root = tmp_path_factory.mktemp("suite")
    write_dataset_repos(root)
    return {repo.repo_id: repo.commit for repo in import_folder(root, hub.root, "dataset")}


@pytest.mark.parametrize(("config", "other"), [("copa", "multirc"), ("multirc", "copa")])
def test_only_the_files_of_one_config_come_and_the_commit_is_the_hubs(endpoint, suite, tmp_path, config, other):
    commit = fetch_dataset(endpoint, "aps/super_glue", config, None, tmp_path / "into")
    assert commit == suite["aps/super_glue"]
    assert files(tmp_path / "into") == ["README.md", f"{config}/train.jsonl", f"{config}/validation.jsonl"]
    card = (tmp_path / "into" / "README.md").read_text()
    assert config in card
    assert other not in card


def test_a_commit_may_be_asked_for_by_itself_and_another_came_since(endpoint, imported, tmp_path):
    first = imported("acme/moving", {"train.jsonl": rows(1)})
    second = imported("acme/moving", {"train.jsonl": rows(2)})
    assert fetch_dataset(endpoint, "acme/moving", None, first, tmp_path / "old") == first
    assert fetch_dataset(endpoint, "acme/moving", None, None, tmp_path / "new") == second != first
    assert [(tmp_path / name / "train.jsonl").read_text() for name in ("old", "new")] == [rows(1), rows(2)]


@pytest.mark.parametrize(
    "configs",
    [
        [{"config_name": "one", "data_files": "a.jsonl"}, {"config_name": "default", "data_files": "b.jsonl"}],
        [
            {"config_name": "one", "data_files": "a.jsonl"},
            {"config_name": "two", "data_files": "b.jsonl", "default": True},
        ],
        [{"config_name": "only", "data_files": "b.jsonl"}],
    ],
)
def test_the_default_config(endpoint, imported, tmp_path, configs):
    imported("acme/defaults", {"a.jsonl": rows(1), "b.jsonl": rows(2)}, {"configs": configs})
    fetch_dataset(endpoint, "acme/defaults", None, None, tmp_path / "into")
    assert files(tmp_path / "into") == ["README.md", "b.jsonl"]
    assert splits(tmp_path / "into", None, tmp_path / "cache") == {"train": [2]}


def test_a_config_that_there_is_not_names_those_that_there_are(endpoint, suite, tmp_path):
    fields = {"dataset": "aps/super_glue", "config": "kopa", "configs": ("multirc", "copa")}
    with refused("dataset-config-missing", HubError, **fields) as caught:
        fetch_dataset(endpoint, "aps/super_glue", "kopa", None, tmp_path / "into")
    assert "dataset_name" in str(caught.value.hint)


def test_a_repo_that_there_is_not(endpoint, tmp_path):
    with refused("repo-not-found", RepoNotFoundError, repo_id="acme/nothing"):
        fetch_dataset(endpoint, "acme/nothing", None, None, tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_a_revision_that_there_is_not(endpoint, suite, tmp_path):
    with refused("dataset-revision-missing", HubError, dataset="allenai/sciq", revision="v9") as caught:
        fetch_dataset(endpoint, "allenai/sciq", None, "v9", tmp_path / "into")
    assert "dataset_kwargs.revision" in str(caught.value.hint)


def test_a_hub_that_does_not_answer(tmp_path):
    with refused("hub-unreachable", HubUnreachableError):
        fetch_dataset(Endpoint("http://127.0.0.1:9", False, tmp_path), "acme/words", None, None, tmp_path / "into")
    fetch = DatasetFetch(HubChoice("http://127.0.0.1:9", "the test"))
    assert fetch.hub == "http://127.0.0.1:9"
    with pytest.raises(HubUnreachableError):
        fetch("acme/words", None, None, tmp_path / "into")


BOTH = {"train": [1, 2], "test": [3]}
FORMS: list[tuple[dict[str, Any], dict[str, list[int]]]] = [
    ({"data_files": "one/train.jsonl"}, {"train": [1]}),
    ({"data_files": ["one/train.jsonl", "one/more.jsonl"]}, {"train": [1, 2]}),
    ({"data_files": [{"split": "test", "path": "one/test.jsonl"}]}, {"test": [3]}),
    (
        {
            "data_files": [
                {"split": "train", "path": ["one/train.jsonl", "one/more.jsonl"]},
                {"split": "test", "path": "one/test.jsonl"},
            ]
        },
        BOTH,
    ),
    ({"data_files": [{"split": "train", "path": "one/[tm][ro]*.jsonl"}]}, {"train": [2, 1]}),
    ({"data_files": [{"split": "train", "path": "one/t*n.jsonl"}]}, {"train": [1]}),
    ({"data_files": [{"split": "train", "path": "one/**/train.jsonl"}]}, {"train": [1]}),
    ({"data_files": [{"split": "train", "path": "**/deep.jsonl"}]}, {"train": [4]}),
    ({"data_files": [{"split": "train", "path": "./one/train.jsonl"}]}, {"train": [1]}),
    ({"data_dir": "one/inner"}, {"train": [4]}),
    ({"data_dir": "./one/inner/"}, {"train": [4]}),
    ({"data_dir": "one", "data_files": [{"split": "train", "path": "t*n.jsonl"}]}, {"train": [1]}),
]


@pytest.mark.parametrize(("config", "expected"), FORMS, ids=[json.dumps(config)[:70] for config, _ in FORMS])
def test_data_files_in_all_forms_of_a_card(endpoint, imported, tmp_path, config, expected):
    data = {"train": rows(1), "more": rows(2), "test": rows(3), "inner/deep": rows(4)}
    told = [{"config_name": "two", "data_files": "two/train.jsonl"}, {"config_name": "one", **config}]
    imported(
        "acme/forms",
        {**{f"one/{name}.jsonl": text for name, text in data.items()}, "two/train.jsonl": rows(9)},
        {"license": "mit", "configs": told},
    )
    whole = tmp_path / "source" / "acme" / "forms"
    assert splits(whole, "one", tmp_path / "arrow-whole") == expected  # what the library makes of the whole repo
    fetch_dataset(endpoint, "acme/forms", "one", None, tmp_path / "into")
    assert "two/train.jsonl" not in files(tmp_path / "into")
    assert splits(tmp_path / "into", "one", tmp_path / "arrow") == expected


def test_other_configs_of_json_do_not_come_along(endpoint, imported, tmp_path):
    told = [{"config_name": name, "data_files": f"{name}/train.json"} for name in ("one", "two")]
    imported("acme/json", {f"{name}/train.json": rows(1) for name in ("one", "two")}, {"configs": told})
    fetch_dataset(endpoint, "acme/json", "one", None, tmp_path / "into")
    assert files(tmp_path / "into") == ["README.md", "one/train.json"]


def test_the_dataset_info_of_the_config_stays(endpoint, imported, tmp_path):
    infos = [
        {"config_name": name, "features": [{"name": "number", "dtype": dtype}]}
        for name, dtype in (("one", "int8"), ("two", "int16"))
    ]
    told = [{"config_name": name, "data_files": f"{name}.jsonl"} for name in ("one", "two")]
    imported("acme/info", {"one.jsonl": rows(1), "two.jsonl": rows(2)}, {"configs": told, "dataset_info": infos})
    fetch_dataset(endpoint, "acme/info", "two", None, tmp_path / "into")
    from datasets import load_dataset

    with quiet():
        loaded = load_dataset(str(tmp_path / "into"), name="two", cache_dir=str(tmp_path / "cache"))
    assert loaded["train"].features["number"].dtype == "int16"


@pytest.mark.parametrize("card", [None, {"license": "mit"}, {"configs": []}])
def test_without_configs_all_files_but_programs_come(endpoint, imported, tmp_path, card):
    names = ("train.jsonl", "test.jsonl", "inner/notes.txt")
    imported("acme/plain", {**{name: rows(1) for name in names}, "make.py": "raise SystemExit"}, card)
    fetch_dataset(endpoint, "acme/plain", None, None, tmp_path / "into")
    assert files(tmp_path / "into") == sorted([*names, *(["README.md"] if card is not None else [])])


def test_names_that_look_like_patterns_mean_themselves(endpoint, imported, tmp_path):
    imported("acme/odd", {"a[1].jsonl": rows(1), "a1.jsonl": rows(2), "ünï code.jsonl": rows(3)})
    fetch_dataset(endpoint, "acme/odd", None, None, tmp_path / "into")
    assert files(tmp_path / "into") == ["a1.jsonl", "a[1].jsonl", "ünï code.jsonl"]


@pytest.fixture
def script(hub: RunningHub, imported: Import, tmp_path: Path) -> tuple[str, str]:
    """A dataset that is a script, and what the Hub makes of it on a ref of its own; the commits of both."""
    converted = imported(
        "acme/script",
        {
            "first/train/0000.parquet": parquet(1, 2),
            "first/train/0001.parquet": parquet(3),
            "first/partial-test/0000.parquet": parquet(4),
            "second/train/0000.parquet": parquet(5),
        },
    )
    repository = pygit2.Repository(str(hub.root / "repos" / "datasets" / "acme" / "script.git"))
    repository.references.create("refs/convert/parquet", converted, force=True)
    repository.free()
    for path in (tmp_path / "source" / "acme" / "script").rglob("*.parquet"):
        path.unlink()
    card = {"dataset_info": [{"config_name": "first", "features": [{"name": "number", "dtype": "string"}]}]}
    return imported("acme/script", {"script.py": "raise SystemExit('it ran')", "data.zip": b"PK"}, card), converted


@pytest.mark.parametrize(("config", "expected"), [("first", {"train": [1, 2, 3]}), ("second", {"train": [5]})])
def test_of_a_script_the_converted_files_come(endpoint, script, tmp_path, config, expected):
    head, converted = script
    assert head != converted
    assert fetch_dataset(endpoint, "acme/script", config, None, tmp_path / "into") == converted
    assert all(name == "README.md" or name.startswith(f"{config}/") for name in files(tmp_path / "into"))
    assert splits(tmp_path / "into", config, tmp_path / "cache") == expected


@pytest.mark.parametrize("config", ["third", None])
def test_a_script_without_that_config(endpoint, script, tmp_path, config):
    fields = {"dataset": "acme/script", "config": config or "default", "configs": ("first", "second")}
    with refused("dataset-config-missing", HubError, **fields):
        fetch_dataset(endpoint, "acme/script", config, None, tmp_path / "into")


def test_a_script_that_was_never_converted(endpoint, imported, tmp_path):
    imported("acme/unconverted", {"unconverted.py": "raise SystemExit('it ran')"})
    with refused("dataset-revision-missing", HubError, revision="refs/convert/parquet") as caught:
        fetch_dataset(endpoint, "acme/unconverted", None, None, tmp_path / "into")
    assert "mirror the dataset as parquet" in str(caught.value.hint)


@pytest.mark.parametrize("text", ["---\na: b: c\n---\n", "---\n- a list\n---\n"])
def test_a_card_that_cannot_be_read_is_named(endpoint, imported, tmp_path, text):
    imported("acme/damaged", {"train.jsonl": rows(1), "README.md": text})
    with refused("dataset-card-malformed", HubError, dataset="acme/damaged"):
        fetch_dataset(endpoint, "acme/damaged", None, None, tmp_path / "into")


def test_nothing_of_the_clients_notes_stays(endpoint, suite, tmp_path):
    for number, (repo_id, config) in enumerate([("allenai/sciq", None), ("aps/super_glue", "copa")]):
        fetch_dataset(endpoint, repo_id, config, None, tmp_path / str(number))
        hidden = [path.name for path in (tmp_path / str(number)).rglob(".*")]
        assert not {".cache", ".huggingface"} & set(hidden)


@pytest.mark.parametrize(
    "data_files",
    [
        5,
        {"train": 5},
        {"train": {"path": None}},
        [{"split": "train"}],
        [{"path": "a.jsonl"}],
        [{"split": "train", "path": 5}],
        [{"split": "train", "path": [5]}],
        [{"split": "train", "path": "a.jsonl"}, "b.jsonl"],
        [{"split": "train", "path": "a.jsonl"}, {"split": "train", "path": "b.jsonl"}],
        [[]],
        [None],
    ],
)
def test_a_card_whose_data_files_have_an_odd_shape(endpoint, imported, tmp_path, data_files):
    imported("acme/odd", {"a.jsonl": rows(1)}, {"configs": [{"config_name": "default", "data_files": data_files}]})
    with refused("dataset-card-malformed", HubError, dataset="acme/odd"):
        fetch_dataset(endpoint, "acme/odd", None, None, tmp_path / "into")


def test_a_download_that_lacks_a_file_is_no_download(endpoint, imported, tmp_path, monkeypatch):
    """huggingface_hub returns a folder as it is if the hub stops answering in between."""
    imported("acme/partial", {"train.jsonl": rows(1), "deep/[a].jsonl": rows(2)})

    def offline(*arguments: Any, **options: Any) -> Path:
        folder = snapshot(*arguments, **options)
        (folder / "deep" / "[a].jsonl").unlink()
        return folder

    monkeypatch.setattr(fetch, "snapshot", offline)
    with refused("download-incomplete", HubError, dataset="acme/partial", files=("deep/[a].jsonl",)):
        fetch_dataset(endpoint, "acme/partial", None, None, tmp_path / "into")
