"""What figures allow: every check fires where it should, and keeps still where all is well."""

import random
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixhub.analysis.audit.counts import possible_counts
from mixhub.analysis.audit.report import BINOMIAL, format_counts
from mixhub.analysis.audit.tables import audit
from mixhub.analysis.published.table import Column, Figure, PublishedRow, PublishedTable, published_table
from mixhub.errors import UsageError
from mixhub.spec import Task, catalog
from tests.refusals import codes, refused

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


def says(finding, *values):
    """Whether a message holds values, which no field carries."""
    return all(value in finding.message for value in values)


def codes_of(found):
    return set(codes(found.findings))


def test_the_published_table_of_human_1b_figure_by_figure():
    found = audit(human(), runs=6)
    shown = {}
    for counted in found.counts:
        text = format_counts(counted.possible, 6) + ("" if counted.fits else "*")
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
    assert [(finding.code, finding.where) for finding in found.findings] == [("runs-unfit", seed) for seed in SEEDS[1:]]
    assert says(found.findings[1], "65.80", "6 runs", "5 runs")
    assert "each score is the mean of 6 runs" in found.findings[0].assumptions
    assert not found.fits
    assert found.notes == ()


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
    assert format_counts(possible, 6) == shown


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
    assert "runs-unfit" in codes_of(found)
    assert len(found.misfits) > 5
    assert not audit(table_of(figures)).fits


def test_a_figure_that_no_number_of_runs_fits():
    figures = made(6)
    figures[2][0] = "65.03"
    found = audit(table_of(figures))
    (finding,) = [finding for finding in found.findings if finding.code == "figure-impossible"]
    assert (finding.where, finding.about) == ("seed-3", "COPA")
    assert says(finding, "65.03", "1 to 6", "100 documents")


def test_a_figure_that_is_no_share():
    figures = made(1)
    figures[2][0] = "65.03"
    (finding,) = [one for one in audit(table_of(figures), most_runs=1).findings if one.code == "figure-impossible"]
    assert (finding.where, finding.about) == ("seed-3", "COPA")
    assert says(finding, "65.03", "100 documents")


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
    assert ("average-differs" in codes_of(found)) == (verdict == "does not fit")


def test_an_average_whose_row_is_not_whole_is_not_recomputed():
    found = audit(table_of([["49.00", None, "51.00", "50.00", "50.00"]], averages=["12.00"]))
    assert found.averages[0].verdict == "not recomputed"
    assert found.notes == ("the average of seed-1 is not recomputed: the row has no figure for OpenBookQA",)
    assert found.fits


def test_an_average_may_be_over_tasks_that_have_no_column():
    table = table_of([["49.00", "51.00"]], tasks=TASKS[:2], averages=["12.00"])
    assert audit(table, tasks=TASKS).averages[0].verdict == "not recomputed"
    assert codes_of(audit(table)) == {"average-differs"}
    assert audit(replace(table, rows=(replace(table.rows[0], average=parsed("50.00")),)), tasks=TASKS).fits


def test_an_average_over_the_known_columns_only_fits_too():
    table = table_of([["49.00", "51.00"]], tasks=TASKS[:2], averages=["50.00"])
    row = replace(table.rows[0], figures={**table.rows[0].figures, "Loss": parsed("2.31")})
    found = audit(replace(table, columns=(*table.columns, Column("Loss", None)), rows=(row,)))
    assert found.fits
    assert (found.averages[0].verdict, found.averages[0].computed) == ("equal to the last digit", 50.0)
    assert "not tested, because the task is not known: Loss" in found.notes


def test_an_average_that_no_columns_fit_is_compared_with_all_of_them():
    table = table_of([["49.00", "51.00"]], tasks=TASKS[:2], averages=["12.00"])
    row = replace(table.rows[0], figures={**table.rows[0].figures, "Loss": parsed("2.00")})
    found = audit(replace(table, columns=(*table.columns, Column("Loss", None)), rows=(row,)))
    assert (found.averages[0].verdict, found.averages[0].computed) == ("does not fit", 34.0)


@pytest.mark.parametrize("value", ["-3.00", "104.00"])
def test_figures_outside_0_to_100(value):
    figures = made(6)
    figures[0][0] = value
    found = audit(table_of(figures))
    assert ("score-out-of-range", "seed-1", "COPA") in [
        (finding.code, finding.where, finding.about) for finding in found.findings
    ]
    assert "figure-impossible" not in codes_of(found)


def test_a_row_that_repeats():
    figures = made(6)
    figures[3] = figures[1]
    found = audit(table_of(figures))
    (finding,) = found.findings
    assert (finding.code, finding.where, finding.about) == ("figures-repeated", "seed-4", "")
    assert says(finding, "seed-2", "5 figures")


def test_rows_repeat_only_in_tasks_whose_documents_are_known():
    """Of a column with an unknown title, nobody knows how often its figures are equal by chance."""
    unknown = tuple(Task(name=name, title=name) for name in "abcde")
    figures = made(6)
    figures[3] = figures[1]
    for tasks in (unknown, (*TASKS[:2], *unknown[2:])):
        table = table_of(figures, tasks=tasks)
        for columns in (
            table.columns,
            tuple(Column(c.title, c.task if c.task.documents else None) for c in table.columns),
        ):
            found = audit(replace(table, columns=columns), runs=6)
            assert "figures-repeated" not in codes_of(found)
            assert any(note.startswith("not tested: seed-4 and seed-2 have 5 equal figures") for note in found.notes)


def test_rows_on_few_documents_may_repeat():
    tasks = TASKS[:3]
    table = table_of([["50.00", "60.00", "40.00"], ["50.00", "60.00", "40.00"]], tasks=tasks)
    assert codes_of(audit(table, runs=1)) == {"figures-repeated"}
    limited = replace(table, rows=tuple(replace(row, limit=10) for row in table.rows))
    assert audit(limited, runs=1).fits


@pytest.mark.parametrize(("limit", "fits"), [(None, False), (10, False), (1000, True), (0.5, False), (5000, False)])
def test_a_limit_is_the_number_of_documents(limit, fits):
    """73.8 % is a share of a thousand documents, and not of the 1,838 of PIQA, of half of them, or of 10."""
    table = table_of([["73.80"]], tasks=TASKS[4:])
    found = audit(replace(table, rows=(replace(table.rows[0], limit=limit),)), runs=1)
    assert found.fits == fits
    assert [counted.documents for counted in found.counts] == [{10: 10, 1000: 1000, 0.5: 919}.get(limit, 1838)]


def test_rows_of_two_figures_may_repeat():
    assert audit(table_of([["50.00", "51.00"], ["50.00", "51.00"], ["51.00", "52.00"]], tasks=TASKS[:2])).fits


def test_columns_of_one_value_may_repeat():
    """Models that never answer score 0 on several tasks."""
    table = table_of([["0.00", "0.00"], ["0.00", "0.00"], ["0.00", "0.00"]], tasks=TASKS[:2])
    assert audit(table).fits


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
    column = [finding for finding in found.findings if (finding.where, finding.about) == ("a card", "SciQ")]
    assert codes(column) == ["figures-repeated"]
    assert says(column[0], "OpenBookQA", "5 rows")
    assert audit(table_of([row[:1] + row[2:] for row in figures], tasks=(TASKS[0], *TASKS[2:]))).fits


def test_standard_errors_of_single_runs():
    figures = made(1)
    for row in figures:
        for at, task in enumerate(TASKS):
            p = float(row[at]) / 100
            row[at] = f"{row[at]} ± {100 * (p * (1 - p) / (task.documents - 1)) ** 0.5:.2f}"
    assert audit(table_of(figures), runs=1).fits
    assert BINOMIAL in audit(table_of(figures)).assumptions
    assert BINOMIAL not in audit(table_of(figures), runs=6).assumptions
    figures[1][2] = figures[1][2].partition("±")[0] + "± 1.91"
    (finding,) = audit(table_of(figures), runs=1).findings
    assert (finding.code, finding.where, finding.about) == ("stderr-unfit", "seed-2", "SciQ")
    assert says(finding, "1.91", "1,000 documents", "is 1.5")
    several = audit(table_of(figures), runs=6)
    assert "stderr-unfit" not in codes_of(several)
    assert several.notes[-1].startswith("numbers after ± are not tested")


def test_tasks_whose_documents_are_not_known_are_not_tested():
    tasks = (TASKS[0], Task(name="mmlu", title="MMLU"))
    found = audit(table_of([["65.00", "26.01"], ["64.00", "26.77"]], tasks=tasks))
    assert found.fits
    assert [counted.column for counted in found.counts] == ["COPA", "COPA"]
    assert found.notes == ("not tested, because the number of documents is unknown: MMLU",)


@pytest.mark.parametrize(
    ("given", "code", "fields"),
    [
        ({"runs": 0}, "option-value", {"option": "runs", "value": 0}),
        ({"runs": 101}, "option-value", {"option": "runs", "value": 101}),
        ({"most_runs": 0}, "option-value", {"option": "most_runs", "value": 0}),
        ({"most_runs": 101}, "option-value", {"option": "most_runs", "value": 101}),
        ({"runs": 7, "most_runs": 6}, "option-conflict", {"options": ("runs", "most_runs")}),
        ({"run_decimals": 0}, "option-value", {"option": "run_decimals", "value": 0}),
        ({"run_decimals": 6}, "option-value", {"option": "run_decimals", "value": 6}),
    ],
)
def test_numbers_that_cannot_be(given, code, fields):
    with refused(code, UsageError, **fields):
        audit(human(), **given)


@pytest.mark.parametrize("given", [{"runs": 1}, {"runs": 6, "most_runs": 6}, {"most_runs": 100}, {"run_decimals": 5}])
def test_numbers_at_their_limits(given):
    assert audit(human(), **given).figures == 65
