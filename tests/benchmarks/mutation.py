"""How many small faults the tests notice: random mutations, each with the tests that run the mutated line.

`python -m tests.benchmarks mutation` needs the package `coverage`. A fault is one operator, comparison, condition or
integer, outside of messages, annotations and docstrings. MIXHUB_BENCHMARK_MUTATIONS sets how many of them are tried
(default: 100), MIXHUB_BENCHMARK_SEED which ones.
"""

from __future__ import annotations

import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ROOMS = {
    "mixhub/spec": ("tests/spec", "tests/workspace"),
    "mixhub/data": ("tests/data",),
    "mixhub/hub/rules": ("tests/hub/rules", "tests/hub/check", "tests/hub/verify"),
    "mixhub/card/facts": ("tests/card",),
}
"""What is mutated, a room each, and the tests that are to notice."""
TIMEOUT = 600
"""Seconds after which a mutant counts as killed: it runs for ever."""

_COMPARED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult}


@dataclass(frozen=True)
class Mutation:
    """One fault."""

    path: str
    line: int
    before: str
    after: str
    source: str
    """The whole module with the fault in it."""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before} -> {self.after}"


def run() -> str:
    """The share of faults that a test notices, and the faults that none does, a line each."""
    number = int(os.environ.get("MIXHUB_BENCHMARK_MUTATIONS", "100"))
    draws = random.Random(int(os.environ.get("MIXHUB_BENCHMARK_SEED", "1")))
    lines, survivors = [], []
    with tempfile.TemporaryDirectory(prefix="mixhub-mutation-") as scratch:
        copied = Path(scratch) / "mixhub"
        ignored = shutil.ignore_patterns(".git", "__pycache__", ".*_cache")
        shutil.copytree(ROOT, copied, ignore=ignored)
        for place, (room, tests) in enumerate(ROOMS.items()):
            share = number // len(ROOMS) + (place < number % len(ROOMS))
            covering = _covering(copied, room, [path for path in tests if (copied / path).exists()])
            chosen = _chosen(copied / room, copied, share, draws)
            left = []
            for mutation in chosen:
                if not _is_killed(copied, mutation, covering):
                    print(f"survived: {mutation}", file=sys.stderr, flush=True)  # the whole takes most of an hour
                    left.append(mutation)
            survivors += left
            lines.append(f"{room}: {len(chosen) - len(left)} of {len(chosen)} killed")
    return "\n  ".join(["", *lines, *(f"survived: {mutation}" for mutation in survivors)])


def _chosen(room: Path, root: Path, number: int, draws: random.Random) -> list[Mutation]:
    everything = [fault for path in sorted(room.rglob("*.py")) for fault in _mutations(path, root)]
    return draws.sample(everything, min(number, len(everything)))


def _mutations(path: Path, root: Path) -> Iterator[Mutation]:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    skipped = set(_skipped(tree))
    for node in ast.walk(tree):
        if node in skipped or not isinstance(node, ast.expr):
            continue
        for mutant in _mutants(node):
            before, after = ast.unparse(node), ast.unparse(mutant)
            text = _replaced(source, node, f"({after})")
            yield Mutation(path.relative_to(root).as_posix(), node.lineno, before, after, text)


def _skipped(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes below messages, annotations, decorators and docstrings."""
    for node in ast.walk(tree):
        below: list[Any] = []
        if isinstance(node, (ast.JoinedStr, ast.Raise)):
            below.append(node)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            below += [node.returns, *node.decorator_list, *(argument.annotation for argument in node.args.args)]
            below += [argument.annotation for argument in node.args.kwonlyargs]
        if isinstance(node, ast.AnnAssign):
            below.append(node.annotation)
        if isinstance(node, ast.ClassDef):
            below += node.decorator_list
        for start in below:
            if start is not None:
                yield from ast.walk(start)


def _mutants(node: ast.expr) -> Iterator[ast.expr]:
    mutant: Any = copy.deepcopy(node)
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARED:
        mutant.ops[0] = _COMPARED[type(node.ops[0])]()
        yield mutant
    elif isinstance(node, ast.BoolOp):
        mutant.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield mutant
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        mutant.op = _ARITHMETIC[type(node.op)]()
        yield mutant
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield mutant.operand
    elif isinstance(node, ast.Constant) and type(node.value) in (bool, int):
        mutant.value = not node.value if isinstance(node.value, bool) else node.value + 1
        yield mutant


def _replaced(source: str, node: ast.expr, text: str) -> str:
    lines = source.encode().split(b"\n")
    assert node.end_lineno is not None
    before = b"\n".join([*lines[: node.lineno - 1], lines[node.lineno - 1][: node.col_offset]])
    after = b"\n".join([lines[node.end_lineno - 1][node.end_col_offset :], *lines[node.end_lineno :]])
    return (before + text.encode() + after).decode()


def _covering(root: Path, room: str, tests: Sequence[str]) -> dict[tuple[str, int], list[str]]:
    """By file and line, the tests that run it, as pytest names them."""
    from coverage import CoverageData

    data = root / ".coverage"
    (root / ".coveragerc").write_text("[run]\nsource = mixhub\nrelative_files = true\n")
    (root / "conftest.py").write_text(_CONTEXTS)
    command = ["-m", "coverage", "run", "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *tests]
    done = subprocess.run([sys.executable, *command], cwd=root, env=_environ(root), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the tests of {room} fail without any fault:\n{done.stdout[-3000:]}")
    measured = CoverageData(str(data))
    measured.read()
    found: dict[tuple[str, int], list[str]] = {}
    for file in measured.measured_files():
        if file.startswith(f"{room}/"):
            for line, contexts in measured.contexts_by_lineno(file).items():
                found[file, line] = sorted(context for context in contexts if context)
    data.unlink()
    return found


_CONTEXTS = """
import coverage
import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    running = coverage.Coverage.current()
    if running is not None:
        running.switch_context(item.nodeid)
    yield
"""
"""Tells coverage which test runs."""


def _is_killed(root: Path, mutation: Mutation, covering: Mapping[tuple[str, int], Sequence[str]]) -> bool:
    path = root / mutation.path
    before = path.read_text(encoding="utf-8")
    room = next(room for room in ROOMS if mutation.path.startswith(f"{room}/"))
    tests = covering.get((mutation.path, mutation.line)) or [
        test for test in ROOMS[room] if (root / test).exists()
    ]  # a line that runs at import
    path.write_text(mutation.source, encoding="utf-8")
    try:
        parts = (tests[:40], tests[40:])  # most faults are noticed by the first few
        return any(some and not _pass(root, some) for some in parts)
    finally:
        path.write_text(before, encoding="utf-8")


def _pass(root: Path, tests: Sequence[str]) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n0", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(command, cwd=root, env=_environ(root), capture_output=True, check=False, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _environ(root: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
