from __future__ import annotations

import pytest

from mixhub.card.markdown import figures
from mixhub.spec.values import range_or_list


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0"),
        (9_999, "9,999"),
        (10_000, "10.0K"),
        (999_499, "999K"),
        (999_999, "1.00M"),
        (1_048_576, "1.05M"),
        (142_999_552, "143M"),
        (26_214_400_000, "26.2B"),
        (3_100_000_000_000, "3.10T"),
        (5_000_000_000_000_000, "5000T"),
    ],
)
def test_count(number: int, shown: str) -> None:
    assert figures.count(number) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(4e-4, "4e-4"), (1e-5, "1e-5"), (2.5e-4, "2.5e-4"), (1e-8, "1e-8"), (0.01, "0.01"), (0.95, "0.95"),
     (0.0, "0"), (1.0, "1"), (10000.0, "10,000"), (1.25e9, "1.25e9")],
)  # fmt: skip
def test_rate(value: float, shown: str) -> None:
    assert figures.rate(value) == shown


def test_tokens_of_a_step_and_of_a_run() -> None:
    assert figures.batch(512, 2048) == "1M tokens (512 sequences × 2,048)"
    assert figures.total(25_000, 512, 2048) == (
        "25B (25,000 steps, 1,048,576 tokens counted as 1M; exactly 26,214,400,000)"
    )
    assert figures.batch(1, 256) == "256 tokens (1 sequence × 256)"
    assert figures.total(12, 8, 16) == "1,536 (12 steps)"
    assert figures.total(120, 16, 256) == "492K (120 steps; exactly 491,520 tokens)"


def test_percentages() -> None:
    assert figures.percent(0.10523) == "10.52%"
    assert figures.percent(2.9166e-06) == "0.00029%"
    assert figures.ratio(1000, 25_000) == "4%"


def test_shots() -> None:
    assert figures.shots(range(6)) == "0 to 5 shots"
    assert figures.shots([0, 2]) == "0 and 2 shots"
    assert figures.shots([1]) == "1 shot"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0, 1, 2], "0-2"),
        ([1, 2], [1, 2]),
        ([0, 2], [0, 2]),
        ([1, 2, 3, 5], [1, 2, 3, 5]),
        ([2, 3, 1], [2, 3, 1]),
        ([7], [7]),
        ([], []),
    ],
)
def test_a_range_without_gaps(values: list[int], shown: str | list[int]) -> None:
    assert range_or_list(values) == shown
