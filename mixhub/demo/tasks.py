"""Three small lm-eval tasks made from held-out text: for a family whose text no published task is about."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixhub.errors import CorpusError
from mixhub.files import write_text
from mixhub.spec import Task
from mixhub.spec.base import to_yaml

VERSION = 1.0
"""Version of the three tasks, in their metadata."""
_CHOICES = 4
_SHOTS = 16
"""Documents to draw shots from, none of which is evaluated."""
_STRIDE = 400
"""Characters from one passage to the next, so that no two share text."""
_CONTEXT = (90, 120)
"""Fewest and most characters of a passage before its continuation."""
_CONTINUATION = (25, 45)
_CLOZE = (60, 140)
"""Fewest and most characters of a passage before its last word."""
_LETTERS = 0.6
"""Least share of letters, so that tables and sums are no passages."""
_WORD = re.compile(r"[A-Za-z]{4,}")
_SUM = re.compile(r"^(-?\d+ [-+*/] -?\d+) = (-?\d+)$", re.MULTILINE)

Document = dict[str, Any]


@dataclass(frozen=True)
class _Kind:
    """One of the tasks."""

    name: str
    title: str
    config: Mapping[str, Any]
    """Its part of the YAML."""


def _metric(name: str, aggregation: str = "mean", higher_is_better: bool = True) -> Document:
    return {"metric": name, "aggregation": aggregation, "higher_is_better": higher_is_better}


_CONTINUATION_TASK = _Kind(
    "continuation",
    "Continuation",
    {
        "output_type": "multiple_choice",
        "doc_to_text": "{{passage}}",
        "doc_to_target": "answer",
        "doc_to_choice": "choices",
        "metric_list": [_metric("acc"), _metric("acc_norm")],
    },
)
_LAST_WORD_TASK = _Kind(
    "last_word",
    "Last word",
    {
        "output_type": "loglikelihood",
        "target_delimiter": "",
        "doc_to_text": "{{passage}}",
        "doc_to_target": "{{' ' + word}}",
        "metric_list": [_metric("perplexity", "perplexity", False), _metric("acc")],
    },
)
_ARITHMETIC_TASK = _Kind(
    "arithmetic",
    "Arithmetic",
    {
        "output_type": "multiple_choice",
        "fewshot_delimiter": "\n",
        "doc_to_text": "{{question}} =",
        "doc_to_target": "answer",
        "doc_to_choice": "choices",
        "metric_list": [_metric("acc")],
    },
)


def write_tasks(
    corpus: Path, destination: Path, *, seed: int = 0, documents: int = 60, prefix: str = "demo_"
) -> list[Task]:
    """Writes three tasks as lm-eval reads them: `<name>.yaml`, and beside it its documents and those for shots.

    `continuation`: which of four continuations follows a held-out passage; the others follow other passages of the same
    domain. `last_word`: the last word of a passage, one that the passage has used before, after LAMBADA (Paperno et al.
    2016). `arithmetic`: which of four numbers a held-out sum comes to. Prompts are short: three passages fit a context
    of 256 tokens. The same text and seed give the same bytes; what is there already is left untouched.

    Args:
        corpus: folder with `valid/<domain>-<n>.jsonl`, rows `{"text": …}`.
        destination: where the files go; other files there are left alone.
        seed: of every draw.
        documents: evaluated documents of each task.
        prefix: begins each task's name.

    Returns:
        The tasks as a family's `evaluation.tasks` has them; `config` is relative to `destination`.

    Raises:
        CorpusError: there is too little held-out text.
    """
    texts = dict(_held_out(corpus))
    draws = random.Random(seed)
    drawn = [
        (_CONTINUATION_TASK, _continuations(texts, documents, draws, corpus)),
        (_LAST_WORD_TASK, _last_words(texts, documents, draws, corpus)),
        (_ARITHMETIC_TASK, _sums(texts, documents, draws, corpus)),
    ]
    return [_write(kind, f"{prefix}{kind.name}", rows, documents, destination) for kind, rows in drawn]


def _held_out(corpus: Path) -> Iterator[tuple[str, list[str]]]:
    """Domains and their texts, in the order of their names."""
    by_domain: dict[str, list[tuple[int, Path]]] = {}
    for path in (corpus / "valid").glob("*.jsonl"):
        if match := re.fullmatch(r"(.+)-(\d+)", path.stem):
            by_domain.setdefault(match[1], []).append((int(match[2]), path))
    if not by_domain:
        raise CorpusError(
            f"{corpus / 'valid'}: no <domain>-<n>.jsonl, so there is no held-out text",
            code="held-out-missing",
            hint='put held-out text there, one row {"text": ...} a line',
            path=corpus,
        )
    for domain in sorted(by_domain):
        yield domain, [text for _, path in sorted(by_domain[domain]) for text in _texts(path)]


def _texts(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                rule = f"not JSON: {error.msg.removesuffix(' at')} at column {error.colno}"
                raise _malformed(path, number, rule) from None
            if not isinstance(row, dict) or not isinstance(row.get("text"), str):
                raise _malformed(path, number, "must be an object with the key text")
            yield row["text"]


def _malformed(path: Path, line: int, rule: str) -> CorpusError:
    return CorpusError(f"{path}:{line}: {rule}", code="file-malformed", path=path, line=line)


def _windows(texts: Sequence[str]) -> Iterator[str]:
    """Stretches of text that share nothing."""
    for text in texts:
        for start in range(0, len(text) - _STRIDE + 1, _STRIDE):
            yield text[start : start + _STRIDE]


def _continuations(
    texts: Mapping[str, list[str]], documents: int, draws: random.Random, corpus: Path
) -> list[Document]:
    by_domain = {}
    for domain, parts in texts.items():
        by_continuation = {pair[1]: pair[0] for window in _windows(parts) if (pair := _split_in_two(window))}
        pairs = sorted((passage, follows) for follows, passage in by_continuation.items())
        draws.shuffle(pairs)
        if len(pairs) >= _CHOICES:
            by_domain[domain] = pairs
    drawn = []
    for domain, pairs in by_domain.items():
        for passage, follows in pairs:
            choices = draws.sample([other for _, other in pairs if other != follows], _CHOICES - 1)
            answer = draws.randrange(_CHOICES)
            choices.insert(answer, follows)
            drawn.append((domain, {"passage": passage, "choices": choices, "answer": answer}))
    return _taken(drawn, documents, "passages to continue", corpus)


def _split_in_two(window: str) -> tuple[str, str] | None:
    """A passage and what follows it, parted at a single space and ended at a space."""
    begin = _word_start(window)
    for place in range(begin + _CONTEXT[0], min(begin + _CONTEXT[1], len(window)) + 1):
        if not _single_space(window, place):
            continue
        for end in range(place + 1 + _CONTINUATION[1], place + _CONTINUATION[0], -1):
            if end < len(window) and window[end].isspace() and not window[end - 1].isspace():
                passage, follows = window[begin:place], window[place + 1 : end]
                return (passage, follows) if _is_prose(passage) and _is_prose(follows) else None
    return None


def _last_words(texts: Mapping[str, list[str]], documents: int, draws: random.Random, corpus: Path) -> list[Document]:
    drawn = []
    for domain, parts in texts.items():
        pairs = sorted({pair for window in _windows(parts) if (pair := _split_last_word(window))})
        draws.shuffle(pairs)
        drawn += [(domain, {"passage": passage, "word": word}) for passage, word in pairs]
    return _taken(drawn, documents, "passages that repeat a word", corpus)


def _split_last_word(window: str) -> tuple[str, str] | None:
    """A passage and the word after it, which stands in the passage already."""
    begin = _word_start(window)
    for match in _WORD.finditer(window, begin + _CLOZE[0], min(begin + _CLOZE[1], len(window) - 1)):
        place = match.start() - 1
        passage = window[begin:place]
        ends = not (window[match.end()].isalnum() or window[match.end()] == "_")
        if _single_space(window, place) and ends and match[0] in _WORD.findall(passage) and _is_prose(passage):
            return passage, match[0]
    return None


def _sums(texts: Mapping[str, list[str]], documents: int, draws: random.Random, corpus: Path) -> list[Document]:
    sums = sorted({match.groups() for parts in texts.values() for text in parts for match in _SUM.finditer(text)})
    draws.shuffle(sums)
    drawn = []
    for question, result in sums:
        value = int(result)
        near = [value + step for step in (-11, -10, -9, -2, -1, 1, 2, 9, 10, 11) if value < 0 or value + step >= 0]
        choices = [str(number) for number in draws.sample(near, _CHOICES - 1)]
        answer = draws.randrange(_CHOICES)
        choices.insert(answer, result)
        drawn.append(("sums", {"question": question, "choices": choices, "answer": answer}))
    return _taken(drawn, documents, "lines like 17 + 5 = 22", corpus)


def _taken(drawn: Sequence[tuple[str, Document]], documents: int, what: str, corpus: Path) -> list[Document]:
    """As many as are needed, from each domain in turn; those for shots come last."""
    by_domain: dict[str, list[Document]] = {}
    for domain, document in drawn:
        by_domain.setdefault(domain, []).append(document)
    needed = documents + _SHOTS
    taken: list[Document] = []
    for turn in range(max(map(len, by_domain.values()), default=0)):
        taken += [{"domain": domain, **own[turn]} for domain, own in by_domain.items() if turn < len(own)]
    if len(taken) < needed:
        raise CorpusError(
            f"{corpus / 'valid'}: too little held-out text: {len(taken)} {what}, and {needed} are needed",
            code="held-out-insufficient",
            hint="hold out more text, or ask for fewer documents",
            path=corpus,
            what=what,
            found=len(taken),
            needed=needed,
        )
    return taken[:needed]


def _write(kind: _Kind, name: str, drawn: Sequence[Document], documents: int, destination: Path) -> Task:
    splits = {"test": drawn[:documents], "fewshot": drawn[documents:]}
    files = {split: f"{name}.{split}.jsonl" for split in splits}
    for split, rows in splits.items():
        _write_new(destination / files[split], "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    config = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files},
        "test_split": "test",
        "fewshot_split": "fewshot",
        **kind.config,
        "should_decontaminate": False,
        "metadata": {"version": VERSION},
    }
    _write_new(destination / f"{name}.yaml", to_yaml(config))
    return Task(name=name, title=kind.title, documents=documents, config=f"{name}.yaml")


def _write_new(path: Path, text: str) -> None:
    """Datasets reads a file again when its time has changed, so a file that is right is left alone."""
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)


def _word_start(window: str) -> int:
    """The first place where a word begins after a space, so that no passage begins within a word."""
    match = re.search(r"(?<=\s)\S", window)
    return match.start() if match else len(window)


def _single_space(text: str, place: int) -> bool:
    return (
        0 < place < len(text) - 1
        and text[place] == " "
        and not text[place - 1].isspace()
        and not text[place + 1].isspace()
    )


def _is_prose(text: str) -> bool:
    return sum(map(str.isalpha, text)) >= _LETTERS * len(text)
