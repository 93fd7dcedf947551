"""Files that are damaged or do not fit: each a clear error, and the tokens as they were."""

import shutil
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixhub.data.exchange.imports import ImportOptions, import_tokens
from mixhub.data.formats import guess_format, token_file
from mixhub.errors import CorpusError, UnknownNameError, WorkspaceError
from mixhub.files import file_states, write_json
from mixhub.workspace.manifest import MANIFEST_FILE, index_file, read_manifest
from tests.data.formats.folders import EOS, bring_in, export, family, shards_of, write_folder
from tests.refusals import refused

FILES = {"prose-1": [[5, 299, 7], [1]], "prose-2": [[42] * 40]}


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A folder of tokens without domains."""
    return write_folder(tmp_path / "empty", {})


def exported(tmp_path: Path, format: str, vocab_size: int = 300) -> Path:
    """The first file of an export."""
    folder = write_folder(tmp_path / f"{format}-tokens", FILES, vocab_size)
    done = export(folder, tmp_path / format, format, vocab_size)
    return tmp_path / format / done.domains[0].files[0]


def idx(*, version=1, code=8, sequences=2, lengths=(4, 2), offsets=(0, 8), documents=(0, 1, 2)) -> bytes:
    head = b"MMIDIDX\0\0" + struct.pack("<QBQQ", version, code, sequences, len(documents))
    parts = struct.pack(f"<{len(lengths)}i", *lengths) + struct.pack(f"<{len(offsets)}q", *offsets)
    return head + parts + struct.pack(f"<{len(documents)}q", *documents)


BAD_INDEXES = {
    "empty": b"",
    "another magic": b"TNTIDX\0\0" + idx()[9:],
    "header cut": idx()[:20],
    "another version": idx(version=2),
    "floats": idx(code=7),
    "no such code": idx(code=9),
    "cut": idx()[:-1],
    "too long": idx() + b"\0",
    "impossible count": idx(sequences=2**60),
    "no documents": idx(documents=()),
    "negative length": idx(lengths=(8, -2)),
    "offset out of range": idx(offsets=(0, 800)),
    "negative offset": idx(offsets=(-8, 8)),
    "overlap": idx(offsets=(0, 4)),
    "tokens left over": idx(lengths=(3, 2), offsets=(0, 6)),
    "more tokens than there are": idx(lengths=(4, 3)),
    "documents do not begin at 0": idx(documents=(1, 2, 2)),
    "documents end early": idx(documents=(0, 1, 1)),
    "documents go back": idx(documents=(0, 3, 2)),
    "a negative document": idx(documents=(0, -1, 2)),
    "wider ids": idx(code=4),
}


def test_a_good_index_is_read_and_may_have_several_sequences_in_a_document(tmp_path, empty):
    (tmp_path / "a.bin").write_bytes(struct.pack("<6H", 5, 6, 7, EOS, 8, EOS))
    for number, documents in enumerate([(0, 1, 2), (0, 2)]):
        (tmp_path / "a.idx").write_bytes(idx(documents=documents))
        folder = shutil.copytree(empty, tmp_path / f"tokens{number}")
        part = bring_in(folder, [tmp_path / "a.bin"]).domain
        assert shards_of(folder, part) == [([5, 6, 7, EOS, 8, EOS], [4, 6] if number == 0 else [6])]


@pytest.mark.parametrize("index", BAD_INDEXES.values(), ids=BAD_INDEXES)
def test_an_index_that_does_not_fit_is_refused(tmp_path, empty, index):
    before = file_states(empty)
    (tmp_path / "a.bin").write_bytes(struct.pack("<6H", 5, 6, 7, EOS, 8, EOS))
    (tmp_path / "a.idx").write_bytes(index)
    with refused("tokens-file-malformed", CorpusError) as caught:
        bring_in(empty, [tmp_path / "a.bin"])
    assert caught.value.fields["path"] in (tmp_path / "a.bin", tmp_path / "a.idx")
    assert file_states(empty) == before


def damaged(format: str, content: bytes) -> dict[str, bytes]:
    """Contents of a file of a format, spoilt in several ways."""
    spoilt = {"cut": content[:-1], "longer": content + b"\0"}
    if format in ("llm.c", "litgpt"):
        at = 4 if format == "llm.c" else 7
        spoilt["another version"] = content[:at] + b"\x63" + content[at + 1 :]
        spoilt["header cut"] = content[:10]
        spoilt["another count"] = content[: at + 4] + b"\1" + content[at + 5 :]
    if format == "litgpt":
        spoilt["floats"] = content[:15] + b"\6" + content[16:]
    if format == "llm.c":
        spoilt["a negative count"] = content[:8] + struct.pack("<i", -1) + content[12:]
    if format == "parquet":
        spoilt["no footer"], spoilt["no file of parquet"] = content[:-12], b"PAR1" + b"\0" * 40
        del spoilt["longer"]
    return spoilt


@pytest.mark.parametrize("format", ["datatrove", "olmo", "llm.c", "litgpt", "parquet"])
def test_a_damaged_file_is_refused(tmp_path, empty, format):
    path = exported(tmp_path, format)
    before = file_states(empty)
    for name, content in damaged(format, path.read_bytes()).items():
        path.write_bytes(content)
        with refused("tokens-file-malformed", CorpusError, path=path):
            bring_in(empty, [path], format=format)
            pytest.fail(name)
        assert file_states(empty) == before


@pytest.mark.parametrize("ends", [[4, 2], [2, 4], [4, 6, 7], [], [2**63, 6], [2**64 - 1], [5]])
def test_ends_that_do_not_fit_are_refused(tmp_path, empty, ends):
    path = exported(tmp_path, "datatrove")  # 4 and 2 tokens
    np.array(ends, np.uint64).tofile(index_file(path))
    with refused("tokens-file-malformed", CorpusError):
        bring_in(empty, [path])


def test_a_file_of_numpy_is_not_raw(tmp_path, empty):
    np.save(tmp_path / "a.npy", np.array([5, EOS], np.uint16))
    with refused("tokens-file-malformed", CorpusError, path=tmp_path / "a.npy"):
        bring_in(empty, [tmp_path / "a.npy"])


def test_ids_of_another_tokenizer_are_refused(tmp_path, empty):
    """Also those that would be others after a conversion: 65,836 is 300 as uint16."""
    before = file_states(empty)
    wrong_ids = [(pa.uint32(), 65_836), (pa.uint32(), 300), (pa.int32(), -1), (pa.int64(), 2**40)]
    for number, (kind, wrong) in enumerate(wrong_ids):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table({"input_ids": pa.array([[5, wrong, EOS]], pa.list_(kind))}), path)
        with refused("ids-out-of-range", CorpusError, path=path, position=1, id=wrong):
            bring_in(empty, [path])
    assert file_states(empty) == before


def test_uint32_ids_in_a_raw_file_are_noticed_and_can_be_asked_for(tmp_path, empty):
    np.array([5, 6, EOS] * 600, "<u4").tofile(tmp_path / "a.npy")
    with refused("ids-type", CorpusError, path=tmp_path / "a.npy"):
        bring_in(empty, [tmp_path / "a.npy"])
    part = bring_in(empty, [tmp_path / "a.npy"], dtype="uint32").domain
    assert shards_of(empty, part)[0][0] == [5, 6, EOS] * 600


def test_every_second_id_may_be_zero_indeed(tmp_path, empty):
    np.array([5, EOS] * 600, "<u2").tofile(tmp_path / "a.npy")
    part = bring_in(empty, [tmp_path / "a.npy"], dtype="uint16").domain
    assert (part.documents, part.tokens) == (600, 1200)


@pytest.mark.parametrize(
    ("rows", "completed"),
    [
        ([[5, 6]], [[5, 6, EOS]]),
        ([[5, EOS], [6], [7, EOS], [8]], [[5, EOS], [6, EOS], [7, EOS], [8, EOS]]),
        ([[5, EOS], []], [[5, EOS], [EOS]]),
        ([[], [], [5]], [[EOS], [EOS], [5, EOS]]),
        ([[5, EOS, 6]], [[5, EOS, 6, EOS]]),
    ],
)
@pytest.mark.parametrize("rows_at_once", [1, 2, 64])
def test_documents_without_eos_are_refused_or_completed(tmp_path, empty, monkeypatch, rows, completed, rows_at_once):
    monkeypatch.setattr("mixhub.data.formats.parquet._ROWS", rows_at_once)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"input_ids": pa.array(rows, pa.list_(pa.uint16()))}), path)
    first = next(number for number, row in enumerate(rows, start=1) if not row or row[-1] != EOS)
    with refused("eos-missing", CorpusError, path=path, document=first):
        bring_in(empty, [path])
    ids, ends = shards_of(empty, bring_in(empty, [path], add_eos=True).domain)[0]
    assert [ids[start:stop] for start, stop in zip([0, *ends], ends, strict=False)] == completed


def test_a_file_that_ends_within_a_document_is_imported_and_noted(tmp_path, empty):
    for name in ("a", "b"):
        np.array([5, EOS, 6], "<u2").tofile(tmp_path / f"{name}.npy")
    other = shutil.copytree(empty, tmp_path / "other")
    imported = bring_in(empty, [tmp_path / "a.npy", tmp_path / "b.npy"])
    assert shards_of(empty, imported.domain) == [([5, EOS, 6], [2, 3])] * 2
    assert any("a.npy, b.npy" in note for note in imported.notes)
    imported = bring_in(other, [tmp_path / "a.npy"], add_eos=True)
    assert shards_of(other, imported.domain) == [([5, EOS, 6, EOS], [2, 4])]
    assert not any("a.npy" in note for note in imported.notes)


def test_llmcs_own_files_begin_with_eos(tmp_path, empty):
    header = struct.pack("<256i", 20240520, 1, 5, *[0] * 253)
    (tmp_path / "a.bin").write_bytes(header + struct.pack("<5H", EOS, 5, EOS, 6, 7))
    part = bring_in(empty, [tmp_path / "a.bin"]).domain
    assert shards_of(empty, part) == [([EOS, 5, EOS, 6, 7], [1, 3, 5])]


def test_padding_of_a_chunk_is_left_out_and_noted(tmp_path, empty):
    path = exported(tmp_path, "litgpt")
    imported = bring_in(empty, [path])
    assert shards_of(empty, imported.domain) == [([5, 299, 7, EOS, 1, EOS], [4, 6])]
    assert any(f"{17 * 256 - 6:,} eos tokens" in note for note in imported.notes)


def test_a_file_without_a_format_needs_the_option(tmp_path, empty):
    path = tmp_path / "train.bin"
    np.array([5, EOS], "<u2").tofile(path)
    with refused("format-unclear", CorpusError, path=path):
        bring_in(empty, [path])
    with refused("unknown-format", UnknownNameError):
        bring_in(empty, [path], format="olmO")
    assert bring_in(empty, [path], format="olmo").domain.tokens == 2


def test_files_that_belong_to_a_file_of_tokens_lead_to_it(tmp_path, empty):
    path = exported(tmp_path, "datatrove")
    for beside in (index_file(path), path.with_name(f"{path.name}.metadata")):
        assert token_file(beside) == path
    bin_file = exported(tmp_path, "megatron")
    assert token_file(bin_file.with_suffix(".idx")) == token_file(bin_file.with_suffix("")) == bin_file
    part = bring_in(empty, sorted(bin_file.parent.iterdir())).domain
    assert [source.name for source in part.sources] == ["prose.bin"]


def test_a_bin_file_is_recognised_by_what_is_in_it(tmp_path):
    assert [guess_format(exported(tmp_path, name)).name for name in ("megatron", "llm.c", "litgpt")] == [
        "megatron",
        "llm.c",
        "litgpt",
    ]


@pytest.mark.parametrize("suffix", [".bin", ".idx"])
def test_a_half_of_megatrons_files_is_missing(tmp_path, empty, suffix):
    path = exported(tmp_path, "megatron")
    path.with_suffix(suffix).unlink()
    with refused("file-missing", CorpusError, path=path.with_suffix(suffix)):
        bring_in(empty, [path], format="megatron")


def test_missing_files_and_folders_are_named(tmp_path, empty):
    for path in (tmp_path / "missing.npy", tmp_path):
        with refused("file-missing", CorpusError, path=path):
            bring_in(empty, [path])
    with refused("file-missing", CorpusError):
        bring_in(empty, [])


def test_files_of_one_name_keep_their_folders(tmp_path, empty):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        np.array([5, EOS], "<u2").tofile(tmp_path / name / "part.npy")
    part = bring_in(empty, [tmp_path / "b" / "part.npy", tmp_path / "a" / "part.npy"]).domain
    assert [source.name for source in part.sources] == ["b/part.npy", "a/part.npy"]
    assert [shard.file for shard in part.shards] == ["train/prose/b/part.ds", "train/prose/a/part.ds"]
    assert len(shards_of(empty, part)) == 2


def test_no_name_leads_out_of_the_folder(tmp_path, empty, monkeypatch):
    (tmp_path / "here").mkdir()
    for path in (tmp_path / "a.npy", tmp_path / "here" / "b.npy"):
        np.array([5, EOS], "<u2").tofile(path)
    monkeypatch.chdir(tmp_path / "here")
    part = bring_in(empty, [Path("../a.npy"), Path("b.npy")]).domain
    assert [source.name for source in part.sources] == ["a.npy", "here/b.npy"]


def test_files_that_would_share_a_shard_are_refused(tmp_path, empty):
    for suffix in (".npy", ".raw"):
        np.array([5, EOS], "<u2").tofile(tmp_path / f"a{suffix}")
    with refused("file-repeated", CorpusError, names=("a.npy", "a.raw")):
        bring_in(empty, [tmp_path / "a.npy", tmp_path / "a.raw"], format="olmo")


@pytest.mark.parametrize("ids", [[], [EOS], [EOS, EOS]])
def test_files_without_tokens_make_no_domain(tmp_path, empty, ids):
    np.array(ids, "<u2").tofile(tmp_path / "a.npy")
    before = file_states(empty)
    with refused("domain-empty", CorpusError):
        bring_in(empty, [tmp_path / "a.npy"])
    assert file_states(empty) == before


def test_a_file_of_parquet_needs_the_column_with_lists_of_integers(tmp_path, empty):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"tokens": [[5, 0]]}), path)
    with refused("column-missing", CorpusError, path=path):
        bring_in(empty, [path])
    for column in ([5, 0], [[0.5]], ["text"], pa.array([[5, 0], None]), pa.array([[5, None, 0]])):
        pq.write_table(pa.table({"input_ids": column}), path)
        with refused("tokens-file-malformed", CorpusError, path=path):
            bring_in(empty, [path])


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.large_list(pa.int32()), pa.list_(pa.uint16(), 2)])
def test_other_lists_of_integers_are_read(tmp_path, empty, kind):
    pq.write_table(pa.table({"input_ids": pa.array([[5, 0], [6, 0]], kind), "more": [1, 2]}), tmp_path / "a.parquet")
    assert shards_of(empty, bring_in(empty, [tmp_path / "a.parquet"]).domain) == [([5, 0, 6, 0], [2, 4])]


def test_a_domain_is_imported_once(tmp_path):
    folder = write_folder(tmp_path / "tokens", FILES)
    before = file_states(folder)
    with refused("domain-exists", CorpusError, split="train", domain="prose"):
        bring_in(folder, [exported(tmp_path, "olmo")])
    assert file_states(folder) == before


def test_a_domain_that_the_family_does_not_read_is_refused(tmp_path, empty):
    with refused("unknown-domain", UnknownNameError) as caught:
        import_tokens(
            family(),
            empty,
            [exported(tmp_path, "olmo")],
            domain=("train", "proes"),
            tokenizer=empty / "tokenizer",
            options=ImportOptions(),
        )
    assert caught.value.nearest == "prose"


def test_a_pack_is_finished_first(tmp_path, empty):
    """It may be writing the same domain, or have another tokenizer."""
    unfinished = empty.with_name("empty.packing")
    unfinished.mkdir()
    with refused("pack-unfinished", CorpusError, path=unfinished):
        bring_in(empty, [exported(tmp_path, "olmo")])


def test_another_tokenizer_is_refused(tmp_path, empty):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "tokenizer.json").write_text("{} ")
    with refused("tokens-differ", CorpusError, key="tokenizer_sha256"):
        import_tokens(
            family(),
            empty,
            [exported(tmp_path, "olmo")],
            domain=("train", "prose"),
            tokenizer=tmp_path / "other",
            options=ImportOptions(),
        )


def test_what_was_left_by_a_killed_import_is_replaced(tmp_path, empty):
    """The manifest is written last: a domain that it does not name is not there."""
    (empty / "train" / "prose").mkdir(parents=True)
    (empty / "train" / "prose" / "prose-1.ds").write_bytes(b"half")
    (empty / "train" / ".tmp-prose.1-00000000").mkdir()
    part = bring_in(empty, [exported(tmp_path, "olmo")]).domain
    assert len(shards_of(empty, part)) == 1
    assert [path.name for path in (empty / "train").iterdir()] == ["prose"]


def test_an_export_goes_to_an_empty_folder(tmp_path):
    folder = write_folder(tmp_path / "tokens", FILES)
    (tmp_path / "out").mkdir()
    export(folder, tmp_path / "out", "olmo")
    before = file_states(tmp_path / "out")
    for to in (tmp_path / "out", folder / MANIFEST_FILE):
        with refused("folder-not-empty", WorkspaceError, path=to):
            export(folder, to, "datatrove")
    assert file_states(tmp_path / "out") == before


def test_an_export_that_fails_leaves_nothing(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "tokens", FILES)
    monkeypatch.setattr("mixhub.data.formats.base.Stream.ends", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(folder, tmp_path / "out", "megatron")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokens"]


def test_an_export_is_a_copy(tmp_path):
    folder = write_folder(tmp_path / "tokens", FILES)
    before = file_states(folder)
    for format in ("olmo", "datatrove"):
        done = export(folder, tmp_path / format, format)
        path = tmp_path / format / done.domains[0].files[0]
        path.write_bytes(b"\0" * path.stat().st_size)
    assert file_states(folder) == before


def test_unknown_domains_and_formats_of_an_export(tmp_path):
    folder = write_folder(tmp_path / "tokens", FILES)
    with refused("unknown-domain", UnknownNameError):
        export(folder, tmp_path / "out", "olmo", domains=["prose", "verse"])
    with refused("unknown-domain", UnknownNameError):
        export(folder, tmp_path / "out", "olmo", domains=["prose"], split="valid")
    with refused("unknown-format", UnknownNameError):
        export(folder, tmp_path / "out", "megatrom")
    assert not (tmp_path / "out").exists()


def test_regmix_has_no_file_without_a_full_chunk(tmp_path):
    folder = write_folder(tmp_path / "tokens", FILES)
    with refused("chunks-missing", CorpusError):
        export(folder, tmp_path / "out", "regmix")
    assert not (tmp_path / "out").exists()


def test_what_regmix_leaves_out_is_noted(tmp_path):
    folder = write_folder(tmp_path / "tokens", {"prose-1": [[7] * 17 * 256, [8] * 99]})
    assert any("101 tokens" in note for note in export(folder, tmp_path / "out", "regmix").notes)


def test_shards_without_ends_are_exported_where_no_ends_are_needed(tmp_path):
    """As they were packed in format 1."""
    folder = write_folder(tmp_path / "tokens", FILES)
    data = read_manifest(folder).to_data()
    for shard in data["train"]["prose"]["shards"]:
        del shard["ends_sha256"]
        index_file(folder / shard["file"]).unlink()
    write_json(folder / MANIFEST_FILE, {**data, "format": 1})
    for format in ("megatron", "datatrove", "parquet"):
        with refused("document-ends-missing", CorpusError, domain="train/prose"):
            export(folder, tmp_path / format, format)
    assert [each.tokens for each in export(folder, tmp_path / "olmo", "olmo").domains] == [47]


def test_a_damaged_shard_is_not_exported(tmp_path):
    folder = write_folder(tmp_path / "tokens", FILES)
    (folder / "train/prose/prose-1.ds").write_bytes(b"\0\0")
    with refused("tokens-damaged", CorpusError):
        export(folder, tmp_path / "out", "olmo")
