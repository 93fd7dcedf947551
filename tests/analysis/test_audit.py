"""What figures allow: every check fires where it should, and keeps still where all is well."""

import json
import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixhub.analysis.audit.records import audit_records
from mixhub.analysis.audit.tables import audit, counts_shown, possible_counts
from mixhub.analysis.published import Column, Figure, PublishedRow, PublishedTable, published_table
from mixhub.errors import UsageError
from mixhub.spec import catalog
from mixhub.spec.family import Task
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.records import Record

# The table of reference/cards.md, figure by figure; * where six runs are impossible.
POSSIBLE = {
    "COPA": ["3, 6", "any", "5*", "5*", "any"],
    "OpenBookQA": ["6", "5*", "any", "5*", "5*"],
    "SciQ": ["3, 4, 6", "4-6", "4-6", "5*", "4-6"],
    "LogiQA": ["5, 6", "4, 5*", "5, 6", "4, 5*", "5*"],
    "RACE": ["5, 6", "5*", "4, 5*", "4, 5*", "3, 5, 6"],
    "Winogrande": ["3, 4, 6", "5*", "4, 5*", "5, 6", "any"],
    "PIQA": ["3, 4, 6", "3-6", "4-6", "any", "3, 5, 6"],
    "SocialIQA": ["3-6", "3-6", "any", "2, 4-6", "5, 6"],
    "MultiRC": ["2-6", "any", "2-6", "any", "2-6"],
    "ARC Easy": ["3-6", "3-6", "3-6", "3-6", "any"],
    "LAMBADA": ["any", "2-6", "any", "any", "any"],
    "HellaSwag": ["any", "any", "any", "any", "any"],
    "QQP": ["any", "any", "any", "any", "any"],
}
TASKS = tuple(
    Task(name=name.lower(), title=name, documents=documents)
    for name, documents in (("COPA", 100), ("OpenBookQA", 500), ("SciQ", 1000), ("LogiQA", 651), ("PIQA", 1838))
)
SEEDS = tuple(f"seed-{number}" for number in range(1, 6))


def human():
    return published_table(catalog.get("human-1b"))


def table_of(figures, *, averages=None, tasks=TASKS, labels=None, spreads=()):
    """A table from (row, column) arrays of text."""
    rows = []
    for number, line in enumerate(figures):
        found = {task.title: parsed(text) for task, text in zip(tasks, line, strict=True) if text is not None}
        average = parsed(averages[number]) if averages else None
        rows.append(PublishedRow(labels[number] if labels else f"seed-{number + 1}", found, average))
    return PublishedTable("a card", tuple(Column(task.title, task) for task in tasks), tuple(rows), tuple(spreads))


def parsed(text):
    value, _, stderr = str(text).partition("±")
    digits = [len(part.strip().partition(".")[2]) for part in (value, stderr)]
    return Figure(float(value), digits[0], float(stderr) if stderr else None, digits[1] if stderr else None)


def made(runs, *, seeds=5, tasks=TASKS, seed=1):
    """A table of true means: (seeds, tasks) text."""
    chance = random.Random(seed)
    levels = {task.name: chance.uniform(0.3, 0.7) for task in tasks}
    right = [
        [[round(task.documents * chance.gauss(levels[task.name], 0.02)) for _ in range(runs)] for task in tasks]
        for _ in range(seeds)
    ]
    return [[mean_shown(cell, task.documents) for cell, task in zip(row, tasks, strict=True)] for row in right]


def mean_shown(right, documents, decimals=2):
    return f"{100 * sum(right) / (len(right) * documents):.{decimals}f}"


def kinds(found):
    return {finding.kind for finding in found.findings}


def test_the_published_table_of_human_1b_figure_by_figure():
    found = audit(human(), runs=6)
    shown = {}
    for counted in found.counts:
        text = counts_shown(counted.possible, 6) + ("" if counted.fits else "*")
        shown.setdefault(counted.column, []).append(text)
    assert shown == POSSIBLE
    assert (found.figures, found.testable, len(found.misfits)) == (65, 30, 14)
    assert {counted.column for counted in found.counts if counted.testable} == {
        *("COPA", "OpenBookQA", "SciQ", "LogiQA", "RACE", "Winogrande")
    }
    assert [(row.row, row.counts) for row in found.rows] == [*zip(SEEDS, [(6,), (5,), (5,), (5,), (5,)], strict=True)]
    assert [(average.row, average.verdict) for average in found.averages] == [
        (seed, "equal to the last digit") for seed in SEEDS
    ]
    assert [(finding.kind, finding.row) for finding in found.findings] == [("runs", seed) for seed in SEEDS[1:]]
    assert "COPA 65.80 are no means of 6 runs; only 5 runs fit the whole row" in found.findings[1].message
    assert "each score is the mean of 6 runs" in found.findings[0].assumptions
    assert not found.fits


def test_human_1b_with_runs_that_were_rounded_first():
    found = audit(human(), runs=6, run_decimals=4)
    assert {(c.column, c.row) for c in found.misfits} == {
        *(("COPA", "seed-3"), ("COPA", "seed-4"), ("OpenBookQA", "seed-2"), ("OpenBookQA", "seed-4")),
        *(("OpenBookQA", "seed-5"), ("SciQ", "seed-4"), ("LogiQA", "seed-2")),
    }
    assert (found.testable, len(found.misfits)) == (30, 7)
    assert all(6 not in row.counts for row in found.rows[1:])
    assert found.assumptions[2] == "each run's accuracy, a fraction, was rounded to 4 decimals before the mean"


def test_human_1b_fits_when_no_number_of_runs_is_expected():
    assert audit(human()).fits


def test_more_runs_fit_more():
    rows = audit(human(), runs=6, most_runs=12).rows
    assert [row.counts for row in rows] == [(6, 12), (5, 9, 10), (5, 10), (5, 10), (5, 10, 11)]


def test_by_chance():
    row = audit(human(), runs=6).rows[1]
    shares = [100, 500, 1000, 651, 1045, 1267]
    expected = 1.0
    for documents in shares:
        expected *= 5 * documents / 10_000
    assert row.by_chance == pytest.approx(expected * 5 * 1838 / 10_000 * 5 * 1954 / 10_000)


@pytest.mark.parametrize(
    ("possible", "shown"),
    [
        ((), "none"),
        ((1, 2, 3, 4, 5, 6), "any"),
        ((5,), "5"),
        ((4, 5), "4, 5"),
        ((2, 4, 5, 6), "2, 4-6"),
        ((1, 3, 5), "1, 3, 5"),
    ],
)
def test_counts_in_words(possible, shown):
    assert counts_shown(possible, 6) == shown


@given(
    documents=st.integers(1, 3000),
    runs=st.integers(1, 6),
    decimals=st.integers(0, 4),
    run_decimals=st.none() | st.integers(1, 4),
    data=st.data(),
)
def test_a_true_mean_is_always_possible(documents, runs, decimals, run_decimals, data):
    right = data.draw(st.lists(st.integers(0, documents), min_size=runs, max_size=runs))
    accuracies = [Fraction(count, documents) for count in right]
    if run_decimals is not None:
        accuracies = [half_up(accuracy, run_decimals, data.draw(st.booleans())) for accuracy in accuracies]
    mean = half_up(100 * sum(accuracies) / runs, decimals, data.draw(st.booleans()))
    assert runs in possible_counts(Figure(float(mean), decimals), documents, 6, run_decimals)


def half_up(value, decimals, up):
    """Rounded, halves up or down."""
    scaled = value * 10**decimals
    whole, rest = divmod(scaled, 1)
    return Fraction(int(whole) + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and up)), 10**decimals)


@given(documents=st.integers(1, 60), runs=st.integers(1, 3), run_decimals=st.integers(1, 3), units=st.integers(0, 1000))
def test_rounded_runs_against_all_sums(documents, runs, run_decimals, units):
    steps = 10**run_decimals
    rounded = {
        whole
        for right in range(documents + 1)
        for up in (True, False)
        for whole in [int(half_up(Fraction(right, documents), run_decimals, up) * steps)]
    }
    sums = {0}
    for _ in range(runs):
        sums = {total + one for total in sums for one in rounded}
    value = Fraction(units, 10)
    expected = any(abs(Fraction(100 * total, runs * steps) - value) <= Fraction(1, 20) for total in sums)
    assert (runs in possible_counts(Figure(float(value), 1), documents, runs, run_decimals)) == expected


@pytest.mark.parametrize("runs", [1, 3, 5])
def test_a_true_table_fits(runs):
    found = audit(table_of(made(runs)), runs=runs)
    assert found.fits
    assert found.misfits == ()


@pytest.mark.parametrize("seed", range(5))
def test_a_made_up_table_does_not(seed):
    chance = random.Random(seed)
    figures = [[f"{chance.uniform(30, 70):.2f}" for _ in TASKS] for _ in range(5)]
    found = audit(table_of(figures), runs=6)
    assert "runs" in kinds(found)
    assert len(found.misfits) > 5
    assert not audit(table_of(figures)).fits


def test_a_figure_that_no_number_of_runs_fits():
    figures = made(6)
    figures[2][0] = "65.03"
    found = audit(table_of(figures))
    (finding,) = [finding for finding in found.findings if finding.kind == "count"]
    assert (finding.row, finding.column) == ("seed-3", "COPA")
    assert finding.message.startswith(
        "COPA 65.03 of seed-3 is no mean of 1 to 6 shares of 100 documents; near: 65.00 and"
    )
    assert str(finding).startswith("does not fit: ")


def test_figures_of_floating_point_numbers():
    value = 100 * (0.63 + 0.64 + 0.66) / 3
    assert possible_counts(parsed(repr(value)), 100) == (3, 6)


@pytest.mark.parametrize(
    ("average", "verdict"),
    [("50.00", "equal to the last digit"), ("50.01", "within rounding"), ("50.02", "does not fit")],
)
def test_averages(average, verdict):
    table = table_of([["49.00", "50.00", "51.00", "50.00", "50.00"]], averages=[average])
    found = audit(table)
    assert [each.verdict for each in found.averages] == [verdict]
    assert ("average" in kinds(found)) == (verdict == "does not fit")


def test_an_average_whose_row_is_not_whole_is_not_recomputed():
    found = audit(table_of([["49.00", None, "51.00", "50.00", "50.00"]], averages=["12.00"]))
    assert found.averages[0].verdict == "not recomputed"
    assert found.notes == ("the average of seed-1 is not recomputed: it has no figure for OpenBookQA",)
    assert found.fits


def test_an_average_may_be_over_tasks_that_have_no_column():
    table = table_of([["49.00", "51.00"]], tasks=TASKS[:2], averages=["12.00"])
    assert audit(table, tasks=TASKS).averages[0].verdict == "not recomputed"
    assert kinds(audit(table)) == {"average"}
    assert audit(replace(table, rows=(replace(table.rows[0], average=parsed("50.00")),)), tasks=TASKS).fits


def test_an_average_over_the_known_columns_only_fits_too():
    table = table_of([["49.00", "51.00"]], tasks=TASKS[:2], averages=["50.00"])
    row = replace(table.rows[0], figures={**table.rows[0].figures, "Loss": parsed("2.31")})
    found = audit(replace(table, columns=(*table.columns, Column("Loss", None)), rows=(row,)))
    assert found.fits
    assert found.averages[0].verdict == "equal to the last digit"
    assert "not tested, since the suite has no such task: Loss" in found.notes


def test_the_row_of_means():
    figures = made(6, seeds=2)
    mean = [f"{(float(a) + float(b)) / 2:.2f}" for a, b in zip(*figures, strict=True)]
    spread = table_of([mean], labels=["mean ± sd"]).rows
    assert audit(table_of(figures, spreads=spread)).fits
    mean[1] = f"{float(mean[1]) + 0.03:.2f}"
    found = audit(table_of(figures, spreads=table_of([mean], labels=["Mean"]).rows))
    assert [(finding.kind, finding.row, finding.column) for finding in found.findings] == [
        ("average", "Mean", "OpenBookQA")
    ]
    assert audit(table_of(figures, spreads=table_of([mean], labels=["median"]).rows)).fits


@pytest.mark.parametrize("value", ["-3.00", "104.00"])
def test_figures_outside_0_to_100(value):
    figures = made(6)
    figures[0][0] = value
    found = audit(table_of(figures))
    assert ("range", "seed-1", "COPA") in [(finding.kind, finding.row, finding.column) for finding in found.findings]
    assert "count" not in kinds(found)


def test_a_row_that_repeats():
    figures = made(6)
    figures[3] = figures[1]
    found = audit(table_of(figures))
    assert [(f.kind, f.row, f.message) for f in found.findings] == [
        ("repeat", "seed-4", "seed-4 repeats seed-2: all 5 figures are equal")
    ]


def test_a_row_of_one_figure_may_repeat():
    assert audit(table_of([["50.00"], ["50.00"], ["51.00"]], tasks=TASKS[:1])).fits


def test_figures_that_repeat_in_one_column():
    figures = made(6, seeds=8)
    for row in (2, 4, 6):
        figures[row][4] = figures[0][4]
    found = audit(table_of(figures))
    assert [(finding.kind, finding.column) for finding in found.findings] == [("repeat", "PIQA")]
    assert "3 figures repeat one above in the column PIQA" in found.findings[0].message


def test_figures_that_repeat_over_the_table():
    """One in each column, which no column alone makes unlikely."""
    table = human()
    rows = [dict(row.figures) for row in table.rows]
    for number, title in enumerate(rows[0]):
        rows[1 + number % 4][title] = rows[0][title]
    repeated = tuple(replace(row, figures=figures) for row, figures in zip(table.rows, rows, strict=True))
    found = [finding for finding in audit(replace(table, rows=repeated)).findings if finding.kind == "repeat"]
    assert [finding.column for finding in found] == [""]
    assert found[0].message.startswith("13 figures repeat one above over all columns, where chance lets expect 3")
    assert "repeat" not in kinds(audit(table))


@pytest.mark.parametrize("seed", range(30))
def test_chance_repeats_figures_of_a_coarse_grid(seed):
    """Single runs on a hundred documents are often equal."""
    figures = made(1, seeds=10, seed=seed)
    assert audit(table_of(figures), runs=1).fits


def test_a_column_that_repeats_under_another_title():
    figures = made(6)
    for row in figures:
        row[2] = row[1]
    found = audit(table_of(figures))
    assert ("repeat", "SciQ", "the columns OpenBookQA and SciQ hold the same figures, in all 5 rows") in [
        (finding.kind, finding.column, finding.message) for finding in found.findings
    ]
    assert audit(table_of([row[:1] + row[2:] for row in figures], tasks=(TASKS[0], *TASKS[2:]))).fits


def exchanged(table, one, other):
    names = {one: other, other: one}
    rows = (
        replace(row, figures={title: row.figures[names.get(title, title)] for title in row.figures})
        for row in table.rows
    )
    return replace(table, rows=tuple(rows))


@pytest.mark.parametrize(("one", "other"), [("COPA", "OpenBookQA"), ("COPA", "PIQA"), ("COPA", "QQP")])
def test_exchanged_columns(one, other):
    table = human()
    columns = [finding for finding in audit(exchanged(table, one, other)).findings if finding.kind == "column"]
    assert len(columns) == 1
    assert columns[0].column in (one, other)
    assert "fit each other's documents, not their own, as if the columns were exchanged" in columns[0].message
    assert not [finding for finding in audit(table).findings if finding.kind == "column"]


@pytest.mark.parametrize(("one", "other"), [("OpenBookQA", "SciQ"), ("PIQA", "SocialIQA")])
def test_an_exchange_that_figures_cannot_tell_is_not_claimed(one, other):
    """500 divides 1,000, and the means over 1,838 and 1,954 documents lie closer than printed figures."""
    assert "column" not in kinds(audit(exchanged(human(), one, other)))


def test_a_column_of_another_task():
    other = Task(name="other", title="Other", documents=270)
    figures = made(1, seeds=8)
    assert audit(table_of(figures), tasks=(*TASKS, other)).fits
    for row, (value,) in zip(figures, made(1, seeds=8, tasks=(other,)), strict=True):
        row[0] = value
    found = audit(table_of(figures), tasks=(*TASKS, other))
    columns = [finding for finding in found.findings if finding.kind == "column"]
    assert [finding.column for finding in columns] == ["COPA"]
    assert "fit the 270 documents of Other, and not their own 100" in columns[0].message


def test_one_slip_is_no_other_column():
    figures = made(6, seeds=12)
    figures[5][0] = "51.04"
    assert "column" not in kinds(audit(table_of(figures)))


def test_standard_errors_of_single_runs():
    figures = made(1)
    for row in figures:
        for at, task in enumerate(TASKS):
            p = float(row[at]) / 100
            row[at] = f"{row[at]} ± {100 * (p * (1 - p) / (task.documents - 1)) ** 0.5:.2f}"
    assert audit(table_of(figures), runs=1).fits
    figures[1][2] = figures[1][2].partition("±")[0] + "± 1.91"
    (finding,) = audit(table_of(figures), runs=1).findings
    assert (finding.kind, finding.row, finding.column) == ("stderr", "seed-2", "SciQ")
    assert "the standard error of one run over 1,000 documents is 1.5" in finding.message
    several = audit(table_of(figures), runs=6)
    assert "stderr" not in kinds(several)
    assert several.notes[-1].startswith("what stands behind ± is not tested")


def test_tasks_whose_documents_are_not_known_are_not_tested():
    tasks = (TASKS[0], Task(name="mmlu", title="MMLU"))
    found = audit(table_of([["65.00", "26.01"], ["64.00", "26.77"]], tasks=tasks))
    assert found.fits
    assert [counted.column for counted in found.counts] == ["COPA", "COPA"]
    assert found.notes == ("not tested, since the number of documents is not known: MMLU",)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"runs": 0}, "runs = 0: must be 1 to 100"),
        ({"most_runs": 0}, "most_runs = 0: must be 1 to 100"),
        ({"most_runs": 101}, "most_runs = 101: must be 1 to 100"),
        ({"runs": 7, "most_runs": 6}, "most_runs = 6: must be at least runs, which is 7"),
        ({"run_decimals": 6}, "run_decimals = 6: must be 1 to 5"),
    ],
)
def test_numbers_that_cannot_be(given, said):
    with pytest.raises(UsageError, match=said):
        audit(human(), **given)


def test_frames():
    found = audit(human(), runs=6)
    counts, findings = found.counts_frame(), found.findings_frame()
    assert list(counts.columns) == ["row", "column", "value", "documents", "possible", "testable", "fits"]
    assert len(counts) == 65
    assert counts[counts.testable & ~counts.fits].shape[0] == 14
    assert list(findings["kind"]) == ["runs"] * 4
    assert list(audit(human()).findings_frame().columns) == ["kind", "row", "column", "message"]


def record(task="copa", right=65, of=100, **given):
    """A cell as lm-eval would write it; `given` replaces fields."""
    acc = right / of
    fields = {
        "path": Path("results.json"),
        "model": "a/model",
        "revision": "seed-1",
        "task": task,
        "num_fewshot": 0,
        "metrics": {"acc": acc},
        "stderrs": {"acc": (acc * (1 - acc) / (of - 1)) ** 0.5},
        "measures": {},
        "higher_is_better": {"acc": True},
        "documents": of,
        "documents_in_split": of,
        "limit": None,
        "fewshot_seed": 1234,
        "task_version": "1.0",
        "task_hash": UNKNOWN,
        "dataset": UNKNOWN,
        "prompting": UNKNOWN,
        "weights_sha256": UNKNOWN,
        "dtype": "float32",
        "device": "cpu",
        "harness": "0.4.9",
        "versions": MappingProxyType({}),
        "date": None,
        "seconds": None,
        "samples": None,
    }
    return Record(**(fields | given))


def test_cells_that_fit():
    cells = [record(right=65 + number, revision=f"seed-{number}") for number in range(3)]
    found = audit_records([*cells, record("sciq", 813, 1000)], TASKS)
    assert found.fits, found.findings
    assert (found.figures, found.testable, found.source) == (4, 4, "4 cells of 3 revisions")


@pytest.mark.parametrize(
    ("cell", "kind", "said"),
    [
        (record(metrics={"acc": 1.25}), "range", "acc = 1.25 is no share: it is outside 0 to 1"),
        (record(metrics={"acc": 0.654321987}), "count", "is 65.432 right answers of 100, no whole number"),
        (record(stderrs={"acc": 0.0312345678}), "stderr", "has the standard error 0.0479372, not 0.0312346"),
        (record(documents_in_split=400), "documents", "its split has 400 documents, and the suite's has 100"),
        (record(documents_in_split=90), "documents", "100 documents were evaluated, of 90"),
        (record("sciq", documents=UNKNOWN, documents_in_split=UNKNOWN), "stderr", "it is that of 100.0 documents"),
    ],
)
def test_cells_that_do_not(cell, kind, said):
    found = audit_records([cell], TASKS)
    assert kind in kinds(found)
    assert any(said in finding.message for finding in found.findings), found.findings
    assert found.findings[0].message.startswith(f"{cell.task} 0-shot of seed-1: ")


def test_a_suite_that_stands_in_is_an_assumption():
    unsized = record(documents=UNKNOWN, documents_in_split=UNKNOWN)
    found = audit_records([unsized, replace(unsized, metrics={"acc": 0.654321987})], TASKS)
    assert "copa has 100 documents, as the suite says" in found.findings[0].assumptions
    assert "2 cells without a number of documents: that of the suite's task is assumed" in found.notes
    limited = replace(unsized, limit=10, metrics={"acc": 0.654321987}, stderrs={})
    assert audit_records([limited], TASKS).fits


def test_both_accuracies_of_a_cell_imply_the_same_documents():
    both = {"acc": 0.65, "acc_norm": 0.61}
    stderrs = {name: (p * (1 - p) / 99) ** 0.5 for name, p in both.items()}
    cell = record("other", metrics=both, stderrs=stderrs, documents=UNKNOWN, documents_in_split=UNKNOWN)
    assert audit_records([cell], TASKS).fits
    torn = replace(cell, stderrs=stderrs | {"acc_norm": stderrs["acc_norm"] / 2})
    assert kinds(audit_records([torn], TASKS)) == {"documents"}


def test_a_task_that_counts_parts_of_documents_is_not_tested():
    cell = record("other", metrics={"acc": 0.41234567891}, stderrs={"acc": 0.01398765432})
    found = audit_records([cell], TASKS)
    assert found.fits
    assert "not tested, since their documents are not known, or count in parts: other" in found.notes


def test_figures_that_were_rounded_when_written():
    found = audit_records([record("piqa", of=1838, metrics={"acc": 0.7106}, stderrs={"acc": 0.0106})], TASKS)
    assert found.fits, found.findings


def cells_of(revision, tasks=TASKS, *, right=0.6, shots=(0,), **given):
    return [
        record(
            task.name, int(task.documents * right) + 3 * at, task.documents, revision=revision, num_fewshot=k, **given
        )
        for at, task in enumerate(tasks)
        for k in shots
    ]


def test_a_revision_that_repeats_another():
    one, other = cells_of("seed-1"), cells_of("seed-2", right=0.61)
    assert audit_records([*one, *other], TASKS).fits
    found = audit_records([*one, *other, *cells_of("seed-3")], TASKS)
    assert [(f.kind, f.row) for f in found.findings] == [("repeat", "seed-3")]
    assert "a/model seed-3 repeats a/model seed-1: the figures of all 5 cells are equal" in found.findings[0].message


def test_a_single_task_may_be_equal():
    assert audit_records([*cells_of("seed-1", TASKS[:1]), *cells_of("seed-2", TASKS[:1])], TASKS).fits


def test_shots_that_repeat():
    found = audit_records(cells_of("seed-1", shots=(0, 5)), TASKS)
    assert [f.message for f in found.findings] == ["a/model seed-1: 5-shot repeats 0-shot: all 5 tasks are equal"]
    different = [*cells_of("seed-1"), *cells_of("seed-1", right=0.61, shots=(5,))]
    assert audit_records(different, TASKS).fits


def test_revisions_of_the_same_weights():
    one, other = (cells_of(f"seed-{n}", right=0.6 + n / 100, weights_sha256=f"{n}" * 64) for n in (1, 2))
    assert audit_records([*one, *other], TASKS).fits
    other = cells_of("seed-2", right=0.62, weights_sha256="1" * 64)
    found = audit_records([*one, *other], TASKS)
    assert [f.message for f in found.findings] == [
        "a/model seed-1 and a/model seed-2 were measured with the same weights (111111111111)"
    ]


def with_samples(path, right, documents=100):
    lines = [{"doc_id": at, "filter": "none", "acc": float(at < right), "target": "x"} for at in range(documents)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return record(samples=path)


@pytest.mark.parametrize(
    ("right", "documents", "said"),
    [
        (65, 100, None),
        (64, 100, "the mean of acc is 0.64, and the result says 0.65"),
        (65, 99, "holds 99 documents, of 100"),
    ],
)
def test_samples(tmp_path, right, documents, said):
    found = audit_records([with_samples(tmp_path / "samples.jsonl", right, documents)], TASKS)
    assert ([f.message for f in found.findings] == []) if said is None else (said in found.findings[0].message)
    assert "samples: 1 of 1 cell have them" in found.notes


def test_samples_that_cannot_be_read_do_not_fit(tmp_path):
    cell = with_samples(tmp_path / "samples.jsonl", 65)
    (tmp_path / "samples.jsonl").write_text("{")
    assert kinds(audit_records([cell], TASKS)) == {"samples"}
    (tmp_path / "samples.jsonl").unlink()
    assert audit_records([cell], TASKS).fits
