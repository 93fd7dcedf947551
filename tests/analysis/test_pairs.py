"""Seeds that are pairs: how they are found, what the paired interval is, and what has no interval."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mixhub import workflow
from mixhub.analysis.comparison import compare
from mixhub.analysis.losses.table import loss_tables
from mixhub.analysis.pairs import Origin, family_origins, find_pairs
from mixhub.analysis.scores import LOSS
from mixhub.analysis.selection import Selection
from mixhub.analysis.statistics import seeds
from mixhub.analysis.statistics.crossed import PairedScores, two_level
from mixhub.analysis.tables import AVERAGE
from mixhub.errors import UsageError
from mixhub.spec.base import to_yaml
from mixhub.workspace.paths import Workspace
from tests.analysis.test_comparison import tables, write_family
from tests.refusals import refused
from tests.tiny import tiny_data

A, B = (2.5, 2.75, 2.25), (2.625, 2.9375, 2.5)


def origins(*known):
    return {f"seed-{number}": Origin(*one) for number, one in enumerate(known, 1)}


def two_families(root, a=A, b=B, **changes):
    """A workspace with two families of three seeds, of which only the losses of one domain are there."""
    data = tiny_data()
    data.pop("name")
    other = {"extends": "mix-a", "repo_id": "t/b", "card": data["card"], "mixture": {"train_prose": 1.0}, **changes}
    families = {"mix-a": data, "mix-b": other}
    root.mkdir(exist_ok=True)
    (root / "mixhub.yaml").write_text(to_yaml({"format": 1, "family": "mix-a", "hub": "local", "families": families}))
    workspace = Workspace.open(root)
    for name, values in (("mix-a", a), ("mix-b", b)):
        for run, value in zip(workspace.family(name).runs(), values, strict=False):
            path = workspace.run_folder(run).metrics
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps({"step": 12, "validation": {"valid_prose": value}}) + "\n")
    return workspace


def losses(workspace, *names):
    return loss_tables(names or ("mix-a", "mix-b"), workspace, Selection(measure=LOSS))


@given(st.lists(st.tuples(st.floats(-9, 9, width=16), st.floats(-9, 9, width=16)), min_size=2, max_size=9))
def test_the_paired_interval_is_that_of_scipy(values):
    a, b = (list(side) for side in zip(*values, strict=True))
    found = seeds.paired(a, b)
    assert found is not None
    differences = np.subtract(a, b)
    assert found.difference == pytest.approx(differences.mean(), abs=1e-9)
    if np.ptp(differences) > 1e-6:
        expected = stats.ttest_rel(a, b)
        interval = expected.confidence_interval()
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-9)
        assert (found.p, found.df) == pytest.approx((expected.pvalue, len(values) - 1), rel=1e-6)
    assert seeds.paired(a[:1], b[:1]) is None


@pytest.mark.parametrize(
    ("a", "b", "shared"),
    [
        ([(1, 1, "x"), (2, 2, "y")], [(1, 1, "x"), (2, 2, "y")], "the initial weights and the seed of the data order"),
        ([(1, 1, "x"), (2, 2, "y")], [(1, 5, "x"), (2, 6, "y")], "the initial weights"),
        ([(1, 1, "x"), (2, 2, "y")], [(1, 1, "v"), (2, 2, "w")], "the seed of the data order"),
        ([(1, 1, None), (2, 2, None)], [(1, 7, None), (2, 8, None)], "the seed of the initial weights"),
        ([(None, 1, None), (None, 2, None)], [(None, 1, None), (None, 2, None)], "the seed of the data order"),
        ([(1, 1, "x"), (2, 2, "y")], [(3, 3, "v"), (4, 4, "w")], None),
        ([(1, 1, "x"), (2, 2, "y")], [(1, 1, "x"), (3, 3, "v")], None),
        ([(1, None, "x"), (2, None, "y")], [(1, None, "v"), (2, None, "w")], None),
        ([(0, None, "x"), (0, None, "x")], [(0, None, "x"), (0, None, "x")], None),
        ([(None, None, None)] * 2, [(None, None, None)] * 2, None),
    ],
)
def test_pairs_share_weights_or_order_as_far_as_it_is_known(a, b, shared):
    found = find_pairs(origins(*a), origins(*b))
    assert (found and found.shared) == shared


def test_pairs_are_matched_by_what_they_share_and_not_by_name():
    a, b = origins((1, 1, "x"), (2, 2, "y"), (3, 3, "z")), origins((3, 3, "z"), (1, 1, "x"))
    found = find_pairs(a, b)
    assert found is not None
    assert found.rows == (("seed-1", "seed-2"), ("seed-3", "seed-1"))


def test_families_of_a_workspace_are_pairs(tmp_path):
    workspace = two_families(tmp_path / "ws")
    found = compare(*losses(workspace))
    assert found.pairs is not None
    assert found.pairs.rows == tuple((f"seed-{seed}",) * 2 for seed in (1, 2, 3))
    expected = stats.ttest_rel(A, B).confidence_interval()
    unpaired = stats.ttest_ind(A, B, equal_var=False).confidence_interval()
    primary = found.primary
    assert (primary.paired.low, primary.paired.high) == pytest.approx((expected.low, expected.high))
    assert (primary.welch.low, primary.welch.high) == pytest.approx((unpaired.low, unpaired.high))
    assert (primary.interval.low, primary.interval.high) == (primary.paired.low, primary.paired.high)
    assert primary.detectable_paired < primary.detectable
    (row,) = (line for line in found.frame().to_dict("records") if line["task"] == AVERAGE)
    assert (row["paired_low"], row["welch_low"]) == (primary.paired.low, primary.welch.low)


def test_families_whose_seeds_are_set_apart_are_no_pairs(tmp_path):
    apart = {"pattern": "seed-{seed}", "seeds": "1-3", "chosen_seeds": {1: 4, 2: 5, 3: 6}}
    workspace = two_families(tmp_path / "ws", revisions=apart)
    found = compare(*losses(workspace))
    assert found.pairs is None
    assert found.primary.paired is None
    named = compare(*losses(workspace), paired=True)
    assert named.pairs.rows[0] == ("seed-1", "seed-1")
    assert named.primary.paired is not None


def test_lineage_of_an_export_counts_more_than_the_specification(workspace):
    family = workspace.family()
    found = family_origins(family, workspace, family.runs())
    assert set(found) == {"seed-1", "seed-2"}
    weights = {origin.initial_weights for origin in found.values()}
    assert len(weights) == 2
    assert all(len(one) == 64 for one in weights)


def test_documents_are_compared_in_pairs_too(tmp_path):
    folders = [
        write_family(tmp_path / n, accuracy=level, seeds=3, seed_sd=0.02) for n, level in (("a", 0.5), ("b", 0.6))
    ]
    a, b = tables(*folders)
    plain, paired = compare(a, b), compare(a, b, paired=True)
    columns = []
    for column in a.columns:
        sides = [
            np.stack([table.documents.values[row.revision, column.task].values for row in table.rows])
            for table in (a, b)
        ]
        columns.append(PairedScores(sides[0] - sides[1], np.zeros_like(sides[0])))
    assert paired.primary.two_level == two_level(columns)
    assert paired.primary.two_level.difference == pytest.approx(plain.primary.two_level.difference)
    assert paired.primary.two_level.seed_stderr == pytest.approx(paired.primary.paired.stderr)
    assert plain.primary.paired is None


def test_rows_are_paired_by_place_if_no_names_are_common(tmp_path):
    for name, runs in (("a", "12"), ("b", "34"), ("c", "567")):
        (tmp_path / f"{name}.csv").write_text("seed,step,arxiv\n" + "".join(f"{n},10,2.{n}\n" for n in runs))
    a, b, c = loss_tables([str(tmp_path / f"{name}.csv") for name in "abc"], None, Selection(measure=LOSS))
    found = compare(a, b, paired=True)
    assert found.pairs.rows == (("seed-1", "seed-3"), ("seed-2", "seed-4"))
    assert "seed-1 with seed-3" in found.pairs.shared
    with refused("option-value", UsageError, option="--paired"):
        compare(a, c, paired=True)


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ((2.5,), (2.75,), "have one seed"),
        ((2.5,), (2.75, 2.5), "mix-a has one seed"),
        ((2.5, 2.5, 2.5), (2.75, 2.75, 2.75), "no seed differs from another"),
        ((2.5, 2.75, 2.25), (2.75, 3.0, 2.5), "all pairs differ by the same amount"),
    ],
)
def test_no_interval_without_width_is_printed(tmp_path, mixhub_here, a, b, reason):
    workspace = two_families(tmp_path / "ws", a, b)
    done = mixhub_here("results", "--compare", "mix-a", "mix-b", "--measure", "loss", cwd=workspace.root)
    assert done.returncode == 0, done.stderr
    assert reason in " ".join(done.stdout.split())
    ends = [line.split(" … ") for line in done.stdout.replace("95 %", "\n").splitlines() if " … " in line]
    assert all(one.split()[-1] != other.split()[0].rstrip(",;") for one, other in ends)
    (contrast, *_) = json.loads(
        mixhub_here("results", "--compare", "mix-a", "mix-b", "--measure", "loss", "--json", cwd=workspace.root).stdout
    )["contrasts"]
    for part in ("welch", "paired"):
        assert contrast.get(f"{part}_low") is None or contrast[f"{part}_low"] < contrast[f"{part}_high"]


def test_what_is_paired_is_said(tmp_path, mixhub_here):
    workspace = two_families(tmp_path / "ws")
    done = mixhub_here("results", "--compare", "mix-a", "mix-b", "--measure", "loss", cwd=workspace.root)
    printed = " ".join(done.stdout.split())
    assert "3 seeds of each share the seed of the initial weights and the seed of the data order" in printed
    assert "over pairs of seeds (Student)" in printed
    assert "over seeds (Welch, unpaired)" in printed
    assert "the interval over pairs of seeds excludes 0: mix-a is better" in printed


def test_losses_on_other_validation_text_are_not_compared(tmp_path):
    workspace = two_families(tmp_path / "ws", training={"sequence_length": 32})
    assert "lengths of sequences" in compare(*losses(workspace)).primary.reason
    found = workflow.compare_scores(("mix-a", "mix-b"), workspace=workspace, selection=Selection(measure=LOSS))
    assert found.primary.interval is None
