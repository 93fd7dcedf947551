"""Safetensors files are read as safetensors itself reads them, and what is wrong in them is found."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mixhub.errors import ExportError
from mixhub.hub.rules.weights import are_same_tensors, fingerprints, header_end, header_tensors, scan, shared_tensors
from mixhub.workspace.lineage import file_sha256
from tests.hub.bench import change_header
from tests.refusals import refused


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of three tensors."""
    path = tmp_path / "model.safetensors"
    tensors = {"a": torch.arange(12.0).reshape(3, 4), "b": torch.ones(4), "c": torch.zeros(0)}
    save_file(tensors, path, {"format": "pt"})
    return path


def test_what_a_file_holds(file):
    scanned = scan(file)
    assert (scanned.sha256, scanned.not_finite) == (file_sha256(file), {})
    shapes = {name: (tensor.dtype, tensor.shape) for name, tensor in scanned.tensors.items()}
    assert shapes == {"a": ("F32", (3, 4)), "b": ("F32", (4,)), "c": ("F32", (0,))}


def test_the_first_bytes_are_enough_for_the_tensors(file):
    content = file.read_bytes()
    end = header_end(content[:8])
    assert content[end - 1 : end] in (b"}", b" ")
    assert header_tensors("x", len(content), content[:end]) == scan(file).tensors
    with refused("weights-malformed", ExportError):
        header_tensors("x", len(content), content[: end - 1])
    with refused("weights-malformed", ExportError):
        header_tensors("x", len(content) - 1, content[:end])


@pytest.mark.parametrize("size", [-1, 0, 10**15, 10**19])
def test_a_stated_size_that_no_file_has(file, size, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "full"))  # nothing is written
    content = file.read_bytes()
    with refused("weights-malformed", ExportError):
        header_tensors("x", size, content)


def test_a_file_of_a_petabyte_is_read_from_its_header():
    header = {"w": {"dtype": "F32", "shape": [10**15], "data_offsets": [0, 4 * 10**15]}}
    raw = json.dumps(header).encode()
    start = len(raw).to_bytes(8, "little") + raw
    assert header_tensors("x", len(start) + 4 * 10**15, start)["w"].size == 4 * 10**15


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 0.0, -1.5])
def test_numbers_of_every_dtype(tmp_path, dtype, value):
    weights = torch.full((1000, 1031), 2.0).to(dtype)  # more than a block
    weights[999, 1030] = value
    save_file({"w": weights, "n": torch.arange(10)}, tmp_path / "x.safetensors")
    scanned = scan(tmp_path / "x.safetensors")
    assert dict(scanned.not_finite) == ({} if np.isfinite(value) else {"w": 1})
    assert scanned.sha256 == file_sha256(tmp_path / "x.safetensors")
    assert scanned.tensors["w"].shape == (1000, 1031)


def test_numbers_of_a_dtype_without_infinity(tmp_path):
    weights = torch.full((8,), 2.0).to(torch.float8_e4m3fn)
    weights[2] = float("nan")
    weights[3] = 448.0  # the largest there is, with all bits of the exponent set
    save_file({"w": weights}, tmp_path / "x.safetensors")
    assert dict(scan(tmp_path / "x.safetensors").not_finite) == {"w": 1}


@pytest.mark.parametrize("cut", [0, 4, 8, 100, -1, -60])
def test_a_file_that_is_cut_short(file, cut):
    file.write_bytes(file.read_bytes()[:cut])
    with refused("weights-malformed", ExportError, path=file):
        scan(file)


@pytest.mark.parametrize("end", [b"x", b"\0" * 512])
def test_a_file_with_something_behind_it(file, end):
    file.write_bytes(file.read_bytes() + end)
    with refused("weights-malformed", ExportError):
        scan(file)


def test_a_file_that_is_none(tmp_path):
    with refused("file-unreadable", ExportError, path=tmp_path / "x"):
        scan(tmp_path / "x")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dtype", "XYZ"),
        ("dtype", "f32"),
        ("dtype", 32),
        ("shape", ["3", "4"]),
        ("shape", [3.0, 4.0]),
        ("shape", [-3, -4]),
        ("shape", "34"),
        ("shape", [3, 5]),
        ("data_offsets", ["0", "48"]),
        ("data_offsets", [False, 48]),
        ("data_offsets", [0, 48, 48]),
        ("data_offsets", [48, 0]),
        ("data_offsets", [16, 64]),
    ],
)
def test_a_header_that_no_reader_opens(file, key, value):
    change_header(file, lambda header: header["a"].update({key: value}))
    with refused("weights-malformed", ExportError, path=file):
        scan(file)
    with pytest.raises(SafetensorError):
        load_file(file)


@pytest.mark.parametrize("value", [{"format": 5}, ["pt"]])
def test_metadata_that_no_reader_opens(file, value):
    change_header(file, lambda header: header.update(__metadata__=value))
    with refused("weights-malformed", ExportError, path=file):
        scan(file)
    with pytest.raises(SafetensorError):
        load_file(file)


def test_a_header_without_metadata_is_no_fault(file):
    change_header(file, lambda header: header.pop("__metadata__"))
    assert set(load_file(file)) == set(scan(file).tensors)


def test_a_hole_between_tensors(tmp_path):
    header = {
        "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        "b": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]},
    }
    raw = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + b"\0" * 12)
    with refused("weights-malformed", ExportError):
        scan(path)


def test_a_tensor_without_numbers_is_no_fault(tmp_path):
    header = (
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"z":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
    )
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0\0\0")
    assert set(load_file(path)) == {"a", "z"} == set(scan(path).tensors)


@pytest.fixture
def folders(tmp_path: Path):
    """Writes tensors into a folder of their own, and gives their fingerprints."""

    def written(name: str, **tensors: torch.Tensor):
        (tmp_path / name).mkdir()
        save_file(tensors, tmp_path / name / "model.safetensors")
        return fingerprints(tmp_path / name)

    return written


def test_fingerprints_tell_tensors_apart_at_both_ends(folders):
    first = torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
    changed = {end: first.clone() for end in (0, -1)}
    for end, tensor in changed.items():
        tensor.view(-1)[end] += 1
    own = folders("own", w=first)
    assert are_same_tensors(own, folders("same", w=first.clone()))
    for end, tensor in changed.items():
        assert not are_same_tensors(own, folders(f"changed{end}", w=tensor))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_cast_is_the_same_tensor(folders, dtype):
    first = torch.randn(8, 8, generator=torch.Generator().manual_seed(1))
    own = folders("own", w=first)
    assert are_same_tensors(own, folders("cast", w=first.to(dtype)))
    assert not are_same_tensors(own, folders("other", w=(1.1 * first).to(dtype)))
    assert not are_same_tensors(own, folders("whole", w=torch.arange(64).reshape(8, 8)))


def test_numbers_are_compared_across_plain_floats_only(folders):
    own = folders("own", w=torch.zeros(1, 1, dtype=torch.int32))
    other = folders("other", w=torch.zeros(1, 1, dtype=torch.int64))
    assert own["w"].first.size == other["w"].first.size == 0
    assert not are_same_tensors(own, other)


def test_most_tensors_must_be_in_both(folders):
    many = {name: torch.full((2, 2), float(number)) for number, name in enumerate("abcd")}
    own = folders("own", **many)
    assert are_same_tensors(own, folders("three", **{name: many[name] for name in "abc"}))
    assert not are_same_tensors(own, folders("half", **{name: many[name] for name in "ab"}))
    assert not are_same_tensors({}, {})


def test_shared_tensors_are_matrices_that_are_no_constants(folders):
    noise = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
    own = folders("own", matrix=noise, row=noise[0].clone(), constant=torch.ones(4, 4), wide=noise.clone())
    tensors = {"matrix": noise.clone(), "row": noise[0].clone(), "constant": torch.ones(4, 4)}
    other = folders("other", **tensors, wide=noise.reshape(2, 8))
    assert shared_tensors(own, other) == ["matrix"]


def test_a_folder_that_cannot_be_read_has_no_fingerprints(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"x")
    assert fingerprints(tmp_path) == {}
