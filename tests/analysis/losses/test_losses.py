"""Validation losses in the logs of trainers: which are found, at which step, and how families of them are compared."""

import json
import math
import sys

import numpy as np
import pytest
from scipy import stats

import mixhub
from mixhub.analysis.comparison import compare
from mixhub.analysis.losses.names import validation_losses
from mixhub.analysis.losses.table import loss_tables
from mixhub.analysis.scores import LOSS
from mixhub.analysis.selection import Selection
from mixhub.analysis.survey import survey
from mixhub.analysis.tables import AVERAGE
from mixhub.errors import ResultsError, RunError, UnknownNameError, UsageError
from tests.refusals import refused

DRAWS = {1: (2.5, 3.25), 2: (2.75, 3.5), 3: (2.25, 3.0)}
"""Losses of arxiv and github at the last step, by seed."""


def write_metrics(folder, seed, figures, *, steps=(0, 100), shift=0.0):
    """A run's `metrics.jsonl` as mixhub writes it; earlier steps have higher losses."""
    path = folder / f"seed-{seed}" / "metrics.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for back, step in enumerate(reversed(steps)):
        losses = {f"valid_{d}": v + back + shift for d, v in zip(("arxiv", "github"), figures, strict=True)}
        lines = [
            {"step": step, "loss": 9.0, "domains": {"train_arxiv": 9.0}},
            {"step": step, "validation": losses},
            *lines,
        ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_family(folder, *, shift=0.0, steps=(0, 100), seeds=(1, 2, 3)):
    for seed in seeds:
        write_metrics(folder, seed, DRAWS[seed], shift=shift, steps=steps)
    return folder


def table(source, **wanted):
    (found,) = loss_tables([str(source)], None, Selection(measure=LOSS, **wanted))
    return found


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("eval_loss", "loss"),
        ("eval/loss", "loss"),
        ("Val Loss", "loss"),
        ("lm loss validation", "loss"),
        ("eval_arxiv_loss", "arxiv"),
        ("eval/arxiv/loss", "arxiv"),
        ("eval_web_text_loss", "web_text"),
        ("metric/the_pile_arxiv_val_loss", "the_pile_arxiv"),
        ("valid_prose", "prose"),
        ("eval/c4_en-validation/CrossEntropyLoss", "c4_en"),
    ],
)
def test_names_of_validation_losses_in_the_logs_of_several_trainers(name, domain):
    assert validation_losses([name]) == {name: domain}


def test_names_that_say_more_come_before_those_that_say_less():
    assert validation_losses(["eval_arxiv_loss", "loss/web", "valid_code"]) == {"eval_arxiv_loss": "arxiv"}
    others = ["train/loss", "train_loss", "eval_runtime", "eval_accuracy", "eval_train_loss", "eval_code_perplexity"]
    assert validation_losses([*others, "learning_rate", "epoch", "grad_norm", "loss"]) == {}
    assert validation_losses([*others, "loss/web"], only_named=False) == {"loss/web": "web"}
    assert validation_losses([*others, "web", "code"], only_named=False) == {"web": "web", "code": "code"}


def test_runs_of_mixhub_by_seed_domain_and_step(tmp_path):
    found = table(write_family(tmp_path / "mix"))
    assert (found.kind, found.measure.name, found.standing) == ("seed", "loss", "measured")
    assert found.frame().to_dict("index")["seed-2"] == {"arxiv": 2.75, "github": 3.5, "Average": 3.125}
    spread, interval = found.over_seeds[AVERAGE].spread, found.over_seeds[AVERAGE].interval
    values = [np.mean(DRAWS[seed]) for seed in DRAWS]
    assert (spread.mean, spread.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert table(tmp_path / "mix", step=0).values("arxiv") == [3.5, 3.75, 3.25]
    assert table(tmp_path / "mix", tasks=("github",)).values(AVERAGE) == [3.25, 3.5, 3.0]
    with refused("option-value", UsageError, value=50):
        table(tmp_path / "mix", step=50)
    with refused("unknown-task", UnknownNameError, name="books"):
        table(tmp_path / "mix", tasks=("books",))


def test_the_state_of_a_trainer_and_its_checkpoints(tmp_path):
    for seed, (arxiv, github) in DRAWS.items():
        for steps, folder in (((50,), "checkpoint-50"), ((50, 100), "checkpoint-100"), ((50, 100, 150), "")):
            history = [{"loss": 9.0, "learning_rate": 1e-3, "epoch": 0.5, "step": 10}]
            for step in steps:
                add = (150 - step) / 100
                history += [
                    {"eval_arxiv_loss": arxiv + add, "eval_arxiv_runtime": 1.5, "epoch": 1.0, "step": step},
                    {"eval_github_loss": github + add, "eval_github_steps_per_second": 7.0, "step": step},
                ]
            path = tmp_path / "hf" / f"mix-a-seed{seed}" / folder / "trainer_state.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"global_step": steps[-1], "log_history": history}))
    found = table(tmp_path / "hf")
    assert [row.revision for row in found.rows] == ["seed-1", "seed-2", "seed-3"]
    assert found.values("arxiv") == [2.5, 2.75, 2.25]
    assert found.steps == {"arxiv": (150,), "github": (150,)}
    assert table(tmp_path / "hf", step=50).values("github") == [4.25, 4.5, 4.0]
    one = table(tmp_path / "hf" / "mix-a-seed2" / "checkpoint-50" / "trainer_state.json")
    assert one.values("arxiv") == [3.75]


def test_only_training_losses_are_no_validation_losses(tmp_path):
    state = tmp_path / "trainer_state.json"
    state.write_text(json.dumps({"log_history": [{"loss": 3.0, "step": 10}, {"train_loss": 2.0, "step": 20}]}))
    with refused("losses-missing", ResultsError, path=state):
        table(state)
    state.write_text("{}")
    with refused("log-malformed", ResultsError, path=state):
        table(state)
    (tmp_path / "empty").mkdir()
    with refused("losses-missing", ResultsError):
        table(tmp_path / "empty")
    (tmp_path / "notes.txt").write_text("a")
    with refused("losses-missing", ResultsError):
        table(tmp_path / "notes.txt")
    with refused("unknown-source", UnknownNameError, name="missing"):
        table("missing")
    (tmp_path / "metrics.jsonl").write_text("no json\n")
    with refused("metrics-malformed", RunError):
        table(tmp_path / "metrics.jsonl")


WANDB = """"Step","seed-1 - eval/arxiv_loss","seed-1 - eval/arxiv_loss__MIN","seed-2 - eval/arxiv_loss"
"100","3.5","3.5","3.75"
"200","2.5","2.5",""
"200","","","2.75"
"""
HISTORY = """_step,train/global_step,train/loss,eval/arxiv_loss,eval/github_loss,_runtime
0,10,4.0,,,1
1,100,,3.5,,2
2,100,,,4.25,3
3,200,,2.5,,4
4,200,,,3.25,5
"""
REGMIX = """index,metric/the_pile_arxiv_val_loss,metric/the_pile_github_val_loss
1,2.5,3.25
2,2.75,3.5
"""
LONG = """seed,step,arxiv,github,learning_rate
1,100,2.5,3.25,0.1
2,100,2.75,3.5,0.1
"""


@pytest.mark.parametrize(
    ("text", "kind", "steps", "losses"),
    [
        (WANDB, "seed", (200,), {"seed-1": {"arxiv": 2.5}, "seed-2": {"arxiv": 2.75}}),
        (HISTORY, "revision", (200,), {"run": {"arxiv": 2.5, "github": 3.25}}),
        (REGMIX, "index", (None,), {"index-1": {"the_pile_arxiv": 2.5, "the_pile_github": 3.25},
                                    "index-2": {"the_pile_arxiv": 2.75, "the_pile_github": 3.5}}),
        (LONG, "seed", (100,), {"seed-1": {"arxiv": 2.5, "github": 3.25}, "seed-2": {"arxiv": 2.75, "github": 3.5}}),
    ],
    ids=["wandb", "history", "regmix", "long"],
)  # fmt: skip
def test_csv_as_others_export_it(tmp_path, text, kind, steps, losses):
    path = tmp_path / "run.csv"
    path.write_text("\ufeff" + text)
    found = table(path)
    assert found.kind == kind
    shown = found.frame().drop(columns="Average").to_dict("index")
    assert shown == losses
    assert set(found.steps.values()) == {steps}
    path.with_suffix(".tsv").write_text(text.replace(",", "\t"))
    assert table(path.with_suffix(".tsv")).frame().drop(columns="Average").to_dict("index") == losses


def test_csv_of_single_curves_from_tensorboard(tmp_path):
    for seed, (arxiv, github) in DRAWS.items():
        for domain, value in (("arxiv", arxiv), ("github", github)):
            text = f"Wall time,Step,Value\n1700000000.5,50,9.5\n1700000001.5,100,{value}\n"
            (tmp_path / f"run-seed-{seed}-tag-eval_{domain}_loss.csv").write_text(text)
    found = table(tmp_path)
    assert found.kind == "seed"
    assert found.values("github") == [3.25, 3.5, 3.0]
    assert found.steps["arxiv"] == (100,)


def test_csv_that_cannot_be_read_says_where(tmp_path):
    path = tmp_path / "run.csv"
    for text, code in (
        ("step,eval_loss\n1,2\n2\n", "table-ragged"),
        ("time,eval_loss\n1,2\n", "losses-missing"),
        ("step,learning_rate\n1,0.1\n", "losses-missing"),
        ("step,eval_loss\n1,words\n", "losses-missing"),
        ("step,eval_loss\n,2\n", "losses-missing"),
        ("Wall time,Step,Value\n1,,\n", "losses-missing"),
        ("", "losses-missing"),
    ):
        path.write_text(text)
        with refused(code, ResultsError, path=path):
            table(path)
    path.write_bytes(b"step,eval_loss\n1,\xff\n")
    with refused("file-malformed", ResultsError, path=path):
        table(path)


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ('step,eval_loss\n900,2.5\n"1,000",2.25\n', "cell-malformed", 3),
        ("step,eval_loss\n0.5,2.5\n", "cell-malformed", 2),
        ("step,eval_loss\ninf,2.5\n", "cell-malformed", 2),
        ("step,eval_loss\n1,2.5\n\n2,2.25 nats\n", "cell-malformed", 4),
        ("step;eval_loss\n1;2.5\n2;2,25\n", "cell-malformed", 3),
        ("Wall time,Step,Value\n1,1,2.5\n2,2,low\n", "cell-malformed", 3),
        ("trial,step,eval_loss\na,1,2.5\nb,1,2.25\n", "label-repeated", 3),
        ("seed,arxiv\n1,2.5\n2,2.5\n1,2.25\n", "label-repeated", 4),
        ("step,eval_arxiv_loss,eval/arxiv/loss\n1,2.5,2.25\n", "label-repeated", 2),
    ],
)
def test_a_cell_that_would_be_lost_is_refused(tmp_path, text, code, line):
    path = tmp_path / "run.csv"
    path.write_text(text)
    with refused(code, ResultsError, path=path, line=line):
        table(path)


def test_csv_with_semicolons_and_blank_cells(tmp_path):
    path = tmp_path / "run.csv"
    path.write_text("step;eval_arxiv_loss;eval_github_loss\n100;2.5;null\n100.0;2.5;3.25\nnan;-;\n")
    (row,) = table(path).frame().to_dict("index").values()
    assert row == {"arxiv": 2.5, "github": 3.25, "Average": 2.875}


def test_domains_at_different_steps_have_no_average(tmp_path):
    path = tmp_path / "run.csv"
    path.write_text("step,eval_arxiv_loss,eval_github_loss\n100,2.5,3.25\n200,,3.0\n")
    found = table(path)
    assert (found.values("arxiv"), found.values("github"), found.values(AVERAGE)) == ([2.5], [3.0], [])
    assert "100, 200" in found.rows[0].average.reason
    assert table(path, step=100).values(AVERAGE) == [2.875]


def test_events_of_tensorboard(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    for seed, (arxiv, github) in DRAWS.items():
        writer = SummaryWriter(tmp_path / f"seed-{seed}" / "runs" / "Nov30_12-00-00_host")
        for step, add in ((50, 1.0), (100, 0.0)):
            writer.add_scalar("train/loss", 9.0, step)
            writer.add_scalar("eval/arxiv_loss", arxiv + add, step)
            writer.add_scalar("eval/github_loss", github + add, step, new_style=True)
        writer.close()
    found = table(tmp_path)
    assert [row.revision for row in found.rows] == ["seed-1", "seed-2", "seed-3"]
    assert found.values("arxiv") == [2.5, 2.75, 2.25]
    assert found.values("github") == [3.25, 3.5, 3.0]
    assert table(tmp_path, step=50).values("arxiv") == [3.5, 3.75, 3.25]


def test_without_tensorboard_one_error_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "seed-1").mkdir()
    (tmp_path / "seed-1" / "events.out.tfevents.1.host").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing.event_accumulator", None)
    with refused("package-missing", ResultsError, package="tensorboard"):
        table(tmp_path)


def test_a_loss_over_all_text_is_in_no_average_of_domains(tmp_path):
    path = tmp_path / "run.csv"
    path.write_text("step,eval_loss,eval_arxiv_loss,eval_github_loss\n100,9.0,2.0,3.0\n")
    (row,) = table(path).frame().to_dict("index").values()
    assert row == {"All text": 9.0, "arxiv": 2.0, "github": 3.0, "Average": 2.5}
    path.write_text("step,eval_loss\n100,9.0\n")
    (row,) = table(path).frame().to_dict("index").values()
    assert row == {"All text": 9.0, "Average": 9.0}


def test_a_run_that_diverged_has_no_loss_and_no_average(tmp_path):
    path = tmp_path / "run.csv"
    path.write_text("seed,step,arxiv,github\n1,100,2.0,3.0\n1,200,nan,2.5\n2,100,2.5,3.5\n2,200,2.25,3.25\n")
    found = table(path)
    assert math.isnan(found.frame().loc["seed-1", "arxiv"])
    assert found.over_seeds[AVERAGE].spread is None
    assert found.over_seeds["github"].spread is not None


def test_losses_of_different_steps_are_not_mixed(tmp_path):
    write_family(tmp_path / "a", seeds=(1, 2))
    write_metrics(tmp_path / "a", 3, DRAWS[3], steps=(0, 50))
    found = table(tmp_path / "a")
    assert found.steps["arxiv"] == (100, 50)
    assert found.over_seeds[AVERAGE].spread is None
    one, other = write_family(tmp_path / "b"), write_family(tmp_path / "c", steps=(0, 200))
    assert "100, 200" in compare(table(one), table(other)).primary.reason
    assert compare(table(one, step=0), table(other, step=0)).primary.reason == ""


def test_lower_is_better_in_comparisons_and_ranks(tmp_path, mixhub_here):
    worse, better = write_family(tmp_path / "worse", shift=2.0), write_family(tmp_path / "better")
    ranking = survey([table(worse), table(better)]).ranking
    assert [one.name for one in ranking] == [str(better), str(worse)]
    done = mixhub_here("results", "--compare", "worse", "better", "--measure", "loss")
    assert done.returncode == 0, done.stderr
    assert "better is better" in done.stdout


def test_the_frames_of_python(tmp_path):
    write_family(tmp_path / "mix")
    scores = mixhub.results(tmp_path / "mix", measure="loss")
    assert scores.loc["seed-3", "arxiv"] == 2.25
    assert scores.attrs["measure"] == "loss"
    curves = mixhub.results(tmp_path / "mix", measure="loss", frame="cells")
    assert len(curves) == 3 * 2 * 2
    assert curves[curves.step == 0].groupby("domain").loss.mean().to_dict() == {"arxiv": 3.5, "github": 4.25}
    assert mixhub.results(tmp_path / "mix", measure="loss", frame="spread").set_index("task").loc["arxiv", "n"] == 3
