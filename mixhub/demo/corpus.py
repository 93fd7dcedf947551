"""A small corpus of real text that lies on any machine with Python: four domains, in RegMix's layout."""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import os
import random
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mixhub.errors import CorpusError
from mixhub.files import clear_leftovers, locked, new_folder
from mixhub.progress import SILENT, Progress

DOMAINS = ("python_source", "docstrings", "language_reference", "arithmetic")

_SKIPPED_FOLDERS = {
    *("__pycache__", "site-packages", "dist-packages", "test", "tests", "idle_test"),
    *("idlelib", "lib2to3", "turtledemo", "encodings", "pydoc_data", "distutils", "ensurepip"),
}
_SOURCE_CHARACTERS = 3_000_000
_DOCSTRING_CHARACTERS = 1_200_000
_HELD_OUT = 10
"""One document of so many is held out."""
_REPEATED_CHARACTERS = 60
"""A paragraph of so many characters that is held out is taken out of training documents too."""
_PROBLEMS_PER_DOCUMENT = 40
_ARITHMETIC_DOCUMENTS = {"train": 1500, "valid": 100}
_ARITHMETIC_SEED = 1

Documents = dict[str, str]
"""Documents by the name of what they were made from."""


def write_corpus(folder: Path, progress: Progress = SILENT) -> Path:
    """Writes the corpus of this Python's own text to `folder`, which is left as it is when it exists.

    Domains: `python_source` (modules of the standard library), `docstrings` (of the same library, a module a
    document), `language_reference` (the topics of `help()`) and `arithmetic` (generated, with a fixed seed). About
    5 MB, the same bytes each time for one Python.

    One document of ten is held out in `valid/`: a module that is held out as source is held out as docstrings too, and
    a problem that is held out is never trained on, in either order of its operands.

    Raises:
        CorpusError: this Python was installed without its sources or without `pydoc_data`.
    """
    with locked(folder.parent / ".lock", f"{folder.parent} is being written", timeout=-1):
        if folder.is_dir():
            return folder
        clear_leftovers(folder.parent)
        with progress.start("write corpus", len(DOMAINS), "domain") as bar, new_folder(folder) as building:
            topics = _topics()
            modules = _modules(Path(sysconfig.get_path("stdlib")))
            held_out = _held_out(modules)
            _write(building, "python_source", _split(_bounded(modules, _SOURCE_CHARACTERS), held_out))
            bar.advance(note="python_source")
            docstrings = _split(_bounded(_docstrings(modules), _DOCSTRING_CHARACTERS), held_out)
            _write(building, "docstrings", _without_repeats(*docstrings))
            bar.advance(note="docstrings")
            _write(building, "language_reference", _without_repeats(*_split(topics, _held_out(topics))))
            bar.advance(note="language_reference")
            _write(building, "arithmetic", (_arithmetic("train"), _arithmetic("valid")))
            bar.advance(note="arithmetic")
    return folder


def _modules(library: Path) -> Documents:
    """Text of the modules below `library` by relative path, without copies and without files that cannot be read."""
    modules = {}
    for parent, folders, names in os.walk(library):
        folders[:] = [name for name in folders if name not in _SKIPPED_FOLDERS and not name.startswith("config-")]
        for name in names:
            path = Path(parent, name)
            if name.endswith(".py") and (text := _read(path)).strip():
                modules[path.relative_to(library).as_posix()] = text
    if len(modules) < _HELD_OUT:
        raise CorpusError(
            f"{library}: only {len(modules)} modules of the standard library lie here as source",
            code="python-incomplete",
            hint="install Python with its sources, or give a corpus of your own",
            path=library,
            modules=len(modules),
        )
    first = {modules[name]: name for name in sorted(modules, reverse=True)}
    return {name: text for name, text in modules.items() if first[text] == name}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _docstrings(modules: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in _shuffled(modules):
        if text := _module_docstrings(name, modules[name]):
            yield name, text


def _module_docstrings(name: str, source: str) -> str:
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return ""
    module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return "\n\n".join(f"{path}\n\n{text}" for path, text in _documented(tree, module) if text)


def _documented(node: ast.AST, path: str) -> Iterator[tuple[str, str | None]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield path, ast.get_docstring(node)
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _documented(child, f"{path}.{child.name}")


def _topics() -> Documents:
    try:
        topics: Mapping[str, str] = importlib.import_module("pydoc_data.topics").topics
    except ImportError:
        raise CorpusError(
            "pydoc_data.topics: this Python was installed without the language reference",
            code="python-incomplete",
            hint="install Python with its standard library whole (on Debian: apt install libpython3-stdlib)",
            module="pydoc_data.topics",
        ) from None
    return dict(topics)


def _arithmetic(side: str) -> Documents:
    draws = random.Random(_ARITHMETIC_SEED if side == "train" else -_ARITHMETIC_SEED - 1)
    documents = {}
    for number in range(_ARITHMETIC_DOCUMENTS[side]):
        problems: list[str] = []
        while len(problems) < _PROBLEMS_PER_DOCUMENT:
            key, problem = _problem(draws)
            if (_hash(key) % _HELD_OUT == 0) == (side == "valid"):
                problems.append(problem)
        documents[str(number)] = "\n".join(problems) + "\n"
    return documents


def _problem(draws: random.Random) -> tuple[str, str]:
    """A problem, and the key that it shares with the same problem turned round."""
    operator = draws.choice("+-*")
    most = 12 if operator == "*" else 99
    a, b = draws.randint(0, most), draws.randint(0, most)
    if operator == "-":
        a, b = max(a, b), min(a, b)
    result = {"+": a + b, "-": a - b, "*": a * b}[operator]
    return f"{min(a, b)} {operator} {max(a, b)}", f"{a} {operator} {b} = {result}"


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])


def _shuffled(names: Iterable[str]) -> list[str]:
    """In an order that has nothing to do with the alphabet, the same each time."""
    return sorted(names, key=lambda name: (_hash(name), name))


def _held_out(names: Iterable[str]) -> set[str]:
    shuffled = _shuffled(names)
    return set(shuffled[: max(1, len(shuffled) // _HELD_OUT)])


def _bounded(documents: Mapping[str, str] | Iterator[tuple[str, str]], most_characters: int) -> Documents:
    """The first documents in shuffled order, up to so many characters; those held out come first in that order."""
    named = ((name, documents[name]) for name in _shuffled(documents)) if isinstance(documents, Mapping) else documents
    bounded: Documents = {}
    size = 0
    for name, text in named:
        size += len(text)
        if size > most_characters and bounded:
            break
        bounded[name] = text
    return bounded


def _split(documents: Documents, held_out: set[str]) -> tuple[Documents, Documents]:
    train = {name: text for name, text in documents.items() if name not in held_out}
    return train, {name: text for name, text in documents.items() if name in held_out}


def _without_repeats(train: Documents, valid: Documents) -> tuple[Documents, Documents]:
    """Takes the long paragraphs of held-out documents out of training documents, since topics quote each other."""
    held_out = {paragraph.strip() for text in valid.values() for paragraph in text.split("\n\n")}
    held_out = {paragraph for paragraph in held_out if len(paragraph) >= _REPEATED_CHARACTERS}
    shortened = {
        name: "\n\n".join(paragraph for paragraph in text.split("\n\n") if paragraph.strip() not in held_out)
        for name, text in train.items()
    }
    return {name: text for name, text in shortened.items() if text.strip()}, valid


def _write(folder: Path, domain: str, documents: tuple[Documents, Documents]) -> None:
    for split, part in zip(("train", "valid"), documents, strict=True):
        path = folder / split / f"{domain}-1.jsonl"
        path.parent.mkdir(exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            for name in sorted(part):
                file.write(json.dumps({"text": part[name]}, ensure_ascii=False) + "\n")
