"""Lists, plurals, ranges and sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixhub.phrases import listed, magnitude, plural, preview, ranges, size


@pytest.mark.parametrize(
    ("names", "options", "text"),
    [
        ([], {}, ""),
        (["a"], {"last": "and"}, "a"),
        (["a", "b"], {}, "a, b"),
        (["a", "b"], {"last": "and"}, "a and b"),
        (["a", "b", "c"], {"last": "or"}, "a, b or c"),
        ([1, 2, 3], {"most": 3}, "1, 2, 3"),
        ([1, 2, 3], {"most": 2}, "1, 2 and 1 more"),
        (list(range(2000)), {"most": 1}, "0 and 1,999 more"),
    ],
)
def test_lists(names, options, text):
    assert listed(names, **options) == text


def test_plurals():
    assert [plural(number, "file") for number in (0, 1, 2, 1200)] == ["0 files", "1 file", "2 files", "1,200 files"]
    assert [plural(number, "index", "indices") for number in (1, 2)] == ["1 index", "2 indices"]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([], ""),
        ([3], "3"),
        ([1, 2], "1, 2"),
        ([1, 2, 3], "1-3"),
        ([1, 2, 4, 5, 6], "1, 2, 4-6"),
        ([0, 1, 2, 5, 10, 11, 12], "0-2, 5, 10-12"),
    ],
)
def test_ranges(numbers, text):
    assert ranges(numbers) == text


@given(st.lists(st.integers(0, 60), unique=True).map(sorted))
def test_ranges_name_every_number_and_no_other(numbers):
    named = []
    for part in filter(None, ranges(numbers).split(", ")):
        first, _, last = part.partition("-")
        named += range(int(first), int(last or first) + 1)
    assert named == numbers


def test_values_are_quoted_if_text_and_cut_if_long():
    assert preview("a b") == "'a b'"
    assert preview(b"a") == "b'a'"
    assert preview(1.5) == "1.5"
    assert preview("x" * 78) == repr("x" * 78)
    assert preview("x" * 79) == "'" + "x" * 76 + "..."
    assert preview(10**9, most=6) == "100..."


def test_sizes_and_magnitudes():
    assert [size(count) for count in (0, 999, 1000, 1_500_000, 2e9, 3e12, 4e15)] == [
        *("0 B", "999 B", "1.0 kB", "1.5 MB", "2.0 GB", "3.0 TB", "4000.0 TB")
    ]
    assert [magnitude(count) for count in (7, 1500, 999_999, 1_337_026_560, 26_214_400_000, 2e12)] == [
        *("7", "1.5k", "1M", "1.34B", "26.2B", "2T")
    ]
