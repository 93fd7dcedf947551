"""Bytes up and down: Xet, LFS in one piece and in parts, ranges."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import CommitOperationAdd, HfApi, get_session, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError
from hypothesis import given
from hypothesis import strategies as st

from mixhub.hubserver import LOCAL_TOKEN, RunningHub
from mixhub.hubserver.storage.storage import Store
from mixhub.hubserver.transfers.lfs import parse_range

MIB = 2**20


@pytest.fixture
def hub(fresh_hub: RunningHub) -> RunningHub:
    """These tests look at what lies in the storage."""
    return fresh_hub


UPLOAD = """
import sys
from huggingface_hub import HfApi
api = HfApi()
print(api.upload_folder(repo_id="demo/tiny", folder_path=sys.argv[1]).oid)
"""


def large_files() -> dict[str, bytes]:
    """Files that exercise each chunk compression, two of which share most chunks."""
    numbers = np.random.default_rng(0)
    noise = numbers.bytes(3 * MIB)
    return {
        "text.bin": b"the same line again and again\n" * 150_000,
        "noise.bin": noise,
        "shared.bin": noise[: 2 * MIB] + b"and then something else" * 100,
        "weights.safetensors": (numbers.standard_normal(800_000) * 0.02).astype(np.float32).tobytes(),
        "half.safetensors": (numbers.standard_normal(300_001) * 0.02).astype(np.float16).tobytes() + b"\1",
        "deep/one/two.bin": b"\0",
    }


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def assert_downloads_equal(api: HfApi, tmp_path: Path, files: dict[str, bytes]) -> None:
    snapshot = Path(api.snapshot_download("demo/tiny", cache_dir=tmp_path / "cache"))
    assert {name: (snapshot / name).read_bytes() == data for name, data in files.items()} == dict.fromkeys(files, True)


def xorb_bytes(hub: RunningHub) -> int:
    return sum(path.stat().st_size for path in (hub.root / "xorbs").rglob("*") if path.is_file())


def test_xet_uploads_come_down_bit_equal(api: HfApi, hub: RunningHub, repo: str, tmp_path: Path) -> None:
    files = large_files()
    api.create_commit(repo, [CommitOperationAdd(*item) for item in files.items()], commit_message="all")
    assert_downloads_equal(api, tmp_path, files)
    assert 0 < xorb_bytes(hub) < MIB  # the chunks lie in the files, not beside them


def test_a_file_sent_again_to_another_branch_sends_no_chunks(api: HfApi, hub: RunningHub, repo: str) -> None:
    data = np.random.default_rng(1).bytes(MIB)
    api.create_commit(repo, [CommitOperationAdd("a.bin", data)], commit_message="one")
    before = xorb_bytes(hub)
    api.create_branch(repo, branch="seed-2", revision=api.list_repo_commits(repo)[-1].commit_id)
    api.create_commit(repo, [CommitOperationAdd("b.bin", data)], commit_message="two", revision="seed-2")
    assert xorb_bytes(hub) == before
    assert api.hf_hub_download(repo, "b.bin", revision="seed-2", local_dir=hub.root.parent / "down")
    assert len([path for path in (hub.root / "blobs").rglob("*") if path.is_file()]) == 1


def test_a_copy_of_a_storage_takes_what_its_clients_sent_to_the_other(api: HfApi, hub: RunningHub, repo: str) -> None:
    """The client remembers by the address which chunks a hub has; a copy may be served at the same address."""
    store = Store.open(hub.root)
    copy = hub.root.with_name("copy")
    shutil.copytree(hub.root, copy)
    assert Store.open(copy).store_id == store.store_id
    assert Store.open(copy).chunks_id != store.chunks_id
    assert Store.open(hub.root).chunks_id == store.chunks_id


def test_files_are_made_of_chunks_that_lie_in_other_files(
    api: HfApi, hub: RunningHub, repo: str, tmp_path: Path
) -> None:
    files = large_files()
    api.create_commit(repo, [CommitOperationAdd("noise.bin", files["noise.bin"])], commit_message="one")
    mixed = {"mixed.bin": files["noise.bin"][MIB:] + b"between" + files["noise.bin"][: 2 * MIB]}
    api.create_commit(repo, [CommitOperationAdd(*item) for item in mixed.items()], commit_message="two")
    assert_downloads_equal(api, tmp_path, mixed)
    assert xorb_bytes(hub) < 2 * MIB


def test_lfs_uploads_come_down_bit_equal(
    api: HfApi, hub: RunningHub, repo: str, tmp_path: Path, child: Callable[..., str]
) -> None:
    files = large_files()
    write_files(tmp_path / "files", files)
    oid = child(UPLOAD, str(tmp_path / "files"), HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1").split()[-1]
    assert oid == api.repo_info(repo).sha
    assert_downloads_equal(api, tmp_path, files)
    assert not (hub.root / "xorbs").exists()
    assert list((hub.root / "uploads").iterdir()) == []


def lfs_batch(hub: RunningHub, oid: str, size: int, *transfers: str) -> dict[str, object]:
    answer = get_session().post(
        f"{hub.url}/demo/tiny.git/info/lfs/objects/batch",
        json={"operation": "upload", "transfers": transfers, "objects": [{"oid": oid, "size": size}]},
        headers={"Authorization": f"Bearer {LOCAL_TOKEN}"},
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["objects"][0])


def test_an_upload_with_another_hash_is_refused(hub: RunningHub, repo: str) -> None:
    data, oid = b"right", hashlib.sha256(b"right").hexdigest()
    action = lfs_batch(hub, oid, len(data), "basic")["actions"]["upload"]  # type: ignore[index]
    assert get_session().put(action["href"], content=b"wrong").status_code == 400
    assert get_session().put(action["href"], content=data + b"!").status_code == 400
    assert "actions" in lfs_batch(hub, oid, len(data), "basic")
    assert get_session().put(action["href"], content=data).status_code == 200
    assert "actions" not in lfs_batch(hub, oid, len(data), "basic")
    assert list((hub.root / "uploads").iterdir()) == []


@pytest.mark.parametrize(("path", "data"), [("a.txt", b"0123456789"), ("a.bin", b"\0" + b"123456789")])
def test_ranges_are_served_of_small_and_large_files(
    api: HfApi, hub: RunningHub, repo: str, path: str, data: bytes
) -> None:
    api.create_commit(repo, [CommitOperationAdd(path, data)], commit_message="one")
    url = hf_hub_url(repo, path, endpoint=hub.url)
    for header, start, end in (("bytes=2-4", 2, 5), ("bytes=7-", 7, 10), ("bytes=-3", 7, 10), ("bytes=5-99", 5, 10)):
        answer = get_session().get(url, headers={"Range": header})
        assert (answer.status_code, answer.content) == (206, data[start:end])
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/10"
        assert answer.headers["Content-Length"] == str(end - start)
    assert get_session().get(url, headers={"Range": "bytes=10-"}).status_code == 416
    whole = get_session().get(url)
    assert (whole.status_code, whole.content) == (200, data)


@given(data=st.binary(max_size=40), first=st.integers(0, 50), last=st.integers(0, 50))
def test_a_parsed_range_is_the_slice_that_it_asks_for(data: bytes, first: int, last: int) -> None:
    closed = parse_range(f"bytes={first}-{last}", len(data))
    assert closed is not None
    assert data[slice(*closed)] == data[first : last + 1]
    tail = parse_range(f"bytes=-{last}", len(data))
    assert tail is not None
    assert data[slice(*tail)] == (data[-last:] if last else b"")


@pytest.mark.parametrize("header", [None, "", "bytes=-", "bytes=a-b", "bytes=0-1,3-4", "lines=1-2"])
def test_what_is_no_single_range_asks_for_the_whole(header: str | None) -> None:
    assert parse_range(header, 10) is None


def test_head_has_all_that_the_cache_needs(api: HfApi, hub: RunningHub, repo: str) -> None:
    made = api.create_commit(
        repo, [CommitOperationAdd("a.txt", b"abc"), CommitOperationAdd("w.bin", b"\0abc")], commit_message="one"
    )
    small = get_session().head(hf_hub_url(repo, "a.txt", endpoint=hub.url))
    assert small.headers["X-Repo-Commit"] == made.oid
    assert small.headers["Content-Length"] == "3"
    assert small.headers["ETag"] == f'"{next(iter(api.get_paths_info(repo, "a.txt"))).blob_id}"'
    large = get_session().head(hf_hub_url(repo, "w.bin", endpoint=hub.url))
    digest = hashlib.sha256(b"\0abc").hexdigest()
    assert large.headers["X-Linked-Etag"] == f'"{digest}"'
    assert large.headers["X-Linked-Size"] == large.headers["Content-Length"] == "4"


@pytest.mark.parametrize("path", ["nowhere.txt", "folder", "../../store.json", "%2e%2e/store.json"])
def test_a_missing_file_still_names_the_commit(api: HfApi, hub: RunningHub, repo: str, path: str) -> None:
    made = api.create_commit(repo, [CommitOperationAdd("folder/a.txt", b"abc")], commit_message="one")
    answer = get_session().head(f"{hub.url}/{repo}/resolve/main/{path.replace('../', '%2e%2e%2f')}")
    assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "EntryNotFound")
    assert answer.headers["X-Repo-Commit"] == made.oid
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download(repo, "nowhere.txt")


def test_file_names_may_have_any_letters(api: HfApi, repo: str, tmp_path: Path) -> None:
    files = {"größe & more/文件 #1?.txt": b"small", "100% sure.bin": b"\0large", "a+b=c.txt": b"plus"}
    api.create_commit(repo, [CommitOperationAdd(*item) for item in files.items()], commit_message="names")
    assert sorted(api.list_repo_files(repo)) == sorted([".gitattributes", *files])
    assert_downloads_equal(api, tmp_path, files)


def test_the_file_system_view_reads_and_seeks(api: HfApi, hub: RunningHub, repo: str) -> None:
    from huggingface_hub import HfFileSystem

    api.create_commit(repo, [CommitOperationAdd("d/a.jsonl", b'{"n": 1}\n' * 100)], commit_message="one")
    files = HfFileSystem(endpoint=hub.url, token=LOCAL_TOKEN, skip_instance_cache=True)
    assert [item["name"] for item in files.ls(f"{repo}/d")] == [f"{repo}/d/a.jsonl"]
    with files.open(f"{repo}/d/a.jsonl", "rb", block_size=64) as file:
        file.seek(9 * 50)
        assert file.read(9) == b'{"n": 1}\n'
