import re
from pathlib import Path

import pytest

from mixhub.data.corpus import Corpus
from mixhub.errors import CorpusError
from mixhub.workspace.manifest import required_domains
from tests.refusals import refused
from tests.tiny import tiny_family, write_rows


def test_lists_domains_and_orders_files_by_number(tmp_path: Path) -> None:
    for name in ("two-part-10.jsonl", "two-part-9.jsonl", "prose-1.jsonl"):
        write_rows(tmp_path / "train" / name, [name])
    write_rows(tmp_path / "valid" / "prose-1.jsonl", ["held out"])
    (tmp_path / "train" / "notes.txt").write_text("passed over")
    corpus = Corpus.open(tmp_path)
    assert corpus.domains("train") == ["prose", "two-part"]
    assert list(corpus.documents("train", "two-part")) == ["two-part-9.jsonl", "two-part-10.jsonl"]
    assert corpus.domains("valid") == ["prose"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"not json", "row-malformed"),
        (b'{"text": ' + b"[" * 100_000 + b"}", "row-malformed"),
        (b"[1]", "row-text-missing"),
        (b'{"txt": "a"}', "row-text-missing"),
        (b'{"text": 3}', "row-text-missing"),
        (b'{"text": null}', "row-text-missing"),
        (b'{"text": "\xff"}', "row-encoding"),
        (b'{"text": "\\ud800"}', "row-encoding"),
    ],
)
def test_a_bad_row_is_named_with_file_line_and_rule(tmp_path: Path, line: bytes, code: str) -> None:
    (tmp_path / "train").mkdir()
    path = tmp_path / "train" / "prose-1.jsonl"
    path.write_bytes(b'{"text": "fine"}\n' + line + b"\n")
    documents = Corpus.open(tmp_path).documents("train", "prose")
    assert next(documents) == "fine"
    with refused(code, CorpusError, path=path, line=2):
        next(documents)


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    line = b'{"text": "a"}\n'
    (tmp_path / "train" / "a-1.jsonl").write_bytes(b"\xef\xbb\xbf" + line)
    assert list(Corpus.open(tmp_path).documents("train", "a")) == ["a"]
    (tmp_path / "train" / "a-1.jsonl").write_bytes(line + b"\xef\xbb\xbf" + line)
    with refused("row-malformed", CorpusError, line=2):
        list(Corpus.open(tmp_path).documents("train", "a"))


def test_blank_lines_are_no_documents(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a-1.jsonl").write_bytes(b'\n{"text": "a"}\n \t\n{"text": "b"}\n\r\n\n')
    assert list(Corpus.open(tmp_path).documents("train", "a")) == ["a", "b"]


def test_every_missing_domain_is_listed_at_once_with_the_nearest(corpus: Path) -> None:
    (corpus / "train" / "sums-1.jsonl").rename(corpus / "train" / "sum-1.jsonl")
    (corpus / "train" / "sums-2.jsonl").unlink()
    (corpus / "valid" / "prose-1.jsonl").unlink()
    missing = (("train", "sums"), ("valid", "prose"))
    with refused("domains-missing", CorpusError, path=corpus, missing=missing) as caught:
        Corpus.open(corpus).require(required_domains(tiny_family()))
    lines = caught.value.message.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith(" sum")
    assert str(corpus / "train") in lines[0]
    assert str(corpus / "valid") in lines[1]


def test_a_file_of_a_missing_domain_with_another_name_is_named(corpus: Path) -> None:
    (corpus / "valid" / "prose-1.jsonl").rename(corpus / "valid" / "prose.jsonl")
    with refused("domains-missing", CorpusError, missing=(("valid", "prose"),)) as caught:
        Corpus.open(corpus).require(required_domains(tiny_family()))
    assert "prose.jsonl" in caught.value.message


def test_no_corpus_says_which_files_to_put_there(tmp_path: Path) -> None:
    with refused("corpus-missing", CorpusError, path=tmp_path / "words") as caught:
        Corpus.open(tmp_path / "words")
    assert caught.value.hint is not None
    assert "<domain>-<n>.jsonl" in caught.value.hint
    assert "data download" not in caught.value.hint
    with refused("corpus-missing", CorpusError) as caught:
        Corpus.open(tmp_path / "words", dataset="sail/regmix-data")
    assert "mixhub data download" in str(caught.value.hint)


def test_required_domains_are_those_of_every_index_and_leave_out_zero_weights() -> None:
    mixtures = {1: {"train_a": 1.0, "train_b": 0.0}, 2: {"train_c": 2.0}}
    family = tiny_family(
        mixture=None,
        mixtures=mixtures,
        revisions={"pattern": "index-{index}", "indices": [1, 2], "seeds": []},
        training={"seed": 1},
    )
    assert required_domains(family) == {"train": ["a", "c"], "valid": ["prose", "sums"]}


def test_the_column_of_broken_json_is_named_once(tmp_path: Path) -> None:
    write_rows(tmp_path / "train" / "prose-1.jsonl", [])
    path = tmp_path / "train" / "prose-1.jsonl"
    path.write_text('{"text": "no end\n', encoding="utf-8")
    with refused("row-malformed", CorpusError, path=path, line=1) as caught:
        list(Corpus.open(tmp_path).documents("train", "prose"))
    assert caught.value.message.count(" at ") == 1
    assert re.search(r" at column \d+$", caught.value.message)
