"""A small corpus of real text that every machine with Python has: four domains, in RegMix's layout."""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import os
import random
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
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
"""One document in this many is held out."""
_REPEATED_CHARACTERS = 60
"""A held-out paragraph of at least this length is removed from training documents."""
_PROBLEMS_PER_DOCUMENT = 40
_ARITHMETIC = {"train": (1500, 1), "valid": (100, -2)}
"""Documents and seed of each split."""

Documents = dict[str, str]
"""Documents by the name of their source, in shuffled order."""


def write_corpus(folder: Path, progress: Progress = SILENT) -> Path:
    """Write the corpus of this Python's own text to `folder`, unless the folder exists.

    Domains: `python_source` (modules of the standard library), `docstrings` (of the same library, one document per
    module), `language_reference` (the topics of `help()`) and `arithmetic` (generated, with a fixed seed). About 5 MB,
    the same bytes each time for one Python.

    One document in ten is held out in `valid/`: a module whose source is held out has its docstrings held out, too, and
    a held-out problem is never trained on, in either order of its operands.

    Raises:
        CorpusError: this Python was installed without its sources or without `pydoc_data`.
    """
    with locked(folder.parent / ".lock", f"{folder.parent} is being written", timeout=-1):
        if folder.is_dir():
            return folder
        clear_leftovers(folder.parent)
        with progress.start("write corpus", len(DOMAINS), "domain") as bar, new_folder(folder) as building:
            topics, modules = _topics(), _modules(Path(sysconfig.get_path("stdlib")))
            docstrings = ((name, text) for name, source in modules.items() if (text := _docstrings(name, source)))
            for domain, documents, names in (
                ("python_source", _bounded(modules.items(), _SOURCE_CHARACTERS), list(modules)),
                ("docstrings", _bounded(docstrings, _DOCSTRING_CHARACTERS), list(modules)),
                ("language_reference", topics, list(topics)),
            ):
                held_out = set(names[: max(1, len(names) // _HELD_OUT)])
                valid = {name: text for name, text in documents.items() if name in held_out}
                train = {name: text for name, text in documents.items() if name not in held_out}
                _write(building, domain, train if domain == "python_source" else _without_repeats(train, valid), valid)
                bar.advance(note=domain)
            _write(building, "arithmetic", _arithmetic("train"), _arithmetic("valid"))
            bar.advance(note="arithmetic")
    return folder


def _modules(library: Path) -> Documents:
    """Return the text of the modules below `library` by relative path, without duplicates and unreadable files."""
    modules = {}
    for parent, folders, names in os.walk(library):
        folders[:] = [name for name in folders if name not in _SKIPPED_FOLDERS and not name.startswith("config-")]
        for path in (Path(parent, name) for name in names if name.endswith(".py")):
            try:
                modules[path.relative_to(library).as_posix()] = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
    if len(modules) < _HELD_OUT:
        message = f"{library}: has the source of only {len(modules)} modules of the standard library"
        hint = "install Python with its sources, or use your own corpus"
        raise CorpusError(message, code="python-incomplete", hint=hint, path=library, modules=len(modules))
    first = {modules[name]: name for name in sorted(modules, reverse=True) if modules[name].strip()}
    return _shuffled({name: text for text, name in first.items()})


def _docstrings(name: str, source: str) -> str:
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
    module = "pydoc_data.topics"
    try:
        return _shuffled(importlib.import_module(module).topics)
    except ImportError:
        message = f"{module}: this Python was installed without the language reference"
        hint = "install Python's whole standard library (on Debian: apt install libpython3-stdlib)"
        raise CorpusError(message, code="python-incomplete", hint=hint, module=module) from None


def _arithmetic(split: str) -> Documents:
    count, seed = _ARITHMETIC[split]
    draws = random.Random(seed)
    documents = {}
    for number in range(count):
        problems: list[str] = []
        while len(problems) < _PROBLEMS_PER_DOCUMENT:
            key, problem = _problem(draws)
            if (_hash(key) % _HELD_OUT == 0) == (split == "valid"):
                problems.append(problem)
        documents[str(number)] = "\n".join(problems) + "\n"
    return documents


def _problem(draws: random.Random) -> tuple[str, str]:
    """Return a problem, and a key that does not depend on the order of its operands."""
    operator = draws.choice("+-*")
    most = 12 if operator == "*" else 99
    a, b = draws.randint(0, most), draws.randint(0, most)
    if operator == "-":
        a, b = max(a, b), min(a, b)
    result = {"+": a + b, "-": a - b, "*": a * b}[operator]
    return f"{min(a, b)} {operator} {max(a, b)}", f"{a} {operator} {b} = {result}"


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])


def _shuffled(documents: Documents) -> Documents:
    """Order documents by a hash of their names: unrelated to the alphabet, and the same each time."""
    return {name: documents[name] for name in sorted(documents, key=lambda name: (_hash(name), name))}


def _bounded(documents: Iterable[tuple[str, str]], max_characters: int) -> Documents:
    """Return the first documents, up to a number of characters."""
    bounded: Documents = {}
    size = 0
    for name, text in documents:
        size += len(text)
        if size > max_characters and bounded:
            break
        bounded[name] = text
    return bounded


def _without_repeats(train: Documents, valid: Documents) -> Documents:
    """Remove the long paragraphs of held-out documents from training documents: topics quote each other."""
    held_out = {paragraph.strip() for text in valid.values() for paragraph in text.split("\n\n")}
    held_out = {paragraph for paragraph in held_out if len(paragraph) >= _REPEATED_CHARACTERS}
    shortened = {
        name: "\n\n".join(paragraph for paragraph in text.split("\n\n") if paragraph.strip() not in held_out)
        for name, text in train.items()
    }
    return {name: text for name, text in shortened.items() if text.strip()}


def _write(folder: Path, domain: str, train: Documents, valid: Documents) -> None:
    for split, documents in (("train", train), ("valid", valid)):
        path = folder / split / f"{domain}-1.jsonl"
        path.parent.mkdir(exist_ok=True)
        rows = [json.dumps({"text": documents[name]}, ensure_ascii=False) + "\n" for name in sorted(documents)]
        path.write_text("".join(rows), encoding="utf-8", newline="\n")
