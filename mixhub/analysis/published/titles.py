"""The tasks that titles of columns and rows mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from types import MappingProxyType

from mixhub.spec import Task, catalog

WELL_KNOWN = (
    Task(name="arc_challenge", title="ARC Challenge", documents=1172),
    Task(name="boolq", title="BoolQ", documents=3270),
    Task(name="commonsense_qa", title="CommonsenseQA", documents=1221),
    Task(name="gsm8k", title="GSM8K", documents=1319),
    Task(name="lambada_openai", title="LAMBADA OpenAI", documents=5153),
    Task(name="mmlu", title="MMLU"),
    Task(name="truthfulqa_mc2", title="TruthfulQA"),
)
"""Tasks in many tables that may not be in the suite; with documents, where one figure is common for them."""
_ALIASES = MappingProxyType(
    {
        "arcc": "arc_challenge",
        "arce": "arc_easy",
        "csqa": "commonsense_qa",
        "hella": "hellaswag",
        "hs": "hellaswag",
        "obqa": "openbookqa",
        "siqa": "social_iqa",
        "wg": "winogrande",
        "wino": "winogrande",
    }
)
"""Usual abbreviations."""
_QUALIFIERS = frozenset(
    {"acc", "accuracy", "norm", "normalized", "em", "exact", "match", "f1", "test", "val", "valid", "validation", "dev"}
)
"""Words after the name of a task that say how it was measured."""
_SHOTS = re.compile(r"(?:\d+|zero|one|few|five)[\s_-]*shots?(?![a-z])")


def well_known() -> Iterator[Task]:
    """Yield the tasks of the catalog, and others that are in many tables."""
    known = {task.name: task for name in catalog.names() for task in catalog.get(name).evaluation.tasks}
    yield from (known | {task.name: task for task in WELL_KNOWN}).values()


def find_task(title: str, tasks: Sequence[Task]) -> Task | None:
    """The task with this title, name or usual abbreviation, also if a metric or a number of shots is with it."""
    names = {title_key(name): task for task in tasks[::-1] for name in (task.title, task.name)}
    by_name = {task.name: task for task in tasks}
    for key in _keys(title):
        if (task := names.get(key) or by_name.get(_ALIASES.get(key, ""))) is not None:
            return task
    return None


def _keys(title: str) -> Iterator[str]:
    """The title as one word, then without what says how it was measured."""
    yield title_key(title)
    text = _SHOTS.sub(" ", re.sub(r"\[[^\]]*\]", " ", title).casefold())
    words = _words(text)
    while words and words[-1] in _QUALIFIERS:
        words.pop()
    yield "".join(words)


def title_key(title: str) -> str:
    """A title without case, blanks, punctuation and marks."""
    return "".join(_words(title.casefold()))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)
