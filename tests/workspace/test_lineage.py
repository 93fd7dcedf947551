"""Hashes of weights, and the lineage of an export."""

import hashlib

from mixhub._version import __version__
from mixhub.errors import ExportError, SpecError
from mixhub.workspace.lineage import UNKNOWN, combined_sha256, read_lineage, versions, weights_sha256
from tests.refusals import broken, refused


def test_the_hash_of_weights_is_that_of_their_names_and_hashes(tmp_path):
    for name, data in (("b.safetensors", b"2"), ("a.safetensors", b"1"), ("config.json", b"{}")):
        (tmp_path / name).write_bytes(data)
    one, two = (hashlib.sha256(data).hexdigest() for data in (b"1", b"2"))
    lines = f"a.safetensors\0{one}\nb.safetensors\0{two}\n"
    assert weights_sha256(tmp_path) == hashlib.sha256(lines.encode()).hexdigest()
    assert combined_sha256([("b.safetensors", two), ("a.safetensors", one)]) == weights_sha256(tmp_path)


def test_a_folder_without_weights_has_no_hash(tmp_path):
    with refused("weights-missing", ExportError, path=tmp_path):
        weights_sha256(tmp_path)


def test_a_lineage_that_is_missing_or_broken_is_refused(tmp_path):
    path = tmp_path / "lineage.json"
    with refused("file-missing", ExportError, path=path):
        read_lineage(tmp_path)
    path.write_text("{")
    with refused("file-malformed", ExportError, path=path):
        read_lineage(tmp_path)
    path.write_text('{"step": -1, "weights_sha256": "abc"}')
    with refused("spec-invalid", SpecError, file=str(path)) as caught:
        read_lineage(tmp_path)
    problems = broken(caught.value)
    assert (problems["family"], problems["weights_sha256"]) == ("key-missing", "value-format")


def test_versions_are_of_what_is_installed():
    found = versions("pytest", "no-such-package")
    assert found["mixhub"] == __version__
    assert found["pytest"][0].isdigit()
    assert found["no-such-package"] == UNKNOWN
