"""What a person adds: own words, own templates, and cards that were edited by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mixhub.card.facts.runs import RunFacts
from mixhub.card.page.receipts import rendered_files
from mixhub.card.page.write import render_cards, require_unedited, stale_plots, write_cards
from mixhub.errors import SpecError, UsageError
from tests.card import making
from tests.card.making import render_family
from tests.card.reading import page
from tests.refusals import codes, refused

CHILD = '{% extends "family.md.j2" %}\n'
ABOUT, END = CHILD + "{% block about %}", "{% endblock %}"


def render_with(template: str, tmp_path: Path, **changes: Any) -> str:
    path = tmp_path / "card.md.j2"
    path.write_text(template, encoding="utf-8")
    family = making.family(**changes)
    return render_family(family, [making.evaluated(family, run) for run in family.runs()], template=path)


def test_a_block_is_replaced_and_another_is_added_to(tmp_path: Path) -> None:
    template = CHILD + (
        "{% block architecture %}\n## Shape\n\n{{ family.architecture.hidden_size }} wide.\n{% endblock %}\n"
        "{% block results %}\n{{ super() }}\n\nMore on `{{ family.name }}`.\n{% endblock %}\n"
    )
    read = page(render_with(template, tmp_path))
    assert "Shape" in read.headings
    assert "Architecture" not in read.headings
    assert "16 wide." in read.paragraphs
    assert "More on tiny." in read.paragraphs
    assert read.table("Seed", "Average")


def test_a_template_of_its_own_needs_no_other(tmp_path: Path) -> None:
    card = render_with("# {{ family.card.title }}\n\n{{ results.measured.by_run() | table }}\n", tmp_path)
    assert card.startswith("---\nlanguage:\n- en\n")
    assert page(card).headings == ["Tiny: two seeds of one data mixture"]
    assert page(card).table("Seed", "Average")


def test_a_template_may_be_called_as_the_one_that_it_extends(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    template = '{% extends "revision.md.j2" %}\n{% block lineage %}{{ super() }}\n\nKept twice.\n{% endblock %}'
    (tmp_path / "revision.md.j2").write_text(template, encoding="utf-8")
    read = page(write_cards(workspace, workspace.family())[1].read_text("utf-8"))
    assert "Kept twice." in read.paragraphs
    assert "Lineage" in read.headings


def test_what_a_template_names_is_escaped(tmp_path: Path) -> None:
    assert "\\*bold\\* &lt;b&gt;" in render_with("{{ family.card.summary }}", tmp_path, card={"summary": "*bold* <b>"})


@pytest.mark.parametrize(
    ("template", "line", "code"),
    [
        (ABOUT + "\n{{ rsults.best }}\n" + END, 3, "template-failed"),
        (ABOUT + "{{ results.bset }}" + END, 2, "template-failed"),
        (ABOUT + "\n{{ family.card.titel }}" + END, 3, "template-failed"),
        (CHILD + "{% block abuot %}x" + END, 2, "template-malformed"),
        ('{% extends "family.md.j2" %}\n\nIn no block.\n', 3, "template-malformed"),
        ('{% extends "family.md.j2" %}\n{{ family.name }}\n', 2, "template-malformed"),
        ("{% extends 'famly.md.j2' %}", 1, "template-failed"),
        ("x\n{% include 'famly.md.j2' %}", 2, "template-failed"),
        ("one\ntwo {% if %}", 2, "template-malformed"),
        ("\n{{ family | nofilter }}", 2, "template-malformed"),
        ("\n\n{{ 1 / 0 }}", 3, "template-failed"),
        ("{% macro f() %}{{ f() }}{% endmacro %}\n{{ f() }}", 1, "template-failed"),
        ("{{ family.__class__.__mro__ }}", 1, "template-failed"),
    ],
)
def test_a_mistake_in_a_template_is_named_with_its_line(template: str, line: int, code: str, tmp_path: Path) -> None:
    with refused("spec-invalid", SpecError) as caught:
        render_with(template, tmp_path)
    assert codes(caught.value.problems) == [code]
    assert caught.value.file == f"{tmp_path / 'card.md.j2'}:{line}"
    assert caught.value.hint is not None


@pytest.mark.parametrize(
    ("template", "meant"),
    [
        (ABOUT + "{{ rsults.best }}" + END, "results"),
        (CHILD + "{% block abuot %}x" + END, "about"),
    ],
)
def test_the_nearest_name_is_offered(template: str, meant: str, tmp_path: Path) -> None:
    with refused("spec-invalid") as caught:
        render_with(template, tmp_path)
    assert caught.value.message.endswith(f"did you mean {meant}?")


@pytest.mark.parametrize(
    ("content", "code"), [(b" \n{# nothing #}\n", "template-empty"), (b"Gr\xfc\xdfe", "file-malformed")]
)
def test_a_template_that_makes_no_card_or_is_no_text(content: bytes, code: str, tmp_path: Path) -> None:
    path = tmp_path / "card.md.j2"
    path.write_bytes(content)
    family = making.family()
    with refused("spec-invalid", file=str(path)) as caught:
        render_family(family, list(map(RunFacts, family.runs())), template=path)
    assert codes(caught.value.problems) == [code]


def test_a_template_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    family = making.family()
    with refused("spec-invalid", file=str(tmp_path)) as caught:
        render_family(family, list(map(RunFacts, family.runs())), template=tmp_path)
    assert codes(caught.value.problems) == ["file-unreadable"]


@pytest.mark.parametrize(
    "reach",
    [
        "family.parse_raw('cposix', proto='pickle', allow_pickle=True)",
        "family.parse_file('/etc/hostname')",
        "family.card['parse_raw']('1')",
        "(family | attr('parse_raw'))('1')",
        "family.model_construct()",
        "family.revisions.copy()",
        "(results.measured.table.records.values() | first | first).path.unlink()",
    ],
)
def test_a_template_reaches_nothing_but_the_card(reach: str, tmp_path: Path) -> None:
    with refused("spec-invalid", SpecError) as caught:
        render_with(ABOUT + "{{ " + reach + " }}" + END, tmp_path)
    assert codes(caught.value.problems) == ["template-failed"]
    assert "safe" in caught.value.message


def test_own_words_are_kept_over_renders(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    (tmp_path / "card.md").write_text("Said first.\n\n## Thanks\n\nTo *all*.\n\n## Limits\n\nNone.\n", encoding="utf-8")
    (tmp_path / "revision.md").write_text("## Thanks\n\nFor this seed.\n", encoding="utf-8")
    paths = write_cards(workspace, family)
    before = paths[0].read_bytes()
    read = page(before.decode())
    assert "Said first." in read.paragraphs
    assert "They are good for nothing." not in read.paragraphs
    assert read.headings[-2:] == ["Thanks", "Limits"]
    assert "For this seed." in page(paths[1].read_text(encoding="utf-8")).paragraphs
    write_cards(workspace, family)
    assert paths[0].read_bytes() == before


def test_words_of_another_family_have_its_name(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    (tmp_path / "card.human-1b.md").write_text("## Ours\n\nOf human.\n", encoding="utf-8")
    (tmp_path / "card.md").write_text("## Ours\n\nOf tiny.\n", encoding="utf-8")
    human = render_cards(workspace, workspace.family("human-1b")).family.text
    assert "Of human." in human
    assert "Of tiny." not in human


@pytest.mark.parametrize(
    ("name", "text", "place", "code"),
    [
        ("card.md", "## Thanks\n\n```\nopen", "line 3", "custom-unclosed"),
        ("revision.md", "## Thanks\n", "line 1", "custom-section-empty"),
        ("card.md.j2", "{{ nobody }}", "", "template-failed"),
        ("revision.md.j2", "{{ about.models }}", "", "template-failed"),
    ],
)
def test_words_that_cannot_be_used_leave_the_old_cards(
    tmp_path: Path, name: str, text: str, place: str, code: str
) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    before = [(path, path.read_bytes()) for path in write_cards(workspace, family)]
    (tmp_path / name).write_text(text, encoding="utf-8")
    with refused("spec-invalid", SpecError) as caught:
        write_cards(workspace, family)
    assert name in caught.value.file
    assert [(problem.key, problem.code) for problem in caught.value.problems] == [(place, code)]
    assert [(path, path.read_bytes()) for path, _ in before] == before


def test_a_card_that_was_edited_by_hand_is_not_replaced(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    card, first, *_ = write_cards(workspace, family)
    require_unedited(workspace, family)
    edited = card.read_text(encoding="utf-8") + "\nMine.\n"
    card.write_text(edited, encoding="utf-8")
    with refused("card-edited", UsageError, paths=(card,)) as caught:
        write_cards(workspace, family)
    assert caught.value.hint is not None
    assert "card.md" in caught.value.hint
    assert card.read_text(encoding="utf-8") == edited
    with refused("card-edited"):
        require_unedited(workspace, family)
    write_cards(workspace, family, force=True)
    assert "Mine." not in card.read_text(encoding="utf-8")
    first.unlink()
    require_unedited(workspace, family)


def test_a_card_of_which_nothing_is_noted_may_hold_words(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    card = write_cards(workspace, family)[0]
    workspace.card_receipts.unlink()
    write_cards(workspace, family)  # it is what it would be
    workspace.card_receipts.unlink()
    card.write_text(card.read_text(encoding="utf-8") + "\nMine.\n", encoding="utf-8")
    with refused("card-edited", paths=(card,)):
        write_cards(workspace, family)


def test_line_ends_that_git_changed_are_no_edit(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    card = write_cards(workspace, family)[0]
    before = card.read_bytes()
    card.write_bytes(before.replace(b"\n", b"\r\n"))
    write_cards(workspace, family)
    assert card.read_bytes() == before


def test_a_card_of_no_run_of_the_family_is_left_alone(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    card = write_cards(workspace, workspace.family())[2]
    card.write_text("Mine.\n", encoding="utf-8")
    config = tmp_path / "mixhub.yaml"
    config.write_text(re.sub(r"seeds:\s+- 1\s+- 2", "seeds: [1]", config.read_text(encoding="utf-8")), encoding="utf-8")
    fewer = type(workspace).open(tmp_path)
    assert len(fewer.family().runs()) == 1
    write_cards(fewer, fewer.family())
    require_unedited(fewer, fewer.family())
    assert card.read_text(encoding="utf-8") == "Mine.\n"


def test_a_plot_that_was_altered_is_drawn_again(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    paths = write_cards(workspace, family)
    drawn = {path: path.read_bytes() for path in paths if path.suffix in (".png", ".svg")}
    svg = next(path for path in drawn if path.name == "scores.svg")
    png = next(path for path in drawn if path.name == "scores.png")
    svg.write_bytes(svg.read_bytes().replace(b"</svg>", b"<text>99.9</text></svg>"))
    png.write_bytes(png.read_bytes()[:3000])
    rendered = render_cards(workspace, family)
    assert stale_plots(rendered, paths[0], rendered_files(workspace)) == ["plots/scores.png", "plots/scores.svg"]
    write_cards(workspace, family)
    assert {path: path.read_bytes() for path in drawn} == drawn


def test_an_image_of_ones_own_where_a_plot_goes_stops_a_render(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    mine = workspace.card(family).parent / "plots" / "scores.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with refused("plot-foreign", UsageError, path=mine):
        write_cards(workspace, family)
    assert mine.read_bytes() == b"mine"
    assert not workspace.card(family).exists()
    write_cards(workspace, family, force=True)
    assert mine.read_bytes() != b"mine"


def test_a_card_that_cannot_be_written_leaves_the_others(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    paths = write_cards(workspace, family)
    before = {path: path.read_bytes() for path in paths}
    (tmp_path / "card.md").write_text("## Thanks\n\nTo all.\n", encoding="utf-8")
    paths[2].unlink()
    paths[2].mkdir()
    with pytest.raises(IsADirectoryError):
        write_cards(workspace, family)
    assert all(path.read_bytes() == before[path] for path in paths if path != paths[2])
    assert not list(tmp_path.rglob(".tmp-*"))


def test_words_that_look_like_the_footer_are_kept(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    said = "Rendered by mixhub is what I say."
    (tmp_path / "card.md").write_text(f"Hello\n\n---\n\n{said}\n", encoding="utf-8")
    assert said in render_cards(workspace, workspace.family()).family.text


def test_code_of_a_template_keeps_its_blank_lines(tmp_path: Path) -> None:
    code = "```python\na = 1\n\n\ndef f(): ...\n```"
    card = render_with(CHILD + "{% block about %}Hard  \nbreak\n\n\n\n" + code + "\n{% endblock %}", tmp_path)
    assert f"Hard  \nbreak\n\n{code}" in card


def test_what_an_interrupted_render_leaves_is_no_edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    write_cards(workspace, family)
    (tmp_path / "card.md").write_text("## Thanks\n\nTo all.\n", encoding="utf-8")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("mixhub.card.page.write.write_all", killed)
        with pytest.raises(KeyboardInterrupt):
            write_cards(workspace, family)
    require_unedited(workspace, family)
    assert "To all." in write_cards(workspace, family)[0].read_text(encoding="utf-8")
