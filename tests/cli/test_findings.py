"""Findings as commands print them."""

import pytest

from mixhub.cli.common.console import progress, show_findings
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


def test_a_finding_wider_than_the_terminal_is_wrapped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    message = "a run reads 40 sequences of the domain the_pile_uspto_backgrounds, fewer than 100"
    hint = "mixhub data download --for human-1b-replication --domain the_pile_uspto_backgrounds --subset"
    show_findings([Finding("domain-light", "train/the_pile_uspto_backgrounds", message, hint, "warning")])
    *lines, below = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= 80
    assert " ".join(" ".join(lines).split()) == f"warning: train/the_pile_uspto_backgrounds: {message} [domain-light]"
    assert hint in below  # a command to copy


def test_a_finding_that_fits_keeps_its_blanks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    show_findings([Finding("file-missing", "main", "two  blanks.txt is missing")])
    assert capsys.readouterr().out == "main: two  blanks.txt is missing  [file-missing]\n"


def test_a_notice_wider_than_the_terminal_is_wrapped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    domains = ", ".join(f"train_the_pile_domain_{number} 12" for number in range(17))
    progress().notice(f"never read: {domains}")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(" ".join(lines).split()) == f"never read: {domains}"
