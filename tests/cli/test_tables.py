"""Tables at any width: no word, figure or commit is broken, and nothing is lost."""

import contextlib
import io
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixhub.cli.common.console import show_error, show_findings, show_table
from mixhub.cli.common.layout import lay_out
from mixhub.cli.release.status import show_status
from mixhub.errors import ExportError
from mixhub.findings import Finding
from mixhub.workflow import RunStatus

LONG = "mixhub.cli.common.console._LONG"
COMMIT = "592ca8536827"
WORDS = st.text("abcdef0123456789-:@/.é一", min_size=1, max_size=14)
CELLS = st.lists(WORDS, min_size=1, max_size=6).map(" ".join)


def printed(width, columns, rows):
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
        patch.setenv("COLUMNS", str(width))
        show_table(columns, rows)
    return output.getvalue()


@settings(deadline=None, max_examples=50)
@given(data=st.data(), width=st.integers(20, 140), count=st.integers(1, 7))
def test_words_are_whole_at_any_width(data, width, count):
    cells = st.lists(CELLS, min_size=count, max_size=count)
    columns, rows = data.draw(cells), data.draw(st.lists(cells, min_size=1, max_size=4))
    words = printed(width, columns, rows).split()
    for cell in [*columns[1:], *(cell for row in rows for cell in row)]:
        assert set(cell.split()) <= set(words), cell


@pytest.mark.parametrize("width", [60, 80, 132])
def test_lines_are_as_wide_as_the_terminal(width):
    rows = [(f"seed-{seed}", *["65.54 ± 0.68"] * 13) for seed in range(5)]
    output = printed(width, ["seed", *(f"task {number}" for number in range(13))], rows)
    assert max(map(len, output.splitlines())) <= width
    assert output.count("65.54 ± 0.68") == 5 * 13  # a figure with its spread is never wrapped
    assert output.count("seed-4") == (-(-13 // ((width - 6) // 14)))


def test_columns_of_figures_are_right_aligned():
    (table,) = lay_out(["task", "score", "note"], [["PIQA", "-", "a"], ["COPA", "- (5 of 6)", "2nd"]], 80)
    assert [column.is_numeric for column in table] == [False, True, False]


def test_many_rows_of_text_become_tables():
    rows = [(f"stage2-ingredient1-step{step}000-tokens5B", COMMIT, COMMIT, "ok", COMMIT) for step in range(1, 21)]
    lines = printed(80, ["branch", "commit", "weights", "state", "other"], rows).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) < 2 * len(rows) + 10


@pytest.mark.parametrize("width", [60, 80])
def test_status_with_two_hubs(width, capsys, monkeypatch):
    hubs = {"local": COMMIT + 28 * "0", "http://127.0.0.1:25320": "f" * 40}
    state = RunStatus(
        "model-index-64", 160, 160, True, "e" * 64, 78, 78, True, "missing", hubs, {"local": "2026-11-29T22:27Z"}
    )
    monkeypatch.setenv("COLUMNS", str(width))
    show_status([state] * 3)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert sum(COMMIT in line.split() for line in lines) == 3
    assert sum(line.split()[-1:] == ["2026-11-29T22:27Z"] for line in lines) == 3
    if width == 80:
        assert len(lines) < 20  # not a block for each run


ONE = Finding("weights-repeated", "seed-2", "has the weights of seed-1", "push it again")
OTHER = Finding("card-missing", "main", "has no card", "render it")
BARE = Finding("receipt-unwritable", "seed-1", "cannot be written", level="warning")


def test_a_hint_stands_below_its_findings(capsys):
    show_findings([ONE, OTHER, BARE, ONE])
    lines = capsys.readouterr().out.splitlines()
    shown = [match[1] if (match := re.search(r"\[([a-z-]+)\]$", line)) else line.strip() for line in lines]
    assert shown == [
        "weights-repeated",
        "weights-repeated",
        "hint for these 2: push it again",
        "card-missing",
        "hint: render it",
        "receipt-unwritable",
    ]


def test_an_error_of_findings_has_their_hints(capsys):
    findings = (ONE, OTHER)
    lines = [str(finding) for finding in findings]
    show_error(
        ExportError("\n".join([*lines, "nothing was sent"]), code="release-unsound", hint=ONE.hint, findings=findings)
    )
    assert [
        line.strip().partition(": ")[::2][line.startswith("  hint")] for line in capsys.readouterr().err.splitlines()
    ] == [
        "error",
        "push it again",
        "error",
        "render it",
        "error",
    ]


def test_each_file_of_the_package_prints_tables_in_one_way():
    """A table of rich that is made elsewhere would break words."""
    package = Path(__file__).parents[2] / "mixhub"
    assert [path.name for path in package.rglob("*.py") if "rich.table" in path.read_text()] == ["console.py"]


def test_names_of_others_do_not_control_the_terminal(capsys):
    name = "a\x1b[31m\r\x9b/b"
    show_table([name, "score"], [(name, 1)], title=name)
    show_error(ExportError(name, code="file-missing", hint=name))
    show_findings([Finding("file-missing", name, name, name)])
    shown = capsys.readouterr()
    assert re.findall(r"[^\n -~─]", shown.out + shown.err) == []
    assert (shown.out + shown.err).count("\\x1b[31m") == 8


@given(st.lists(st.tuples(CELLS, WORDS, st.integers()), min_size=1, max_size=8), st.sampled_from([60, 100, 200]))
def test_long_tables_look_as_short_ones(rows, width):
    columns = ["name", "commit", "count"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LONG, len(rows) - 1)
        long = printed(width, columns, rows)
    assert long == printed(width, columns, rows)


def test_a_table_of_many_rows_is_printed_whole():
    lines = printed(80, ["sample", "file"], [(number, f"arxiv-{number}.jsonl") for number in range(5000)]).splitlines()
    assert [line.split() for line in lines[2:-1]] == [[f"{n:,}", f"arxiv-{n}.jsonl"] for n in range(5000)]
