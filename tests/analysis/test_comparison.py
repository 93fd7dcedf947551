"""Two families compared by seeds and documents, several by ranks and agreement; and what is not compared."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mixhub.analysis.building import measured_tables, published_scores
from mixhub.analysis.comparison import compare
from mixhub.analysis.evidence import Evidence, family_evidence, find_evidence
from mixhub.analysis.published.table import Column, Figure, PublishedRow, PublishedTable
from mixhub.analysis.scores import measure_named
from mixhub.analysis.selection import Selection
from mixhub.analysis.statistics.crossed import PairedScores, documents_only, two_level
from mixhub.analysis.survey import survey
from mixhub.analysis.tables import AVERAGE, ScoreTable
from mixhub.errors import ResultsError, UsageError
from mixhub.spec import Task, catalog
from tests.analysis.written import write_results
from tests.refusals import refused

DOCUMENTS = 300


def write_family(
    folder: Path, *, accuracy: float, seeds: int = 5, tasks=("piqa", "copa"), shots=(0,), seed_sd: float = 0.0, key=0
) -> Path:
    """Seeds of a model of that accuracy; documents have a difficulty that all models share."""
    draws = np.random.default_rng([key, int(1000 * accuracy)])
    for task_number, task in enumerate(tasks):
        difficulty = np.random.default_rng(task_number).normal(0, 0.3, DOCUMENTS)
        for seed in range(1, seeds + 1):
            level = accuracy + draws.normal(0, seed_sd)
            for count in shots:
                right = draws.normal(0, 0.3, DOCUMENTS) < level - 0.5 + difficulty
                write_results(
                    folder,
                    {task: right.astype(int).tolist()},
                    num_fewshot=count,
                    model=f"org/{folder.name}",
                    revision=f"seed-{seed}",
                    date=1_790_000_000.0 + task_number,
                )
    return folder


def tables(*folders: Path, **wanted) -> list[ScoreTable]:
    return measured_tables(
        [find_evidence(str(folder)) for folder in folders], Selection(**{"only_common": True, **wanted})
    )


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[ScoreTable, ScoreTable]:
    root = tmp_path_factory.mktemp("two")
    better = write_family(root / "better", accuracy=0.56, seed_sd=0.01)
    worse = write_family(root / "worse", accuracy=0.50, seed_sd=0.01)
    a, b = tables(better, worse)
    return a, b


def test_the_average_is_the_primary_endpoint_and_equal_to_scipy(two):
    a, b = two
    found = compare(a, b)
    x, y = a.values(AVERAGE), b.values(AVERAGE)
    expected = stats.ttest_ind(x, y, equal_var=False)
    interval = expected.confidence_interval()
    primary = found.primary
    assert primary.difference == pytest.approx(np.mean(x) - np.mean(y))
    assert primary.welch is not None
    assert (primary.welch.p, primary.welch.df) == pytest.approx((expected.pvalue, expected.df))
    assert (primary.welch.low, primary.welch.high) == pytest.approx((interval.low, interval.high))
    assert primary.p_holm is None, "it stands alone"
    assert primary.permutation is not None
    assert primary.permutation.smallest == pytest.approx(2 / 252)


def test_documents_enter_paired_and_in_the_order_of_the_seeds(two):
    a, b = two
    found = compare(a, b)
    arrays = []
    for column in a.columns:
        sides = [
            np.stack([table.documents.values[row.revision, column.task].values for row in table.rows])
            for table in (a, b)
        ]
        arrays.append(PairedScores(*sides))
    assert found.primary.two_level == two_level(arrays)
    assert found.primary.these_checkpoints == documents_only(arrays)
    assert found.tasks[0].two_level == two_level(arrays[:1])


def test_tasks_are_exploratory_and_corrected_for_their_number(two):
    found = compare(*two)
    ps = [task.welch.p for task in found.tasks]
    assert [task.p_holm for task in found.tasks] == pytest.approx(
        [min(1.0, 2 * p) if p == min(ps) else max(p, 2 * min(ps)) for p in ps]
    )


def test_swapping_the_families_turns_every_sign(two):
    a, b = two
    one, other = compare(a, b).primary, compare(b, a).primary
    assert one.difference == pytest.approx(-other.difference)
    assert (one.interval.low, one.interval.high) == pytest.approx((-other.interval.high, -other.interval.low))
    assert one.detectable == pytest.approx(other.detectable)
    assert one.welch.p == pytest.approx(other.welch.p)


def test_what_was_measured_differently_is_not_compared(tmp_path: Path):
    one, other = write_family(tmp_path / "a", accuracy=0.5), write_family(tmp_path / "b", accuracy=0.5)
    for path in other.rglob("results_*.json"):
        path.write_text(path.read_text().replace("torch.float32", "torch.bfloat16"))
    found = compare(*tables(one, other))
    assert found.primary.difference is None
    assert found.primary.reason == "PIQA: bfloat16 and float32 cannot be mixed"
    assert all(task.welch is None for task in found.tasks)


def test_without_samples_there_is_no_statement_on_documents(tmp_path: Path):
    found = compare(*tables(*(write_family(tmp_path / n, accuracy=0.5) for n in "ab"), samples=False))
    assert found.primary.two_level is None
    assert found.primary.these_checkpoints is None
    assert found.primary.interval is not None
    assert found.primary.interval.low == found.primary.welch.low


def test_one_seed_each_has_no_statement_on_mixtures(tmp_path: Path):
    found = compare(
        *tables(*(write_family(tmp_path / n, accuracy=level, seeds=1) for n, level in (("a", 0.5), ("b", 0.6))))
    )
    primary = found.primary
    assert primary.difference is not None
    assert (primary.welch, primary.two_level, primary.detectable, primary.interval) == (None, None, None, None)
    assert primary.these_checkpoints is not None


def test_only_common_tasks_and_shots_are_compared(tmp_path: Path):
    one = write_family(tmp_path / "a", accuracy=0.5, tasks=("piqa", "sciq"), shots=(0, 5))
    other = write_family(tmp_path / "b", accuracy=0.5, tasks=("piqa", "copa"))
    a, b = tables(one, other)
    assert [(column.task, column.num_fewshot) for column in a.columns] == [("piqa", (0,))]
    assert compare(a, b).primary.difference is not None
    nothing = write_family(tmp_path / "c", accuracy=0.5, tasks=("sciq",), shots=(3,))
    with refused("tasks-disjoint", ResultsError, names=("org/a", "org/c")):
        compare(*tables(one, nothing))


def published(text: str, path: Path) -> ScoreTable:
    path.write_text(text)
    found = published_scores(find_evidence(str(path)))
    assert found is not None
    return found


def test_published_scores_are_compared_over_seeds_and_with_published_only(tmp_path: Path, two):
    human = published_scores(family_evidence(catalog.get("human-1b"), None))
    assert human is not None
    lines = ["seed,PIQA,COPA,Average", *(f"{s},{60 + s}.00,{62 - s}.50,61.25" for s in range(1, 6))]
    other = published("\n".join(lines), tmp_path / "other.csv")
    found = compare(human, other)
    assert found.primary.reason == "the averages cover different tasks"
    assert [task.title for task in found.tasks] == ["PIQA", "COPA"]
    expected = stats.ttest_ind(human.values("piqa"), other.values("piqa"), equal_var=False)
    assert found.tasks[0].welch.p == pytest.approx(expected.pvalue)
    assert found.tasks[0].two_level is None
    with refused("scores-mixed", UsageError, names=("human-1b", "org/better")):
        compare(human, two[0])


def test_rows_that_are_no_seeds_are_not_compared(tmp_path: Path):
    for step in (1, 2):
        write_results(tmp_path / "a", {"piqa": [step - 1, 1, 0]}, revision=f"step{step}")
        write_results(tmp_path / "b", {"piqa": [0, 1, 0]}, revision=f"step{step}", model="org/b")
    with refused("seeds-unknown", UsageError, name="org/model"):
        compare(*tables(tmp_path / "a", tmp_path / "b"))
    assert compare(*tables(tmp_path / "a", tmp_path / "b", rows_are_seeds=True)).primary.welch is not None


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("several")
    return [
        write_family(root / name, accuracy=accuracy, seeds=3, shots=(0, 5), seed_sd=0.01, key=number)
        for number, (name, accuracy) in enumerate({"low": 0.42, "middle": 0.50, "high": 0.60, "top": 0.72}.items())
    ]


def test_several_families_are_ranked_with_what_agrees(several):
    found = survey(tables(*several))
    assert [one.name for one in found.ranking] == ["org/top", "org/high", "org/middle", "org/low"]
    assert [one.rank for one in found.ranking] == [1, 2, 3, 4]
    by_name = found.agreements
    assert set(by_name) == {
        "0-shot and the mean over shots",
        "5-shot and the mean over shots",
        "0-shot and 5-shot",
    }
    assert by_name["0-shot and 5-shot"].accuracy == 1
    assert by_name["0-shot and 5-shot"].pairs == 6
    assert by_name["0-shot and 5-shot"].low is None, "four mixtures are too few for an interval"
    assert found.seeds == 1
    assert len(found.pairs) == 6
    assert all(pair.p_holm >= pair.welch.p for pair in found.pairs)
    average, *tasks = found.signals
    assert average.component.share > 0.9
    assert average.noise is None
    assert all(signal.noise.seed_sd > 0 for signal in tasks)


def test_sizes_agree_by_position(several):
    all_tables = tables(*several)
    found = survey(all_tables[:2], against=all_tables[2:])
    assert found.agreements["(org/low, org/middle) and (org/high, org/top)"].accuracy == 1
    turned = survey(all_tables[:2], against=all_tables[:1:-1]).agreements
    assert turned["(org/low, org/middle) and (org/top, org/high)"].accuracy == 0
    with refused("option-value", UsageError, option="--against", value=["org/high"]):
        survey(all_tables[:2], against=all_tables[2:3])


def indexed(name: str, averages: list[float]) -> ScoreTable:
    """Published scores of a family over indices."""
    rows = tuple(
        PublishedRow(f"model-index-{n}", {"PIQA": Figure(value, 2)}, Figure(value, 2))
        for n, value in enumerate(averages, 1)
    )
    printed = PublishedTable("there", (Column("PIQA", Task(name="piqa", title="PIQA")),), rows)
    found = published_scores(Evidence(name, "index", None, {}, printed))
    assert found is not None
    return found


def test_families_over_indices_are_matched_by_revision():
    draws = np.random.default_rng(0)
    truth = draws.normal(50, 2, 40)
    small = indexed("small", (truth + draws.normal(0, 1, 40)).tolist())
    large = indexed("large", truth.tolist()[:30])
    found = survey([small], against=[large])
    assert len(found.ranking) == 40
    (agreement,) = found.agreements.values()
    assert agreement.pairs == 30 * 29 / 2
    assert agreement.low < agreement.accuracy < agreement.high
    assert found.seeds is None
    assert found.pairs == ()
    assert all(signal.component is None for signal in found.signals)


@pytest.mark.parametrize(
    ("measure", "best"),
    [("score", "model-index-1"), ("answer_probability", "model-index-1"), ("bits_per_byte", "model-index-2")],
)
def test_lower_is_better_turns_the_ranks(measure, best):
    table = replace(indexed("family", [3.0, 1.0, 2.0]), measure=measure_named(measure))
    assert survey([table]).ranking[0].name == best


def test_what_is_not_whole_is_not_ranked(several, tmp_path: Path):
    write_results(tmp_path / "x", {"piqa": [0, 1] * 150}, model="org/x")
    write_results(tmp_path / "x", {"copa": [0, 1] * 150}, model="org/x", revision="seed-2")
    with refused("score-incomplete", ResultsError, name="org/x", revision="seed-1", column=AVERAGE):
        survey(tables(*several[:2], tmp_path / "x"))


def test_what_was_measured_differently_is_not_ranked(several, tmp_path: Path):
    shutil.copytree(several[0], tmp_path / "low")
    for path in (tmp_path / "low").rglob("results_*.json"):
        path.write_text(path.read_text().replace("torch.float32", "torch.bfloat16"))
    with refused("measurements-differ", ResultsError, reason="PIQA: bfloat16 and float32 cannot be mixed"):
        survey(tables(tmp_path / "low", *several[1:]))
    one, other = (
        published(f"seed,PIQA,{task},Average\n1,60,50,55\n2,61,52,56.5\n", tmp_path / f"{task}.csv")
        for task in ("COPA", "SciQ")
    )
    with refused("measurements-differ", ResultsError, reason="the averages cover different tasks"):
        survey([one, one, other])


def rewrite_samples(folder: Path, change) -> Path:
    for path in folder.rglob("samples_*.jsonl"):
        path.write_text("".join(change(line) for line in path.read_text().splitlines(keepends=True)))
    for path in folder.rglob("results_*.json"):
        data = json.loads(path.read_text())
        path.write_text(json.dumps({**data, "task_hashes": {}}))
    return folder


def test_different_documents_are_not_compared_and_unknown_ones_not_paired(tmp_path: Path):
    one = rewrite_samples(write_family(tmp_path / "a", accuracy=0.5), lambda line: line)
    other = rewrite_samples(
        write_family(tmp_path / "b", accuracy=0.6), lambda line: line.replace('"doc_hash": "', '"doc_hash": "0')
    )
    assert compare(*tables(one, other)).primary.reason == "PIQA: different documents cannot be mixed"
    for folder in (one, other):
        rewrite_samples(folder, lambda line: line.replace('"doc_hash"', '"other_hash"'))
    found = compare(*tables(one, other)).primary
    assert found.welch is not None
    assert (found.two_level, found.these_checkpoints) == (None, None)


def test_a_refused_family_shows_no_spread(tmp_path: Path):
    one, other = (write_family(tmp_path / name, accuracy=0.5) for name in "ab")
    path = next(iter(sorted(one.rglob("results_*.json"))))
    path.write_text(path.read_text().replace("torch.float32", "torch.bfloat16"))
    found = compare(*tables(one, other))
    assert found.primary.reason
    assert found.primary.a is None
    assert found.primary.b is not None


def test_different_shot_counts_are_not_compared(several):
    (a,), (b,) = tables(several[0], num_fewshot=(0, 5)), tables(several[1], num_fewshot=(0,))
    assert compare(a, b).primary.reason == "PIQA: different shot counts cannot be mixed"


def test_several_families_over_indices_are_matched_by_position_and_revision():
    draws = np.random.default_rng(1)
    a, b = draws.normal(50, 2, 8).tolist(), draws.normal(50, 2, 8).tolist()
    small = [indexed("small-a", a), indexed("small-b", b)]
    large = [indexed("large-a", a), indexed("large-b", b)]
    (agreement,) = survey(small, against=large).agreements.values()
    assert (agreement.accuracy, agreement.pairs) == (1.0, 120)
    (agreement,) = survey(small, against=large[::-1]).agreements.values()
    assert agreement.accuracy < 1


def test_seeds_without_spread_detect_nothing(tmp_path: Path):
    for name, value in (("a", 75), ("b", 50)):
        for seed in (1, 2):
            values = [1] * value + [0] * (100 - value)
            write_results(tmp_path / name, {"piqa": values}, revision=f"seed-{seed}", model=f"org/{name}")
    found = compare(*tables(tmp_path / "a", tmp_path / "b"))
    assert found.primary.difference == 25
    assert found.primary.detectable is None


def test_one_mixture_is_no_survey(several):
    with refused("mixtures-too-few", UsageError, option=None):
        survey(tables(several[0]))


def test_the_frames_of_comparisons(two, several):
    frame = compare(*two).frame()
    assert frame["task"].tolist() == ["average", "piqa", "copa"]
    assert {"difference", "welch_p", "two_level_low", "these_checkpoints_low", "detectable"} <= set(frame.columns)
    found = survey(tables(*several))
    assert found.ranking_frame()["rank"].tolist() == [1, 2, 3, 4]
    assert found.agreements_frame()["pairs"].tolist() == [6, 6, 6]
    assert found.frame().set_index("task").loc["piqa", "noise_ratio"] > 0
