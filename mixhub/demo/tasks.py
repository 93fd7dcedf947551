"""Three small lm-eval tasks made from held-out text, for a family whose text no published task is about."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mixhub.data.corpus import Corpus
from mixhub.errors import CorpusError
from mixhub.files import write_text
from mixhub.spec import Task
from mixhub.spec.base import to_yaml

VERSION = 1.0
"""Version of the three tasks, in their metadata."""
_CHOICES = 4
_SHOTS = 16
"""Documents to draw shots from, none of which is evaluated."""
_WINDOW = 400
"""Characters of a window of text, from which at most one document is made."""
_LAST_WORD = (60, 140)
"""Fewest and most characters of a passage before its last word."""
_LETTERS = 0.6
"""Least share of letters, so that tables and sums are not passages."""
_TWO_PARTS = re.compile(r"(\S.{88,118}?\S) (\S.{23,43}\S)(?=\s)", re.DOTALL)
"""A passage of 90 to 120 characters, and 25 to 45 characters after a single space."""
_WORD = re.compile(r"[A-Za-z]{4,}")
_WORD_AFTER_SPACE = re.compile(r"(?<=\S )[A-Za-z]{4,}(?!\w)")
_SUM = re.compile(r"^(-?\d+ [-+*/] -?\d+) = (-?\d+)$", re.MULTILINE)

Document = dict[str, Any]
Pair = tuple[str, str]


def _metric(name: str, aggregation: str = "mean", higher_is_better: bool = True) -> Document:
    return {"metric": name, "aggregation": aggregation, "higher_is_better": higher_is_better}


_CHOICE = {"output_type": "multiple_choice", "doc_to_target": "answer", "doc_to_choice": "choices"}
_WORD_TEXTS = {"doc_to_text": "{{passage}}", "doc_to_target": "{{' ' + word}}"}
_WORDS = {"output_type": "loglikelihood", "target_delimiter": "", **_WORD_TEXTS}
_SUMS = {**_CHOICE, "fewshot_delimiter": "\n", "doc_to_text": "{{question}} ="}
_CONFIGS: dict[str, Document] = {
    "continuation": {**_CHOICE, "doc_to_text": "{{passage}}", "metric_list": [_metric("acc"), _metric("acc_norm")]},
    "last_word": {**_WORDS, "metric_list": [_metric("perplexity", "perplexity", False), _metric("acc")]},
    "arithmetic": {**_SUMS, "metric_list": [_metric("acc")]},
}
"""Each task's own part of its YAML."""


def write_tasks(corpus: Path, destination: Path, *, seed: int = 0, documents: int = 60) -> list[Task]:
    """Write three tasks as lm-eval reads them: `demo_<name>.yaml`, its documents, and those for shots.

    `continuation`: which of four continuations follows a held-out passage; the others follow other passages of the same
    domain. `last_word`: the last word of a passage, one that the passage has used before, after LAMBADA (Paperno et al.
    2016). `arithmetic`: which of four numbers a held-out sum comes to. Prompts are short: three passages fit a context
    of 256 tokens. The same text and seed give the same bytes; files that are correct already are not touched.

    Args:
        corpus: folder with `valid/<domain>-<n>.jsonl`, rows `{"text": …}`.
        destination: folder of the files; other files in it stay.
        seed: of every draw.
        documents: evaluated documents of each task.

    Returns:
        The tasks for a family's `evaluation.tasks`; `config` is relative to `destination`.

    Raises:
        CorpusError: there is too little held-out text.
    """
    files = Corpus.open(corpus)
    texts = {domain: list(files.documents("valid", domain)) for domain in files.domains("valid")}
    if not texts:
        message = f"{corpus / 'valid'}: no <domain>-<n>.jsonl, so there is no held-out text"
        hint = 'add held-out text there, one {"text": ...} per line'
        raise CorpusError(message, code="held-out-missing", hint=hint, path=corpus)
    draws = random.Random(seed)
    by_domain = {
        "continuation": (_continuations(texts, draws), "passages to continue"),
        "last_word": (_last_words(texts, draws), "passages that repeat a word"),
        "arithmetic": ({"sums": _sums(texts, draws)}, "lines like 17 + 5 = 22"),
    }
    rows = {name: _select(drawn, documents, what, corpus) for name, (drawn, what) in by_domain.items()}
    return [_write(name, part, documents, destination) for name, part in rows.items()]


def _continuations(texts: dict[str, list[str]], draws: random.Random) -> dict[str, list[Document]]:
    by_domain = {}
    for domain, parts in texts.items():
        passages = {continuation: passage for passage, continuation in _pairs(parts, _split_in_two, draws)}
        if len(passages) >= _CHOICES:
            by_domain[domain] = [
                {"passage": passage, **_choices(continuation, [one for one in passages if one != continuation], draws)}
                for continuation, passage in passages.items()
            ]
    return by_domain


def _last_words(texts: dict[str, list[str]], draws: random.Random) -> dict[str, list[Document]]:
    return {
        domain: [{"passage": passage, "word": word} for passage, word in _pairs(parts, _split_last_word, draws)]
        for domain, parts in texts.items()
    }


def _sums(texts: dict[str, list[str]], draws: random.Random) -> list[Document]:
    sums = sorted({match.groups() for parts in texts.values() for text in parts for match in _SUM.finditer(text)})
    draws.shuffle(sums)
    documents = []
    for question, result in sums:
        value = int(result)
        near = [value + step for step in (-11, -10, -9, -2, -1, 1, 2, 9, 10, 11) if value < 0 or value + step >= 0]
        documents.append({"question": question, **_choices(result, list(map(str, near)), draws)})
    return documents


def _choices(right: str, wrong: Sequence[str], draws: random.Random) -> Document:
    choices = draws.sample(wrong, _CHOICES - 1)
    answer = draws.randrange(_CHOICES)
    choices.insert(answer, right)
    return {"choices": choices, "answer": answer}


def _pairs(texts: Sequence[str], split: Callable[[str], Pair | None], draws: random.Random) -> list[Pair]:
    """Split windows of text that do not overlap, and return the different pairs in random order."""
    windows = (text[start : start + _WINDOW] for text in texts for start in range(0, len(text) - _WINDOW + 1, _WINDOW))
    pairs = sorted({pair for window in windows if (pair := split(window))})
    draws.shuffle(pairs)
    return pairs


def _split_in_two(window: str) -> Pair | None:
    """Return a passage and what follows it."""
    match = _TWO_PARTS.match(window, _word_start(window))
    return (match[1], match[2]) if match and _is_prose(match[1]) and _is_prose(match[2]) else None


def _split_last_word(window: str) -> Pair | None:
    """Return a passage and the word after it, which the passage has used before."""
    begin = _word_start(window)
    for match in _WORD_AFTER_SPACE.finditer(window, begin + _LAST_WORD[0]):
        if match.end() > min(begin + _LAST_WORD[1], len(window) - 1):
            break
        passage = window[begin : match.start() - 1]
        if match[0] in _WORD.findall(passage) and _is_prose(passage):
            return passage, match[0]
    return None


def _select(by_domain: dict[str, list[Document]], documents: int, what: str, corpus: Path) -> list[Document]:
    """Return as many documents as are needed, from each domain in turn; those for shots come last."""
    needed = documents + _SHOTS
    selected: list[Document] = []
    for turn in range(max(map(len, by_domain.values()), default=0)):
        selected += [{"domain": domain, **rows[turn]} for domain, rows in by_domain.items() if turn < len(rows)]
    if len(selected) < needed:
        message = f"{corpus / 'valid'}: too little held-out text: {len(selected)} {what}, and {needed} are needed"
        hint = "add held-out text, or request fewer documents"
        raise CorpusError(message, code="held-out-insufficient", hint=hint, path=corpus, what=what, needed=needed)
    return selected[:needed]


def _write(name: str, rows: Sequence[Document], documents: int, destination: Path) -> Task:
    task = f"demo_{name}"
    splits = {"test": rows[:documents], "fewshot": rows[documents:]}
    files = {split: f"{task}.{split}.jsonl" for split in splits}
    for split, part in splits.items():
        _write_new(destination / files[split], "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in part))
    config = {
        "task": task,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files},
        "test_split": "test",
        "fewshot_split": "fewshot",
        **_CONFIGS[name],
        "should_decontaminate": False,
        "metadata": {"version": VERSION},
    }
    _write_new(destination / f"{task}.yaml", to_yaml(config))
    return Task(name=task, title=name.replace("_", " ").capitalize(), documents=documents, config=f"{task}.yaml")


def _write_new(path: Path, text: str) -> None:
    """Write a file unless it is correct already: datasets reads a file again if its time has changed."""
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)


def _word_start(window: str) -> int:
    """Return where the first word after a space begins, so that no passage begins within a word."""
    match = re.search(r"(?<=\s)\S", window)
    return match.start() if match else len(window)


def _is_prose(text: str) -> bool:
    return sum(map(str.isalpha, text)) >= _LETTERS * len(text)
