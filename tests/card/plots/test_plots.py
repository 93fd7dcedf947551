"""Plots: what each shows, the same bytes for the same data, and files that say what they are."""

from __future__ import annotations

import io
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixhub.analysis.building import published_scores
from mixhub.analysis.comparison import compare
from mixhub.analysis.evidence import find_evidence
from mixhub.analysis.samples import Baseline
from mixhub.analysis.scores import Score, ScoreRow
from mixhub.analysis.tables import AVERAGE, ScoreTable
from mixhub.card.plots.dots import draw_mixture
from mixhub.card.plots.losses import losses_plot
from mixhub.card.plots.mixture import mixture_plot
from mixhub.card.plots.plot import Plot, drawn_sha256, write_plot
from mixhub.card.plots.scores import difference_plot, scores_plot, shots_plot
from mixhub.spec import catalog
from mixhub.spec.mixture import Mixture
from mixhub.workflow import save_plot
from tests.analysis.test_comparison import tables, write_family

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[ScoreTable, ScoreTable]:
    """Two families of three seeds, measured with samples at two shot counts."""
    root = tmp_path_factory.mktemp("plots")
    better = write_family(root / "better", accuracy=0.56, seeds=3, shots=(0, 5), seed_sd=0.01)
    worse = write_family(root / "worse", accuracy=0.50, seeds=3, shots=(0, 5), seed_sd=0.01)
    a, b = tables(better, worse)
    return a, b


@pytest.fixture(scope="module")
def published() -> ScoreTable:
    found = published_scores(find_evidence("human-1b"))
    assert found is not None
    return found


def drawn(plot: Plot | None) -> Plot:
    """The plot, after both forms of it were drawn and looked at."""
    assert plot is not None
    root = ElementTree.fromstring(plot.svg())
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title") is not None
    assert root.find(f"{SVG}desc") is not None
    assert image(plot).size[0] == 1240
    return plot


def image(plot: Plot) -> Any:
    from PIL import Image

    with Image.open(io.BytesIO(plot.png())) as opened:
        return opened.convert("RGB")


def row(plot: Plot, label: str) -> Mapping[str, Any]:
    (found,) = (one for one in plot.data["rows"] if one["label"] == label)
    return found


def without(table: ScoreTable, number: int, task: str) -> ScoreTable:
    """The table with one score that is not whole."""
    old = table.rows[number]
    score = replace(old.scores[task], present=1, expected=2, reason="1 of 2 shot counts")
    new = ScoreRow(old.revision, {**old.scores, task: score}, Score(None, 1, 2, "1 of 2 tasks"))
    return replace(table, rows=(*table.rows[:number], new, *table.rows[number + 1 :]))


def curve(steps: int, domains: Sequence[str], seed: int = 0) -> list[dict[str, Any]]:
    """Lines as a run logs them, with a validation at the start and at every tenth of it."""
    draws = random.Random(seed)
    lines: list[dict[str, Any]] = [{"step": 0, "validation": {f"valid_{one}": 6.0 for one in domains}}]
    for step in range(1, steps + 1):
        lines.append({"step": step, "loss": 3 + 3 / step + draws.gauss(0, 0.01), "tokens": 100 * step})
        if step % max(1, steps // 10) == 0:
            lines.append({"step": step, "validation": {f"valid_{one}": 3 + 3 / step for one in domains}})
    return lines


def test_scores_show_seeds_mean_interval_and_chance(two):
    table = two[0]
    plot = drawn(scores_plot(table, {"piqa": 50.0}))
    shown, over = row(plot, "PIQA"), table.over_seeds["piqa"]
    assert shown["values"] == pytest.approx(table.values("piqa"), rel=1e-5)
    assert [shown[name] for name in ("value", "low", "high")] == pytest.approx(
        [over.spread.mean, over.interval.low, over.interval.high], rel=1e-5
    )
    assert shown["chance"] == 50
    assert [one["label"] for one in plot.data["rows"]] == ["PIQA", "COPA", "Average"]
    assert "measured" in plot.alt
    assert f"Average {table.over_seeds[AVERAGE].spread.mean:.2f} (95 % over seeds" in plot.alt


def test_published_scores_are_called_so(published):
    plot = drawn(scores_plot(published))
    assert "published, not measured again" in plot.data["subtitle"]
    assert "published, not measured again" in plot.alt
    assert "sail/data-mixture-human-1b" in plot.data["notes"][0]
    assert len(plot.data["rows"]) == 14
    assert all(one["chance"] is None for one in plot.data["rows"])


def test_chance_of_the_average_is_the_mean_of_that_of_all_tasks(two):
    table = replace(two[0], baselines=MappingProxyType({"piqa": Baseline(50.0, None)}))
    assert row(scores_plot(table), "PIQA")["chance"] == 50
    assert row(scores_plot(table), "Average")["chance"] is None
    assert row(scores_plot(table, {"copa": 30.0}), "Average")["chance"] == 40


def test_what_is_not_whole_is_not_drawn_and_said(two):
    table = without(two[0], 1, "piqa")
    plot = drawn(scores_plot(table))
    assert len(row(plot, "PIQA")["values"]) == 2
    assert len(row(plot, "Average")["values"]) == 2
    assert "1 of 6 scores are missing or incomplete, and not drawn." in plot.data["notes"]


def test_the_key_names_the_mean_if_any_row_has_one(two):
    table = without(without(two[0], 1, "piqa"), 2, "piqa")
    lacking = {"piqa": replace(table.over_seeds["piqa"], spread=None, interval=None)}
    kept = {column: replace(own, interval=None) for column, own in table.over_seeds.items()}
    plot = scores_plot(replace(table, over_seeds=kept | lacking))
    assert (len(row(plot, "PIQA")["values"]), row(plot, "COPA")["value"] is None) == (1, False)
    (legend,) = plot.draw(plot.title, plot.data).legends
    assert " mean" in [text.get_text() for text in legend.get_texts()]


def test_the_key_names_no_mean_that_is_not_drawn(two):
    none = {column: replace(own, spread=None, interval=None) for column, own in two[0].over_seeds.items()}
    plot = scores_plot(replace(two[0], over_seeds=none))
    (legend,) = plot.draw(plot.title, plot.data).legends
    assert " mean" not in [text.get_text() for text in legend.get_texts()]


def test_chance_as_the_documents_have_it_wins_over_that_of_the_suite(two):
    table = replace(two[0], baselines=MappingProxyType({"piqa": Baseline(50.0, None)}))
    assert table.chances({"piqa": 20.0, "copa": 30.0, "boolq": 1.0}) == {"piqa": 50.0, "copa": 30.0, AVERAGE: 40.0}
    assert row(scores_plot(table, {"piqa": 20.0}), "PIQA")["chance"] == 50


def test_rows_that_are_no_seeds_have_a_median_and_no_interval(two):
    reason = {column: replace(own, spread=None, interval=None) for column, own in two[0].over_seeds.items()}
    plot = drawn(scores_plot(replace(two[0], kind="index", over_seeds=reason)))
    assert row(plot, "PIQA")["value"] == pytest.approx(median(two[0].values("piqa")), rel=1e-5)
    assert row(plot, "PIQA")["low"] is None
    assert plot.data["center"] == "median"
    assert "3 indices" in plot.data["subtitle"]


def test_nothing_to_draw_is_no_plot(two, published):
    none = Score(None, 0, 1, "nothing")
    empty = [ScoreRow(one.revision, dict.fromkeys(one.scores, none), none) for one in two[0].rows]
    assert scores_plot(replace(two[0], rows=tuple(empty))) is None
    assert scores_plot(replace(two[0], rows=())) is None
    assert shots_plot(published) is None
    assert mixture_plot({}, "train_") is None
    assert losses_plot({}, "valid_") is None
    assert losses_plot({"seed-1": [], "seed-2": [{"step": 1, "loss": float("nan"), "tokens": 5}]}, "valid_") is None


def test_a_single_shot_count_makes_no_plot_of_shots(two):
    table = two[0]
    at_zero = {
        revision: tuple(record for record in own if record.num_fewshot == 0) for revision, own in table.records.items()
    }
    assert shots_plot(replace(table, records=MappingProxyType(at_zero))) is None


def test_the_difference_has_the_average_first_and_says_what_varies(two):
    found = compare(*two)
    plot = drawn(difference_plot(found))
    first = plot.data["rows"][0]
    assert (first["label"], first["apart"], first["over"]) == ("Average", True, "seeds and documents")
    ends = [first["value"], first["low"], first["high"]]
    assert ends == pytest.approx([found.primary.difference, found.primary.interval.low, found.primary.interval.high])
    assert "95 % over seeds and documents" in plot.alt
    assert [one["label"] for one in plot.data["rows"][1:]] == ["PIQA", "COPA"]


def test_an_interval_over_documents_alone_says_so(two):
    found = compare(*two)
    bare = {"welch": None, "two_level": None}
    single = replace(found, primary=replace(found.primary, **bare), tasks=found.tasks[:1])
    plot = drawn(difference_plot(single))
    assert plot.data["rows"][0]["over"] == "documents"
    assert any("these checkpoints only" in note for note in plot.data["notes"])
    without_any = replace(single, primary=replace(single.primary, these_checkpoints=None))
    assert "No interval: Average." in drawn(difference_plot(without_any)).data["notes"]


def test_what_is_not_compared_is_named_with_its_reason(two):
    found = compare(*two)
    apart = replace(found, tasks=(replace(found.tasks[0], reason="versions 1 and 2 cannot be mixed"), found.tasks[1]))
    plot = drawn(difference_plot(apart))
    assert row(plot, "PIQA")["value"] is None
    assert "Not compared: PIQA (versions 1 and 2 cannot be mixed)." in plot.data["notes"]
    nothing = replace(apart, primary=replace(found.primary, reason="no"), tasks=apart.tasks[:1])
    assert difference_plot(nothing) is None


def test_shots_are_the_cells(two):
    table = two[0]
    plot = drawn(shots_plot(table))
    piqa = plot.data["panels"][0]
    assert (piqa["title"], piqa["shots"], len(piqa["lines"])) == ("PIQA", [0, 5], 3)
    values = {
        (revision, record.num_fewshot): 100 * record.metrics["acc"]
        for revision, own in table.records.items()
        for record in own
        if record.task == "piqa"
    }
    assert piqa["lines"][0] == pytest.approx([values["seed-1", 0], values["seed-1", 5]], rel=1e-5)
    assert piqa["middle"][1] == pytest.approx(fmean(values[f"seed-{n}", 5] for n in (1, 2, 3)), rel=1e-5)


def test_a_task_that_is_zero_everywhere_has_one_tick(two):
    table = two[0]
    cells = {
        name: tuple(replace(one, metrics=dict.fromkeys(one.metrics, 0.0)) for one in own)
        for name, own in table.records.items()
    }
    plot = drawn(shots_plot(replace(table, records=MappingProxyType(cells))))
    axes = plot._figure.axes[0]
    plot.png()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0"]


@pytest.mark.parametrize("far", [0, 1e4, -1e4])
def test_chance_is_drawn_where_the_scores_stay_readable(two, far):
    chance = two[0].values("piqa")[0] + far
    table = replace(two[0], baselines=MappingProxyType({"piqa": Baseline(chance, None)}))
    plot = drawn(shots_plot(table))
    assert [panel["chance"] for panel in plot.data["panels"]] == [pytest.approx(chance, rel=1e-5), None]
    piqa, copa = plot._figure.axes[:2]
    lines = [line.get_ydata()[0] for line in piqa.get_lines() if list(line.get_xdata()) == [0, 1]]
    assert lines == ([] if far else [pytest.approx(chance, rel=1e-5)])
    assert [text.get_text()[-1] for text in piqa.texts] == ({1e4: ["↑"], -1e4: ["↓"]}.get(far, []))
    assert not copa.texts


def test_the_runs_lie_on_their_mean(two):
    axes = drawn(shots_plot(two[0]))._figure.axes[0]
    mean, *runs = (line for line in axes.get_lines() if list(line.get_xdata()) != [0, 1])
    assert all(line.get_zorder() >= mean.get_zorder() and line.get_linewidth() < mean.get_linewidth() for line in runs)


def test_a_missing_cell_leaves_a_gap_and_no_mean(two):
    table = two[0]
    cells = dict(table.records)
    cells["seed-2"] = tuple(one for one in cells["seed-2"] if (one.task, one.num_fewshot) != ("piqa", 5))
    piqa = drawn(shots_plot(replace(table, records=MappingProxyType(cells)))).data["panels"][0]
    assert piqa["lines"][1][1] is None
    assert piqa["middle"][1] is None


def test_a_run_without_the_cells_of_a_task_leaves_it_without_a_mean(two):
    table = two[0]
    last = list(table.records)[-1]
    cells = {name: [r for r in own if name != last or r.task != "piqa"] for name, own in table.records.items()}
    plot = drawn(shots_plot(replace(table, records=MappingProxyType(cells))))
    piqa = next(panel for panel in plot.data["panels"] if panel["title"] == table.headings["piqa"])
    assert set(piqa["middle"]) == {None}
    assert len(piqa["lines"]) == len(table.records) - 1
    assert any(table.headings["piqa"] in note for note in plot.data["notes"])
    assert table.headings["piqa"] not in plot.alt.partition("the mean goes")[2]


def test_one_mixture_is_bars_by_share():
    mixture = Mixture.model_validate({"train_b": 1.0, "train_a": 3.0, "train_c": 0.0, "train_d": 1e-5})
    plot = drawn(mixture_plot({"demo": mixture}, "train_"))
    assert [one["label"] for one in plot.data["rows"]] == ["a", "b", "d"]
    assert [one["values"][0] for one in plot.data["rows"]] == pytest.approx([75, 25, 0.00025], rel=1e-4)
    assert plot.data["notes"] == ["Not sampled: c."]
    assert "a 75.00%, b 25.00%, d 0.00025%" in plot.alt


@pytest.mark.parametrize(("count", "marked"), [(2, True), (4, True), (5, False)])
def test_several_mixtures_are_marked_or_strips(count, marked):
    mixtures = {f"m{n}": Mixture.model_validate({"train_a": 1.0 + n, "train_b": float(n > 0)}) for n in range(count)}
    plot = drawn(mixture_plot(mixtures, "train_"))
    assert plot.data["marked"] is marked
    assert row(plot, "b")["values"][0] is None
    assert "Where a mixture has no mark, it does not sample the domain." in plot.data["notes"]


def test_what_a_mixture_lacks_counts_as_zero():
    """In the lowest share as in the mean, which otherwise lies below it."""
    mixtures = {f"m{n}": Mixture.model_validate({"a": 1.0, "b": 0.002 * n}) for n in range(5)}
    plot = drawn(mixture_plot(mixtures, "", "family"))
    assert plot.title.startswith("family: 5 mixtures")
    (label,) = [text for text in shown(plot) if " … 0.79%" in text]
    assert label.strip().startswith("0% …")
    assert "b 0% to 0.79%" in plot.alt


@pytest.mark.parametrize(("least", "logarithmic"), [(10.0, False), (0.1, True)])
def test_a_scale_is_logarithmic_only_if_shares_need_it(least, logarithmic):
    mixtures = {
        "mine": Mixture.model_validate({"a": 80.0, "b": 20.0}),
        "other": Mixture.model_validate({"a": least, "b": 99.0}),
    }
    plot = drawn(mixture_plot(mixtures, ""))
    assert plot.data["logarithmic"] is logarithmic
    assert ("logarithmic" in plot.data["subtitle"]) is logarithmic
    assert {"mine", "other"} <= set(plot.title.split())
    assert plot._figure.axes[0].get_xscale() == ("log" if logarithmic else "linear")


def shown(plot):
    """The texts of a plot."""
    return [label.get_text() for axes in plot._figure.axes for label in axes.get_yticklabels()]


def test_validation_is_told_apart_by_domain():
    plot = drawn(losses_plot({f"seed-{n}": curve(100, ["a", "b", "c"], n) for n in (1, 2)}, "valid_", "mine"))
    assert plot.title.startswith("mine: ")
    training, validation, names = plot._figure.axes
    lines = [line for line in validation.get_lines() if line.get_transform() == validation.transData]
    assert len(lines) == 6
    assert len({line.get_color() for line in lines}) == 3
    assert len({line.get_linestyle() for line in lines}) == 2
    assert len({line.get_color() for line in training.get_lines()}) == 1
    labels = {label.get_text(): label.get_color() for label in names.get_yticklabels()}
    assert labels.keys() == {"a", "b", "c"}
    assert set(labels.values()) == {line.get_color() for line in lines}
    assert (validation.get_xlabel(), validation.get_ylabel()) == ("training tokens", "nats per token")


def test_each_name_is_joined_to_its_line():
    plot = drawn(losses_plot({"seed-1": curve(100, ["a", "b", "c"], 1)}, "valid_", "mine"))
    validation = plot._figure.axes[1]
    ends = sorted(
        line.get_ydata()[-1] for line in validation.get_lines() if line.get_transform() == validation.transData
    )
    joints = [line for line in validation.get_lines() if line.get_transform() != validation.transData]
    assert sorted(line.get_ydata()[0] for line in joints) == pytest.approx(ends, rel=1e-4)


def test_many_domains_are_cut_and_the_rest_is_said():
    plot = drawn(mixture_plot({"wide": Mixture.model_validate({f"d{n:03}": 1.0 for n in range(100)})}, "train_"))
    assert len(plot.data["rows"]) == 40
    assert plot.data["notes"] == ["Not drawn: 60 smaller domains, 60.00% together."]


def test_the_catalog_is_drawn():
    family = catalog.get("random-1b")
    plot = drawn(mixture_plot({run.revision: run.mixture for run in family.runs()}, family.data.train_prefix))
    assert len(plot.data["names"]) == 64


def test_losses_are_against_tokens_and_long_ones_are_averaged():
    plot = drawn(losses_plot({f"seed-{n}": curve(1000, ["a", "b"], n) for n in (1, 2)}, "valid_"))
    points = plot.data["training"][0]["points"]
    assert len(points) == 200
    assert points[-1][0] == pytest.approx(99_800)  # of steps 996 to 1000
    assert "Training: each point is a mean over 5 steps." in plot.data["notes"]
    assert [one["label"] for one in plot.data["validation"]] == ["a", "b"]
    assert plot.data["validation"][0]["lines"][1]["points"][0] == [0, 6]
    assert plot.data["validation"][0]["lines"][1]["points"][-1] == pytest.approx([100_000, 3.003])


@pytest.mark.parametrize(("runs", "domains", "steps"), [(1, 0, 1), (1, 1, 3), (12, 2, 20), (2, 9, 100)])
def test_few_and_many_runs_and_domains_are_drawn(runs, domains, steps):
    curves = {f"seed-{n}": curve(steps, [f"d{d}" for d in range(domains)], n) for n in range(runs)}
    plot = drawn(losses_plot(curves, "valid_"))
    assert (len(plot.data["training"]), len(plot.data["validation"])) == (runs, domains)


def test_a_step_logged_twice_counts_once_and_what_is_not_finite_is_said():
    lines = [
        {"step": 1, "loss": 9.0, "tokens": 10},
        {"step": 1, "loss": 5.0, "tokens": 10},
        {"step": 2, "loss": float("nan"), "tokens": 20},
        {"step": 3, "loss": 4.0, "tokens": 30},
        {"step": 4, "validation": {"valid_a": 3.0}},
    ]
    plot = drawn(losses_plot({"seed-1": lines}, "valid_"))
    assert plot.data["training"][0]["points"] == [[10, 5], [30, 4]]
    assert plot.data["validation"][0]["lines"][0]["points"] == [[40, 3]]
    assert "Losses that are not finite, and not drawn: 1." in plot.data["notes"]


def test_files_carry_what_they_show_and_others_do_not(published, tmp_path):
    plot = scores_plot(published)
    assert drawn_sha256(plot.svg()) == drawn_sha256(plot.png()) == plot.sha256
    named = replace(plot, name="other")
    assert named.sha256 == plot.sha256
    assert named.svg() == plot.svg()
    assert replace(plot, data={**plot.data, "digits": 3}).sha256 != plot.sha256
    blank = io.BytesIO()
    image(plot).save(blank, "png")
    words = f"<svg><desc>mixhub-drawn:{plot.sha256}</desc></svg>".encode()
    foreign = (b"", b"<svg/>", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n\0\0", blank.getvalue(), words, b"\xff\xd8")
    assert [drawn_sha256(content) for content in foreign] == [None] * 7


def test_a_file_that_shows_the_same_is_left(two, tmp_path):
    plot = scores_plot(two[0])
    paths = save_plot(plot, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["scores.svg", "scores.png"]
    kept = paths[0].read_bytes() + b"<!-- drawn by another version -->"
    paths[0].write_bytes(kept)
    save_plot(plot, tmp_path / "new" / "folder")
    assert paths[0].read_bytes() == kept
    write_plot(replace(plot, title="Another"), paths[0])
    assert b"Another" in paths[0].read_bytes()
    assert drawn_sha256(paths[1].read_bytes()) == plot.sha256


MAKES = """
import hashlib
from mixhub.spec import catalog
from mixhub.card.plots.mixture import mixture_plot
family = catalog.get("human-1b")
plot = mixture_plot({family.name: family.mixture}, family.data.train_prefix)
print(*(hashlib.sha256(content).hexdigest() for content in {order}))
"""


def test_two_processes_draw_the_same_bytes_whatever_is_drawn_first_and_whatever_the_user_likes(tmp_path: Path):
    (tmp_path / "matplotlibrc").write_text("font.size: 20\naxes.facecolor: red\nsvg.fonttype: none\n")
    orders = ("(plot.svg(), plot.png())", "reversed([plot.png(), plot.svg()])")
    said = {
        subprocess.run(
            [sys.executable, "-c", MAKES.replace("{order}", order)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for order, folder in zip(orders, (Path.cwd(), tmp_path), strict=True)
    }
    assert len(said) == 1


def test_settings_of_others_are_left_alone(published):
    import matplotlib

    with matplotlib.rc_context({"font.size": 33}):
        scores_plot(published).svg()
        assert matplotlib.rcParams["font.size"] == 33


@settings(max_examples=12)
@given(st.text(max_size=40), st.text(max_size=80))
@example("$x_{$ **b** <b> & \n| 雪\x00\ud800", "]]> --> </desc>")
@example("long " * 400, "x" * 4000)
@example("", " ")
def test_odd_names_break_nothing(domain, name):
    data = {
        "subtitle": f"Of {name}.",
        "unit": "share of training tokens, %",
        "names": [name, "other"],
        "marked": True,
        "logarithmic": False,
        "rows": [{"label": domain, "values": [40.0, 2.0], "mean": 21.0}],
        "notes": [name],
    }
    plot = drawn(Plot("mixture", draw_mixture, name, f"{domain} {name}", data))
    assert drawn_sha256(plot.svg()) == plot.sha256


def test_nothing_is_cut_off_at_the_edges(two, published):
    plots = [
        scores_plot(published),
        difference_plot(compare(*two)),
        shots_plot(two[0]),
        losses_plot({"seed-1": curve(50, ["a-domain-with-quite-a-long-name", "b"])}, "valid_"),
    ]
    for plot in plots:
        drawing = image(drawn(plot))
        width, height = drawing.size
        edges = [(x, y) for x in range(width) for y in (0, 3, height - 4, height - 1)]
        edges += [(x, y) for y in range(height) for x in (0, 3, width - 4, width - 1)]
        assert {drawing.getpixel(place) for place in edges} == {(255, 255, 255)}, plot.name
