"""Folders that become repos."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mixhub.errors import HubError, MixhubError, UsageError
from mixhub.hubserver import LOCAL_TOKEN, ImportedRepo, Store, import_folder, serve
from tests.refusals import refused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two datasets, with a large file, a hidden folder and links."""
    source = tmp_path / "source"
    files = {
        "acme/words/data/train.jsonl": b'{"word": "one"}\n',
        "acme/words/README.md": b"---\nlicense: mit\n---\n",
        "acme/words/weights.bin": b"\0\1\2",
        "acme/words/.git/config": b"secret",
        "acme/words/.cache/x": b"hidden",
        "other/numbers/data/train.jsonl": b'{"n": 1}\n',
        "stray.txt": b"not in a repo",
    }
    for name, data in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    (tmp_path / "outside.txt").write_text("outside")
    (source / "acme/words/out.txt").symlink_to(tmp_path / "outside.txt")
    (source / "acme/words/inside.bin").symlink_to("weights.bin")
    (source / "acme/words/loop").symlink_to(source / "acme")
    return source


def test_each_folder_becomes_a_repo_with_its_files(folder: Path, tmp_path: Path) -> None:
    seen: list[ImportedRepo] = []
    imported = import_folder(folder, tmp_path / "hub", "dataset", on_repo=seen.append)
    assert imported == seen
    assert [(repo.repo_id, repo.changed, repo.files, repo.skipped) for repo in imported] == [
        ("acme/words", True, 4, ("loop", "out.txt")),
        ("other/numbers", True, 1, ()),
    ]
    with serve(tmp_path / "hub") as hub:
        api = HfApi(endpoint=hub.url, token=LOCAL_TOKEN)
        info = api.dataset_info("acme/words", files_metadata=True)
        assert info.sha == imported[0].commit
        large = {file.rfilename: file.lfs is not None for file in info.siblings or []}
        assert large == {
            ".gitattributes": False,
            "README.md": False,
            "data/train.jsonl": False,
            "inside.bin": True,
            "weights.bin": True,
        }
        path = api.hf_hub_download("acme/words", "inside.bin", repo_type="dataset", cache_dir=tmp_path / "cache")
        assert Path(path).read_bytes() == b"\0\1\2"


def test_importing_again_adds_a_commit_only_for_a_change(folder: Path, tmp_path: Path) -> None:
    first = import_folder(folder, tmp_path / "hub", "dataset")
    again = import_folder(folder, tmp_path / "hub", "dataset")
    assert [repo.commit for repo in again] == [repo.commit for repo in first]
    assert not any(repo.changed for repo in again)
    (folder / "acme/words/README.md").unlink()
    (folder / "acme/words/new").write_text("new")
    third = import_folder(folder, tmp_path / "hub", "dataset")
    assert [repo.changed for repo in third] == [True, False]
    store = Store.open(tmp_path / "hub")
    with store.repo(store.names()[0]) as repo:
        head = repo.resolve("main")
        assert repo.paths(head) == [".gitattributes", "data/train.jsonl", "inside.bin", "new", "weights.bin"]
        assert len(list(repo.history(head))) == 3


def test_a_file_may_become_a_folder(tmp_path: Path) -> None:
    repo = tmp_path / "source/acme/one"
    repo.mkdir(parents=True)
    (repo / "data").write_text("file")
    import_folder(tmp_path / "source", tmp_path / "hub")
    (repo / "data").unlink()
    (repo / "data").mkdir()
    (repo / "data/a.txt").write_text("in a folder")
    assert import_folder(tmp_path / "source", tmp_path / "hub")[0].changed


@pytest.mark.parametrize(
    ("make", "error", "code", "path"),
    [
        ([], UsageError, "import-missing", "source"),
        (["source/stray.txt"], UsageError, "import-missing", "source"),
        (["source/acme/stray.txt"], UsageError, "import-missing", "source"),
        (["source/acme/a--b/x.txt"], HubError, "import-refused", "source/acme/a--b"),
        (["source/datasets/one/x.txt"], HubError, "import-refused", "source/datasets/one"),
        (["source/acme/one/a\\b"], HubError, "import-refused", "source/acme/one"),
    ],
)
def test_what_cannot_be_imported_is_said_in_one_line(
    tmp_path: Path, make: list[str], error: type[MixhubError], code: str, path: str
) -> None:
    for name in make:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    with refused(code, error, path=tmp_path / path) as caught:
        import_folder(tmp_path / "source", tmp_path / "hub")
    assert "\n" not in caught.value.message


def test_only_models_and_datasets_are_imported(tmp_path: Path) -> None:
    with refused("option-value", UsageError, option="repo_type", value="space"):
        import_folder(tmp_path, tmp_path / "hub", "space")


def test_a_folder_that_cannot_name_a_repo_is_named_itself(folder: Path, tmp_path: Path) -> None:
    (folder / "other" / "a--b").mkdir()
    with refused("import-refused", HubError, path=folder / "other" / "a--b"):
        import_folder(folder, tmp_path / "hub", "dataset")
    assert not (tmp_path / "hub").exists()  # names are checked before anything is stored
