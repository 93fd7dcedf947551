"""A plan compares two trees by content."""

import hashlib

import pygit2
from hypothesis import given
from hypothesis import strategies as st

from mixhub.hub.publish.plan import changes
from mixhub.hub.remote.files import RemoteFile, local_file, same_content

TREES = st.dictionaries(
    st.sampled_from(["a", "b/c", "README.md", ".gitattributes", "d.safetensors"]), st.binary(max_size=8)
)


def as_remote(content: bytes, large: bool) -> RemoteFile:
    pointer = f"version x\noid sha256:{hashlib.sha256(content).hexdigest()}\n".encode()
    stored = pointer if large else content
    sha256 = hashlib.sha256(content).hexdigest() if large else None
    return RemoteFile(len(content), str(pygit2.hash(stored)), sha256)


def apply(plan, local, remote):
    tree = dict(remote)
    for change in plan:
        if change.action == "delete":
            del tree[change.path]
        elif change.action != "keep":
            tree[change.path] = local[change.path]
    return tree


@given(TREES, TREES, st.booleans())
def test_the_plan_makes_the_remote_tree_the_local_one(local, remote, large):
    plan = changes(
        {path: local_file(content) for path, content in local.items()},
        {path: as_remote(content, large) for path, content in remote.items()},
    )
    after = apply(plan, local, remote)
    kept = {".gitattributes": remote[".gitattributes"]} if ".gitattributes" in remote else {}
    assert after == kept | local
    assert all((change.action == "keep") == (remote.get(change.path) == local.get(change.path)) for change in plan)


@given(st.binary(max_size=100))
def test_hashes_of_memory_and_disk_are_those_of_git_and_sha256(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("file") / "file"
    path.write_bytes(content)
    of_memory, of_disk = local_file(content), local_file(path)
    assert (of_memory.size, of_memory.sha256, of_memory.git_oid()) == (of_disk.size, of_disk.sha256, of_disk.git_oid())
    assert of_disk.sha256 == hashlib.sha256(content).hexdigest()
    assert of_disk.git_oid() == str(pygit2.hash(content))
    assert same_content(of_disk, as_remote(content, large=True))
    assert same_content(of_disk, as_remote(content, large=False))
    assert not same_content(of_disk, as_remote(content + b"x", large=True))
