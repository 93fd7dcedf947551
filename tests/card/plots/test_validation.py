"""The plot of validation losses: what is drawn of runs, families and domains."""

import math
from types import MappingProxyType

import pytest

from mixhub.analysis.losses.runs import LossRuns
from mixhub.card.plots.validation import validation_plot
from tests.card.plots.test_plots import drawn


def family(name, curves):
    return LossRuns(name, "seed", MappingProxyType(curves))


def panels(*families):
    plot = drawn(validation_plot(families))
    return {panel["title"]: panel["lines"] for panel in plot.data["panels"]}


def test_each_run_has_a_line_and_each_family_a_mean_where_its_runs_have_steps_in_common():
    a = family("a", {"seed-1": {"x": {0: 5.0, 10: 3.0}, "y": {0: 6.0, 10: 2.0}}, "seed-2": {"x": {0: 4.0, 20: 1.0}}})
    b = family("b", {"seed-1": {"y": {0: 7.0, 10: math.nan}}})
    drawn_panels = panels(a, b)
    assert list(drawn_panels) == ["Average of domains", "x", "y"]
    assert [(line["name"], line["is_mean"], line["points"]) for line in drawn_panels["x"]] == [
        ("a", False, [[0, 5], [10, 3]]),
        ("a", False, [[0, 4], [20, 1]]),
        ("a", True, [[0, 4.5]]),
    ]
    assert [line["points"] for line in drawn_panels["y"]] == [[[0, 6], [10, 2]], [[0, 7]]]
    assert drawn_panels["Average of domains"][0]["points"] == [[0, 5.5], [10, 2.5]]


def test_long_curves_are_thinned_and_keep_their_end():
    curve = {step: 10 - step / 1000 for step in range(5000)}
    ((line,),) = panels(family("a", {"seed-1": {"x": curve}})).values()
    assert len(line["points"]) <= 200
    assert line["points"][-1] == [4999, pytest.approx(5.001)]


def test_losses_in_the_text_are_rounded_once_from_those_that_were_measured():
    losses = family("a", {"seed-1": {"x": {0: 5.0, 10: 1.6932505832954803}}})
    assert "x a 1.6933." in validation_plot([losses]).alt


@pytest.mark.parametrize("count", [1, 9, 30])
def test_many_families_and_domains_can_be_drawn(count):
    curves = {f"domain-{number}": {0: 5.0, 10: 4.0 - number / 50} for number in range(count)}
    families = [family(f"mix-{number}", {"seed-1": curves, "seed-2": curves}) for number in range(count)]
    assert len(panels(*families)) == count + (count > 1)


def test_nothing_is_drawn_of_losses_without_steps():
    assert validation_plot([family("a", {"seed-1": {"x": {None: 2.0}}})]) is None
