"""Findings as commands print them."""

import pytest

from mixhub.cli.common.console import show_findings
from mixhub.findings import Finding


def test_findings_that_differ_only_in_their_branch_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    findings = [Finding("weights-repeated", f"step{number}", "has the weights of main") for number in range(86)]
    show_findings([*findings, Finding("weights-missing", "step99", "holds no weights")])
    many, one = capsys.readouterr().out.splitlines()
    assert many.startswith("step0, step1, step2, ")
    assert many.endswith("81 more: has the weights of main  [weights-repeated]")
    assert one == "step99: holds no weights  [weights-missing]"


def test_what_could_not_be_checked_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    why, hint = "its tokenizer needs tiktoken, not installed here", "install tiktoken"
    show_findings([Finding("package-missing", f"step{number}", why, hint, "unchecked") for number in range(86)])
    line, below = capsys.readouterr().out.splitlines()
    assert line.startswith("not checked: step0, step1, step2, ")
    assert "tiktoken" in below


def test_few_findings_have_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    show_findings([Finding("weights-repeated", f"step{number}", "has the weights of main") for number in range(4)])
    assert len(capsys.readouterr().out.splitlines()) == 4
