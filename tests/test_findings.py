"""Levels of findings: their words and their exit status."""

import pytest

from mixhub.findings import Finding, exit_status

WARNING = Finding("dtype-differs", "seed-1", "is float16", level="warning")
UNCHECKED = Finding("package-missing", "seed-1", "install sentencepiece", level="unchecked")
ERROR = Finding("weights-repeated", "seed-1", "has the same weights as seed-2")


@pytest.mark.parametrize(
    ("findings", "status"),
    [([], 0), ([WARNING], 0), ([WARNING, UNCHECKED], 3), ([UNCHECKED, ERROR], 1), ([ERROR, WARNING], 1)],
)
def test_exit_status_keeps_wrong_apart_from_unchecked(findings, status):
    assert exit_status(findings) == status


def test_a_finding_starts_with_its_level():
    assert [str(one) for one in (WARNING, UNCHECKED, ERROR)] == [
        "warning: seed-1: is float16",
        "not checked: seed-1: install sentencepiece",
        "seed-1: has the same weights as seed-2",
    ]
