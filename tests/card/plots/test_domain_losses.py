"""The plot of losses by domain, also of long runs with many domains."""

from mixhub.card.plots.domain_losses import domain_losses_plot
from mixhub.card.plots.losses import losses_plot
from mixhub.workspace.metrics import iterate_metrics, read_metrics
from tests.card.plots.test_plots import drawn


def lines(steps, domains, seed):
    """Lines of metrics; the rarest domain is in every seventh step alone."""
    for step in range(1, steps + 1):
        losses = {f"train_{name}": n + seed / 100 + 1 / step for n, name in enumerate(domains)}
        if step % 7:
            losses.pop(f"train_{domains[-1]}")
        yield {"step": step, "loss": 2 + 1 / step, "tokens": 100 * step, "domains": losses}
        if step % 50 == 0:
            yield {"step": step, "validation": {f"valid_{domains[0]}": 3.0 + seed}}


def test_each_domain_has_a_panel_with_a_line_for_each_seed():
    domains = [f"domain_{n:02}" for n in range(17)]
    plot = drawn(
        domain_losses_plot({f"seed-{n}": lines(1000, domains, n) for n in range(1, 6)}, "train_", "valid_", "me")
    )
    assert [panel["title"] for panel in plot.data["panels"]] == domains
    for n, panel in enumerate(plot.data["panels"]):
        assert [line["label"] for line in panel["training"]] == [f"seed-{n}" for n in range(1, 6)]
        assert all(50 < len(line["points"]) <= 100 for line in panel["training"])
        assert all(abs(y - n) < 0.06 for line in panel["training"] for x, y in line["points"] if x > 50_000)
        assert len(panel["validation"]) == (5 if n == 0 else 0)
    assert plot.data["panels"][0]["validation"][1]["points"][0] == [5000, 5]
    axes = [one for one in plot._figure.axes if one.get_visible()]
    assert len(axes) == 17
    assert [len(one.get_lines()) for one in axes] == [10] + 16 * [5]
    assert len({line.get_color() for line in axes[3].get_lines()}) == 5


def test_many_runs_and_few_domains_are_drawn_and_none_is_no_plot():
    plot = drawn(domain_losses_plot({f"i-{n}": lines(3, ["a", "b"], n) for n in range(12)}, "train_", "valid_", "me"))
    assert len(plot.data["panels"][0]["training"]) == 12
    assert domain_losses_plot({"seed-1": [{"step": 1, "loss": 2.0, "tokens": 5}]}, "train_", "valid_", "me") is None


def test_lines_are_read_one_by_one_and_as_before(tmp_path):
    import json

    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines(200, ["a", "b"], 1)) + '{"step": 201, "lo')
    assert list(iterate_metrics(path)) == read_metrics(path) == list(lines(200, ["a", "b"], 1))
    whole = losses_plot({"seed-1": read_metrics(path)}, "valid_")
    streamed = losses_plot({"seed-1": iterate_metrics(path)}, "valid_")
    assert whole.data == streamed.data
