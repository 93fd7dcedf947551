"""Whatever text a specification holds, the card keeps its shape, and shows the text as it is."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from huggingface_hub import ModelCard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixhub.card.check.lint import lint_card
from mixhub.card.facts.runs import FamilyFacts, RunFacts
from mixhub.card.facts.scores import best_scores
from mixhub.card.markdown.text import block, code, escape, link, plain
from mixhub.card.page.metadata import card_metadata
from mixhub.card.page.render import render
from mixhub.spec.family import Family
from tests.card import making
from tests.card.reading import page

PIECES = ["|", "\\", "`", "```", "<b>", "</details>", "<!--", "&lt;", "&", "#", "# ", "*", "**", "_", "~~", "$$",
          "[x](y)", "![", "]", "- ", "+ ", "1. ", "> ", "---", "\n---\n", "\n", "\r\n", "\t", ": ", "{{ x }}",
          "{% raw %}", "%", "'", '"', "@", "!", "?", "é", "雪", "🦜", "a", "b c", "no", "null", "=", "==="]  # fmt: skip
HEADINGS = [
    *("Loading a model", "Revisions", "Data", "Data mixture", "Training", "Losses", "Seeds", "Architecture"),
    *("Compute", "Results", "Measured here", "Published, not re-measured", "What an audit found"),
]
NASTY = st.lists(st.sampled_from(PIECES), max_size=6).map("".join) | st.text(max_size=12)


def _runs(family: Family, text: str) -> list[RunFacts]:
    first, second = (making.evaluated(family, run) for run in family.runs())
    strange = making.lineage(family, second.run, device=text, versions={"torch": text})
    return [first, replace(second, lineage=strange)]


def _family(draw: Any) -> Family:
    first, second = draw(st.tuples(NASTY, NASTY).filter(lambda titles: titles[0].split() != titles[1].split()))
    return making.family(
        tokenizer={"name": "bpe300", "vocab_size": 300, "eos_token": draw(NASTY)},
        evaluation={
            "tasks": [{"name": "last_word", "title": first}, {"name": "sums", "title": second}],
            "num_fewshot": [0, 2],
        },
        card={
            "title": draw(NASTY),
            "summary": draw(NASTY),
            "purpose": draw(NASTY),
            "license": draw(st.sampled_from(["mit", "cc-by-4.0", "unknown"])),
            "data_license": draw(NASTY),
            "language": draw(st.lists(st.sampled_from(["en", "no", "zh-Hant", "code"]), max_size=2)),
            "tags": draw(
                st.lists(NASTY.filter(lambda tag: tag.strip() and tag.isprintable()), max_size=2, unique=True)
            ),
            "links": draw(st.dictionaries(NASTY, NASTY | NASTY.map("https://example.org/".__add__), max_size=2)),
            "limits": draw(st.lists(NASTY, max_size=2)),
            "citation": draw(NASTY),
        },
        published_scores={"source": draw(NASTY), "rule": draw(NASTY), "scores": {"seed-1": {"sums": 1.0}}},
    )


@settings(max_examples=40)
@given(st.data())
def test_any_text_leaves_the_card_whole(data: st.DataObject) -> None:
    family = _family(data.draw)
    runs = _runs(family, data.draw(NASTY))
    facts = FamilyFacts(family, tuple(runs), commits={"seed-1": "c" * 40})
    of_run = FamilyFacts(family, (runs[1],), of_run=True)
    card, revision_card = render(facts).text, render(of_run).text
    assert ModelCard(card).data.to_dict() == card_metadata(facts, best_scores(facts)).to_dict()
    assert ModelCard(revision_card).data.to_dict() == card_metadata(of_run, best_scores(of_run)).to_dict()

    read = page(card)
    assert read.html == []
    assert page(revision_card).html == []
    title, *others = read.headings
    assert title == plain(family.card.title)
    assert [heading for heading in others if heading not in ("Limits", "Links", "Citation")] == HEADINGS
    scores = [table for table in read.tables if table[0][:2] == ["Seed", "Average"]]
    titles = [plain(task.title) for task in family.evaluation.tasks]
    assert [table[0] for table in scores] == [["Seed", "Average", *titles], ["Seed", "Average", titles[1]]]
    assert lint_card(card) == lint_card(revision_card) == ()
    _assert_rectangular(card)
    _assert_rectangular(revision_card)


def _assert_rectangular(card: str) -> None:
    """A reader drops surplus cells without a word, so the bars themselves are counted."""
    width = 0
    for line in re.sub(r"(?s)^(```+).*?^\1$", "", ModelCard(card).text, flags=re.M).split("\n"):
        if line.startswith("|"):
            bars = len(re.findall(r"(?<!\\)\|", line))
            assert width in (0, bars), line
            width = bars
        else:
            width = 0


@settings(max_examples=300)
@given(NASTY)
@example("0\r\x08")
@example("1. a")
@example("- a")
@example("a_b _c_ __d__")
@example("a\\|b")
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    read = page(
        f"---\na: b\n---\n# {escape(text)}\n\n- {escape(text)}\n\n| a |\n|---|\n| x{escape(text)} |\n\n{escape(text)}\n"
    )
    assert read.headings == [plain(text)]
    assert read.tables == [[["a"], [plain("x" + plain(text))]]]
    assert read.paragraphs == [plain(text)] * 2 * bool(plain(text))
    assert read.html == []


@settings(max_examples=200)
@given(NASTY)
def test_code_spans_and_blocks_hold_their_text(text: str) -> None:
    read = page(f"---\na: b\n---\nsee {code(text)}.\n\n{block(text)}\n\nend\n")
    if plain(text):
        assert read.paragraphs[0] == f"see {plain(text)}."
    assert len(read.fences) == 1
    assert read.paragraphs[-1] == "end"


@settings(max_examples=200)
@given(NASTY, NASTY)
@example("", "")
def test_links_lead_to_web_addresses_only(text: str, address: str) -> None:
    web = f"https://example.org/{address}"
    assert [shown for shown, _ in page(f"---\na: b\n---\n{link(text, web)}\n").links] == [plain(text) or plain(web)]
    assert page(f"---\na: b\n---\n{link(text, 'javascript:' + address)}\n").links == []


def test_characters_that_turn_text_around_are_gone() -> None:
    family = making.family(card={**making.CHANGES["card"], "title": "abc\u202edef\u2066ghi"})
    card = making.render_family(family, [RunFacts(run) for run in family.runs()])
    assert "# abcdefghi" in card
    assert not {"\u202e", "\u2066"} & set(card)
