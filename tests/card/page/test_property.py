"""Whatever a specification allows, with whatever results, makes cards that `card check` accepts, twice the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mixhub.analysis.samples import Baseline, SampleSummary
from mixhub.card.check.lint import lint_card
from mixhub.card.facts.runs import FamilyFacts, RunFacts
from mixhub.spec.family import Family
from tests.card import making
from tests.card.making import render_family, render_revision

PIECES = (*"ab #*_`|[]()<>&$\\~!{}%'\"-+=:.,é雪\n\t", "```", "---", "<b>", "{{", "$$", "](x)", "~~~", "<!--")
TEXT = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
TITLE = TEXT.map(lambda text: f"T{text}").filter(lambda text: text != "Average")
LINE = TEXT.map(lambda text: f"x{text}")
TASKS = ("last_word", "sums", "piqa")


@st.composite
def families(draw: st.DrawFn) -> Family:
    """Families over seeds or indices, with any text, tasks and published scores."""
    kind = draw(st.sampled_from(["seed", "index"]))
    numbers = draw(st.lists(st.integers(0, 30), min_size=1, max_size=4, unique=True))
    titles = draw(st.lists(TITLE, min_size=1, max_size=3, unique_by=lambda text: " ".join(text.split())))
    tasks = [
        {"name": name, "title": title, "chance": draw(st.sampled_from([None, 25, 50]))}
        for name, title in zip(TASKS, titles, strict=False)
    ]
    weights = draw(
        st.dictionaries(st.sampled_from(["train_a", "train_b_c", "train_x-y"]), st.integers(1, 9), min_size=1)
    )
    changes: dict[str, Any] = {
        "evaluation": {"tasks": tasks, "num_fewshot": draw(st.sampled_from([[0], [0, 2], [0, 1, 2, 3]]))},
        "mixture": weights,
        "revisions": {"pattern": f"r-{{{kind}}}", "seeds": numbers if kind == "seed" else []},
        "card": draw(cards()),
    }
    if kind == "index":
        changes["revisions"]["indices"] = numbers
        changes |= {"mixture": None, "mixtures": dict.fromkeys(numbers, weights), "training": {"seed": 3}}
    if draw(st.booleans()):
        changes["published_scores"] = draw(published([f"r-{number}" for number in numbers], tasks))
    return making.family(**changes)


@st.composite
def cards(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "title": draw(LINE),
        "summary": draw(LINE),
        "purpose": draw(st.none() | LINE),
        "license": draw(st.sampled_from(["mit", "cc-by-4.0", "unknown"])),
        "language": draw(st.sampled_from([[], ["en"], ["no", "zh-Hant"]])),
        "datasets": draw(st.sampled_from([[], ["org/data"]])),
        "arxiv": draw(st.sampled_from([None, "2407.01492"])),
        "tags": draw(st.lists(st.sampled_from(["no", "1.0", "data-mixture", "a: b", "null"]), unique=True)),
        "links": draw(
            st.dictionaries(LINE, st.sampled_from(["https://example.org/a_b(c)", "http://x.org", "no link"]))
        ),
        "limits": draw(st.lists(LINE, max_size=2)),
        "errata": draw(st.lists(LINE, max_size=2)),
        "compute": draw(st.none() | LINE),
        "contact": draw(st.none() | LINE),
        "citation": draw(st.none() | LINE),
        "data_license": draw(st.none() | LINE),
    }


@st.composite
def published(draw: st.DrawFn, revisions: list[str], tasks: list[dict[str, Any]]) -> dict[str, Any]:
    """Printed scores, some of which are missing; an average is that of its row, as printed."""
    scores, averages = {}, {}
    for revision in revisions:
        row = {task["name"]: draw(st.integers(0, 10_000)) / 100 for task in tasks if draw(st.integers(0, 5))}
        if row:
            scores[revision] = row
        if len(row) == len(tasks):
            averages[revision] = round(sum(row.values()) / len(row), 2)
    return {"source": "https://example.org/table", "rule": draw(LINE), "scores": scores, "average": averages}


@st.composite
def results(draw: st.DrawFn, family: Family) -> list[RunFacts]:
    """Runs, each trained or not, with some or all of its cells, and imported ones beside them."""
    found = []
    for run in family.runs():
        facts = RunFacts(run)
        cells = tuple(
            making.cell(family, run, task.name, shots, draw(st.integers(0, 64)) / 64)
            for task in family.evaluation.tasks
            for shots in family.evaluation.num_fewshot
            if draw(st.integers(0, 9))
        )
        if draw(st.booleans()):
            metrics = draw(st.just(()) | st.floats(0.1, 9).map(lambda loss: ({"step": 1, "loss": loss, "tokens": 9},)))
            scored = cells if draw(st.booleans()) else ()
            facts = replace(facts, lineage=making.lineage(family, run), metrics=metrics, cells=scored)
        if draw(st.integers(0, 3)) == 0:
            facts = replace(facts, imported=tuple(replace(cell, weights_sha256="unknown") for cell in cells))
        found.append(facts)
    return found


@st.composite
def known(draw: st.DrawFn, family: Family, runs: list[RunFacts]) -> dict[str, Any]:
    tasks = [task.name for task in family.evaluation.tasks]
    stderrs = {(facts.run.revision, task): draw(st.floats(0, 9)) for facts in runs for task in tasks}
    samples = SampleSummary(stderrs, dict.fromkeys(stderrs, ""), {tasks[0]: Baseline(33.3, 40.0)})
    other = family.model_copy(update={"name": "other", "repo_id": "local/other"})
    siblings = (FamilyFacts(other, tuple(making.evaluated(other, run, values={}) for run in other.runs())),)
    return {
        "samples": samples,
        "domain_tokens": draw(st.none() | st.just({"a": 999})),
        "siblings": draw(st.sampled_from([(), siblings])),
    }


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_card_that_can_be_is_accepted(data: st.DataObject) -> None:
    family = data.draw(families())
    runs = data.draw(results(family))
    beside = data.draw(known(family, runs))
    card = render_family(family, runs, **beside)
    assert [str(finding) for finding in lint_card(card, source="main")] == []
    assert render_family(family, runs, **beside) == card
    for facts in runs:
        revision = render_revision(family, facts, **beside)
        assert [str(finding) for finding in lint_card(revision, source=facts.run.revision)] == []
