import sys
from pathlib import Path
from typing import Any

import pytest

from mixhub.data.corpus import Corpus
from mixhub.demo import corpus as stdlib
from mixhub.errors import CorpusError
from tests.refusals import refused


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus.open(stdlib.write_corpus(tmp_path_factory.mktemp("data") / "stdlib"))


def test_four_domains_of_real_text_within_bounds(written: Corpus) -> None:
    for split in ("train", "valid"):
        assert written.domains(split) == sorted(stdlib.DOMAINS)
        for domain in stdlib.DOMAINS:
            assert all(text.strip() for text in written.documents(split, domain))
    size = sum(written.size(split, domain) for split in ("train", "valid") for domain in stdlib.DOMAINS)
    assert 3e6 < size < 8e6


def test_train_and_valid_share_no_document(written: Corpus) -> None:
    for domain in stdlib.DOMAINS:
        assert not set(written.documents("train", domain)) & set(written.documents("valid", domain))


def test_no_held_out_problem_is_trained_on_in_either_order(written: Corpus) -> None:
    def problems(split: Any) -> set[tuple[str, ...]]:
        lines = [line for text in written.documents(split, "arithmetic") for line in text.splitlines()]
        parts = [line.split(" = ")[0].split() for line in lines]
        return {(operator, *sorted((a, b))) for a, operator, b in parts}

    assert len(problems("valid")) > 100
    assert not problems("train") & problems("valid")


def test_arithmetic_is_right(written: Corpus) -> None:
    for line in next(written.documents("train", "arithmetic")).splitlines():
        problem, result = line.split(" = ")
        a, operator, b = problem.split()
        assert int(result) == {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[operator]


def test_no_long_paragraph_of_the_held_out_reference_is_trained_on(written: Corpus) -> None:
    for domain in ("language_reference", "docstrings"):
        trained = "\n\n".join(written.documents("train", domain)).split("\n\n")
        held_out = "\n\n".join(written.documents("valid", domain)).split("\n\n")
        long = {paragraph.strip() for paragraph in held_out if len(paragraph.strip()) >= 60}
        assert long
        assert not long & {paragraph.strip() for paragraph in trained}


def test_the_same_bytes_again_and_an_existing_folder_is_left_alone(written: Corpus, tmp_path: Path) -> None:
    again = stdlib.write_corpus(tmp_path / "again")
    for path in sorted(written.path.rglob("*.jsonl")):
        assert (again / path.relative_to(written.path)).read_bytes() == path.read_bytes()
    mine = tmp_path / "mine"
    mine.mkdir()
    stdlib.write_corpus(mine)
    assert list(mine.iterdir()) == []


def test_undecodable_and_unparsable_modules_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "lib"
    library.mkdir()
    for number in range(12):
        (library / f"module_{number}.py").write_text(f'"""Module {number} says something of itself."""\n')
    (library / "latin.py").write_bytes(b"# caf\xe9\n")
    (library / "broken.py").write_text('"""never ends\n')
    (library / "link.py").symlink_to(library / "nowhere.py")
    monkeypatch.setattr(stdlib.sysconfig, "get_path", lambda name: str(library))
    corpus = Corpus.open(stdlib.write_corpus(tmp_path / "corpus"))
    source = [*corpus.documents("train", "python_source"), *corpus.documents("valid", "python_source")]
    docstrings = [*corpus.documents("train", "docstrings"), *corpus.documents("valid", "docstrings")]
    assert len(source) == 13
    assert len(docstrings) == 12


def test_a_python_without_sources_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdlib.sysconfig, "get_path", lambda name: str(tmp_path / "nothing"))
    with refused("python-incomplete", CorpusError, path=tmp_path / "nothing", modules=0):
        stdlib.write_corpus(tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_a_python_without_its_reference_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with refused("python-incomplete", CorpusError, module="pydoc_data.topics"):
        stdlib.write_corpus(tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()
