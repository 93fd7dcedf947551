"""Which files are large, and which are ignored."""

from __future__ import annotations

import pytest

from mixhub.hubserver.storage.patterns import DEFAULT_ATTRIBUTES, is_ignored, is_large


@pytest.mark.parametrize(
    ("path", "size", "sample", "large"),
    [
        ("model.safetensors", 10, b"text", True),
        ("a/b/data.parquet", 10, b"text", True),
        ("runs/events.tfevents.1", 10, b"text", True),
        ("saved_model/x/y.pb2", 10, b"text", True),
        ("config.json", 10, b"{}", False),
        ("config.json", 10, b"{\0}", True),
        ("tokenizer.json", 10 * 1024 * 1024, b"{}", False),
        ("tokenizer.json", 10 * 1024 * 1024 + 1, b"{}", True),
        ("empty.safetensors", 0, b"", False),
    ],
)
def test_large_files_are_binary_big_or_named_so(path: str, size: int, sample: bytes, large: bool) -> None:
    assert is_large(path, size, sample, DEFAULT_ATTRIBUTES) is large


def test_the_last_attribute_that_matches_decides() -> None:
    attributes = "# weights\n*.bin filter=lfs -text\nsmall/*.bin -filter\n"
    assert is_large("a.bin", 1, b"x", attributes)
    assert not is_large("small/a.bin", 1, b"x", attributes)
    assert is_large("small/deep/a.bin", 1, b"x", attributes)


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("a.log", True),
        ("deep/a.log", True),
        ("keep.log", False),
        ("build/x", True),
        ("deep/build/x/y", True),
        ("build", False),
        ("top.txt", True),
        ("deep/top.txt", False),
        ("docs/a/b/draft.md", True),
        ("docs/draft.md", True),
        ("cache/keep.log", True),
        ("x1.tmp", True),
        ("xa.tmp", False),
        ("#file", False),
    ],
)
def test_ignore_patterns_are_those_of_git(path: str, ignored: bool) -> None:
    ignore = "# comment\n\n*.log\n!keep.log\nbuild/\n/top.txt\ndocs/**/draft.md\ncache/*\nx[0-9].tmp\n"
    assert is_ignored(path, ignore) is ignored


@pytest.mark.parametrize("line", ["", "   ", "# a comment", "#file", "#*"])
def test_empty_lines_and_comments_ignore_nothing(line: str) -> None:
    for path in ("", "file", "#file", "# a comment", line):
        assert not is_ignored(path, f"{line}\n"), path


def test_two_stars_match_any_number_of_folders() -> None:
    assert is_ignored("a/b/c.txt", "a/**")
    assert not is_ignored("a", "a/**")
    assert is_ignored("a/x/y/b", "a/**/b")
    assert is_ignored("a/b", "a/**/b")
    assert not is_ignored("x/a/b", "a/**/b")


@pytest.mark.parametrize(
    ("pattern", "path", "large"),
    [
        (r"a\[1\].txt", "a[1].txt", True),
        (r"a\[1\].txt", "a1.txt", False),
        (r"a\*.txt", "a*.txt", True),
        (r"a\*.txt", "ab.txt", False),
        (r"\a\.txt", "a.txt", True),
        (r"sub/a\?.txt", "sub/a?.txt", True),
        (r"sub/a\?.txt", "sub/ab.txt", False),
        ("two[[:space:]]words.txt", "two words.txt", True),
        ("two[[:space:]]words.txt", "two-words.txt", False),
    ],
)
def test_a_backslash_takes_a_letter_as_it_is(pattern: str, path: str, large: bool) -> None:
    assert is_large(path, 1, b"x", f"{pattern} filter=lfs\n") is large
    assert is_ignored(path, pattern) is large


@pytest.mark.parametrize(
    ("line", "path"), [(r"\#file", "#file"), (r"\!file", "!file"), ("end\\ ", "end "), ("end\\   ", "end ")]
)
def test_a_backslash_before_a_letter_that_means_something_at_an_end(line: str, path: str) -> None:
    assert is_ignored(path, line)
    assert not is_ignored(path.strip("#! "), line)
