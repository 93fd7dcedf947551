"""The published suite's datasets in small: repos laid out as lm-eval's own tasks read them, with text of our own.

The ten evaluated documents of each task lie in `suite_documents/<task>.jsonl`. Documents that shots are drawn from
are made here from one table of household things, so that they read alike and none is an evaluated one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

EVALUATED = Path(__file__).with_suffix("")

THINGS = (
    ("hammer", "drive a nail into wood", "shed"),
    ("kettle", "boil water for tea", "kitchen"),
    ("broom", "sweep a dusty floor", "hallway"),
    ("needle", "sew a button onto a coat", "bedroom"),
    ("ladder", "reach a high shelf", "garage"),
    ("towel", "dry wet hair", "bathroom"),
    ("lamp", "read at night", "study"),
    ("bucket", "carry water to the plants", "garden"),
    ("knife", "slice a loaf of bread", "kitchen"),
    ("rake", "gather fallen leaves", "yard"),
    ("tent", "sleep outdoors in the rain", "attic"),
    ("compass", "find the way north", "cabin"),
    ("pencil", "sketch a portrait", "office"),
    ("shovel", "dig a deep hole", "barn"),
    ("whistle", "call the dog from far away", "lodge"),
    ("thermometer", "measure a fever", "clinic"),
)
NAMES = (
    *("Amara", "Bruno", "Chloé", "Dmitri", "Esther", "Felix", "Gül", "Hugo"),
    *("Inès", "Jamal", "Keiko", "Lars", "Mónica", "Nils", "Olga", "Pavel"),
)
FIRST = 12
"""Documents in the first split that shots are drawn from; a second has the rest of the table."""


@dataclass(frozen=True)
class Shot:
    """One row of the table: who wants to do what, with which thing, and what would not serve."""

    number: int

    @property
    def thing(self) -> str:
        return THINGS[self.number][0]

    @property
    def use(self) -> str:
        return THINGS[self.number][1]

    @property
    def place(self) -> str:
        return THINGS[self.number][2]

    @property
    def others(self) -> list[str]:
        """Three things of no use for it."""
        return [THINGS[(self.number + step) % len(THINGS)][0] for step in (3, 5, 7)]

    @property
    def people(self) -> tuple[str, str]:
        return NAMES[self.number], NAMES[(self.number + 5) % len(NAMES)]

    def label(self, choices: int) -> int:
        """The place of the right answer among the choices: each in turn."""
        return self.number % choices

    def choices(self, right: str, *wrong: str) -> list[str]:
        """The right answer put among the wrong ones at its label."""
        place = self.label(len(wrong) + 1)
        return [*wrong[:place], right, *wrong[place:]]

    def lettered(self) -> dict[str, Any]:
        """Four things with letters, and the letter of the right one."""
        texts = self.choices(self.thing, *self.others)
        return {"choices": {"text": texts, "label": list("ABCD")}, "answerKey": "ABCD"[self.label(4)]}


def piqa(shot: Shot) -> dict[str, Any]:
    sol1, sol2 = shot.choices(f"Use a {shot.thing}.", f"Use a {shot.others[0]}.")
    return {"goal": f"How do you {shot.use}?", "sol1": sol1, "sol2": sol2, "label": shot.label(2)}


def lambada(shot: Shot) -> dict[str, Any]:
    one, other = (name.lower() for name in shot.people)
    text = (
        f"{one} had promised to {shot.use} before dark , but there was no {shot.thing} to be found in the {shot.place} "
        f". `` ask {other} , '' said a voice from the stairs , `` everyone in this street has borrowed the {shot.thing}"
    )
    return {"text": text, "domain": "Home"}


def multirc(shot: Shot) -> dict[str, Any]:
    one, other = shot.people
    right = shot.label(2)
    return {
        "paragraph": f"{one} wanted to {shot.use}, but had left the {shot.thing} in the {shot.place}. {other} went to "
        f"fetch it and came back with a {shot.others[0]} by mistake. They laughed, and then they went together.",
        "question": f"What had {one} left in the {shot.place}?",
        "answer": f"A {shot.thing}" if right else f"A {shot.others[0]}",
        "idx": {"paragraph": shot.number, "question": shot.number, "answer": shot.number},
        "label": right,
    }


def logiqa(shot: Shot) -> dict[str, Any]:
    one, other = shot.people
    return {
        "label": "abcd"[shot.label(4)],
        "context": f"Everyone who works in the {shot.place} owns a {shot.thing}. {one} works in the {shot.place}. "
        f"{other} does not own a {shot.thing}.",
        "question": "Which of the following must be true?",
        "options": shot.choices(
            f"{other} does not work in the {shot.place}.",
            f"{one} does not own a {shot.thing}.",
            f"{other} owns a {shot.others[0]}.",
            f"Nobody outside the {shot.place} owns a {shot.thing}.",
        ),
    }


def social_iqa(shot: Shot) -> dict[str, Any]:
    one, other = shot.people
    answers = shot.choices(f"to {shot.use}", f"to make {other} angry", f"to own a {shot.others[0]}")
    return {
        "context": f"{one} asked {other} very politely for a {shot.thing} and promised to return it by evening.",
        "question": f"Why did {one} do this?",
        **dict(zip(("answerA", "answerB", "answerC"), answers, strict=True)),
        "label": str(shot.label(3) + 1),
    }


def winogrande(shot: Shot) -> dict[str, Any]:
    one, other = shot.people
    option1, option2 = shot.choices(other, one)
    return {
        "sentence": f"{one} lent the {shot.thing} to {other} because _ wanted to {shot.use}.",
        "option1": option1,
        "option2": option2,
        "answer": str(shot.label(2) + 1),
    }


def openbookqa(shot: Shot) -> dict[str, Any]:
    return {
        "id": f"shot-{shot.number}",
        "question_stem": f"A person who wants to {shot.use} will need a",
        **shot.lettered(),
    }


def copa(shot: Shot) -> dict[str, Any]:
    one, _ = shot.people
    fetching = shot.number % 4 < 2
    right, wrong = (
        (f"{one} fetched a {shot.thing}.", f"{one} fetched a {shot.others[0]}.")
        if fetching
        else (f"{one} wanted to {shot.use}.", f"{one} wanted to buy a {shot.others[0]}.")
    )
    choice1, choice2 = shot.choices(right, wrong)
    return {
        "premise": f"{one} had to {shot.use}." if fetching else f"{one} looked for a {shot.thing} in the {shot.place}.",
        "choice1": choice1,
        "choice2": choice2,
        "question": "effect" if fetching else "cause",
        "idx": shot.number,
        "label": shot.label(2),
    }


def hellaswag(shot: Shot) -> dict[str, Any]:
    one, _ = shot.people
    before = f"{one} walks into the {shot.place}, takes a {shot.thing} from a hook and tests it."
    first, second, third = shot.others
    return {
        "ind": shot.number,
        "activity_label": f"Using a {shot.thing}",
        "ctx_a": before,
        "ctx_b": "the camera",
        "ctx": f"{before} the camera",
        "endings": shot.choices(
            f"shows how to {shot.use}.",
            f"turns into a {first} and flies out of the window.",
            f"is eaten by a {second}.",
            f"sings to a {third} until it weeps.",
        ),
        "source_id": f"shot~{shot.number}",
        "split": "train",
        "split_type": "indomain",
        "label": str(shot.label(4)),
    }


def sciq(shot: Shot) -> dict[str, Any]:
    first, second, third = shot.others
    return {
        "question": f"What do people use to {shot.use}?",
        "distractor3": third,
        "distractor1": first,
        "distractor2": second,
        "correct_answer": shot.thing,
        "support": f"A {shot.thing} is made to {shot.use}. It is often kept in the {shot.place}, next to a {first}.",
    }


def arc_easy(shot: Shot) -> dict[str, Any]:
    return {"id": f"Shot_{shot.number}", "question": f"Which object is made to {shot.use}?", **shot.lettered()}


def qqp(shot: Shot) -> dict[str, Any]:
    same = shot.label(2)
    return {
        "question1": f"What is the best way to {shot.use}?",
        "question2": f"How can I best {shot.use}?" if same else f"Where can I buy a {shot.thing} for my {shot.place}?",
        "label": same,
        "idx": shot.number,
    }


@dataclass(frozen=True)
class Source:
    """Where a task's documents lie on the hub, and how its shots are made."""

    repo_id: str
    config: str | None
    """The name that the task asks `load_dataset` for; none is the default config."""
    evaluated: str
    """The split that is scored."""
    shots: dict[str, Callable[[Shot], dict[str, Any]]]
    """Maker of documents by split, the one that shots are drawn from first. Empty: shots are evaluated documents."""

    @property
    def folder(self) -> str:
        return self.config or "data"


SOURCES = {
    "piqa": Source("baber/piqa", None, "validation", {"train": piqa}),
    "lambada_standard": Source("cimec/lambada", None, "test", {"validation": lambada}),
    "multirc": Source("aps/super_glue", "multirc", "validation", {"train": multirc}),
    "logiqa": Source("EleutherAI/logiqa", "logiqa", "test", {"train": logiqa, "validation": logiqa}),
    "social_iqa": Source("lighteval/siqa", None, "validation", {"train": social_iqa}),
    "winogrande": Source("allenai/winogrande", "winogrande_xl", "validation", {"train": winogrande}),
    "race": Source("EleutherAI/race", "high", "test", {}),
    "openbookqa": Source("allenai/openbookqa", "main", "test", {"train": openbookqa, "validation": openbookqa}),
    "copa": Source("aps/super_glue", "copa", "validation", {"train": copa}),
    "hellaswag": Source("Rowan/hellaswag", None, "validation", {"train": hellaswag}),
    "sciq": Source("allenai/sciq", None, "test", {"train": sciq, "validation": sciq}),
    "arc_easy": Source("allenai/ai2_arc", "ARC-Easy", "test", {"train": arc_easy, "validation": arc_easy}),
    "qqp": Source("nyu-mll/glue", "qqp", "validation", {"train": qqp}),
}
TASKS: tuple[str, ...] = tuple(SOURCES)


def write_dataset_repos(root: Path) -> dict[str, Path]:
    """Writes `root/<owner>/<name>` for each dataset of the suite, and returns the folders by repo id."""
    configs: dict[str, list[dict[str, Any]]] = {}
    for task, source in SOURCES.items():
        splits = _splits(task, source)
        for split, documents in splits.items():
            _write_jsonl(root / source.repo_id / source.folder / f"{split}.jsonl", documents)
        files = [{"split": split, "path": f"{source.folder}/{split}.jsonl"} for split in splits]
        configs.setdefault(source.repo_id, []).append(
            {"config_name": source.config or "default", "data_files": files},
        )
    for repo_id, listed in configs.items():
        front = yaml.safe_dump({"configs": listed}, sort_keys=False)
        (root / repo_id / "README.md").write_text(f"---\n{front}---\n", encoding="utf-8")
    return {repo_id: root / repo_id for repo_id in configs}


def _splits(task: str, source: Source) -> dict[str, list[dict[str, Any]]]:
    table = [Shot(number) for number in range(len(THINGS))]
    parts = (table[:FIRST], table[FIRST:])
    made = {
        split: [make(shot) for shot in part] for (split, make), part in zip(source.shots.items(), parts, strict=False)
    }
    lines = (EVALUATED / f"{task}.jsonl").read_text(encoding="utf-8").split("\n")
    return {**made, source.evaluated: [json.loads(line) for line in lines if line]}


def _write_jsonl(path: Path, documents: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(document, ensure_ascii=False) + "\n" for document in documents]
    path.write_text("".join(lines), encoding="utf-8")
