"""The shape of the package, measured: `python -m tests.structure` prints what breaks the limits of the house."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from mixhub.errors import UnknownNameError

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mixhub"

MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 8
MAX_MODULE_LINES = 500
MAX_MODULES = 14
MAX_MEDIAN_LINES = 9


@dataclass(frozen=True)
class Function:
    """One function or method."""

    where: str
    lines: int
    """From `def` to the last line, docstring included."""
    parameters: int
    is_command: bool
    """Whether Typer makes a command of it."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def functions() -> list[Function]:
    return [function for path in modules() for function in _functions(path)]


def _functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            names = [argument for argument in given if argument.arg not in ("self", "cls")]
            where = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            is_command = path.is_relative_to(PACKAGE / "cli") and "Option" in "".join(
                ast.unparse(argument.annotation) for argument in given if argument.annotation
            )
            yield Function(where, lines, len(names), is_command)


def violations() -> Iterator[str]:
    """What breaks a limit, a line each."""
    found = functions()
    for function in found:
        if function.lines > MAX_FUNCTION_LINES:
            yield f"{function.where}: {function.lines} lines"
        if function.parameters > MAX_PARAMETERS and not function.is_command:
            yield f"{function.where}: {function.parameters} parameters"
    for path in modules():
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_MODULE_LINES:
            yield f"{path.relative_to(ROOT)}: {lines} lines"
    for folder in {path.parent for path in modules()}:
        held = [path for path in folder.glob("*.py") if not path.name.startswith("__")]
        if len(held) > MAX_MODULES:
            yield f"{folder.relative_to(ROOT)}: {len(held)} modules"
    if (middle := median(function.lines for function in found)) > MAX_MEDIAN_LINES:
        yield f"the median function has {middle} lines"
    yield from _circles()


def imports(path: Path) -> set[str]:
    """Modules of mixhub that a module imports anywhere but for type checking."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    named = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "mixhub":
            named |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names if alias.name.split(".")[0] == "mixhub"}
    return {resolved for name in named if (resolved := _module(name))}


def _module(name: str) -> str | None:
    """The module that a dotted name lies in."""
    parts = name.split(".")
    while parts:
        path = ROOT.joinpath(*parts)
        if path.with_suffix(".py").is_file() or (path / "__init__.py").is_file():
            return ".".join(parts)
        parts.pop()
    return None


def _room(module: str) -> str:
    """The folder that a module lies in; a module at the top is a room of its own."""
    path = ROOT.joinpath(*module.split("."))
    return module if path.is_dir() or module.count(".") == 1 else module.rpartition(".")[0]


def rooms() -> dict[str, set[str]]:
    """Which rooms each room imports. What a folder's `__init__` offers lazily is no import."""
    graph: dict[str, set[str]] = {}
    for path in modules():
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if module == "mixhub":
            continue
        graph.setdefault(_room(module), set()).update(_room(name) for name in imports(path) if name != "mixhub")
    return {room: others - {room} for room, others in graph.items()}


def _circles() -> Iterator[str]:
    """Pairs of rooms that reach each other."""
    graph = rooms()
    reach = {room: _reached(graph, room) for room in graph}
    for room in sorted(graph):
        for other in sorted(reach[room]):
            if room < other and room in reach.get(other, ()):
                yield f"circle: {room} and {other}"


def _reached(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for room in graph.get(waiting.pop(), ()):
            if room not in seen:
                seen.add(room)
                waiting.append(room)
    return seen


NEEDS_CODE = {
    "MixhubError",
    "UsageError",
    "WorkspaceError",
    "CorpusError",
    "RunError",
    "ExportError",
    "ResultsError",
    "HubError",
    "Problem",
}
"""Classes that do not say by themselves what kind of mistake it is; the others have a code of their own."""


@dataclass(frozen=True)
class CodeUse:
    """A place that makes an error or a finding."""

    where: str
    name: str
    """The class that is made."""
    codes: frozenset[str]
    """Codes that are written there."""
    is_given: bool
    """Whether a code is given, literally or by a value."""


def code_uses() -> Iterator[CodeUse]:
    """Every place that makes an error, a problem or a finding."""
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func).rpartition(".")[2]
            given = next((keyword.value for keyword in node.keywords if keyword.arg == "code"), None)
            if given is None and name == "Finding" and node.args:
                given = node.args[0]
            if given is not None or name in NEEDS_CODE | {"Finding", "UnknownNameError"}:
                codes = frozenset(_texts(given)) if given is not None else frozenset()
                if given is None and name == "UnknownNameError":
                    given = node.args[0]
                    codes = frozenset(UnknownNameError(kind, "", []).code for kind in _texts(given))
                yield CodeUse(f"{path.relative_to(ROOT)}:{node.lineno}", name, codes, given is not None)


def _texts(node: ast.expr) -> Iterator[str]:
    """The texts that an expression may be: of both branches of a condition."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


def texts() -> set[str]:
    """Every text that stands in the code of the package."""
    return {
        node.value
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


if __name__ == "__main__":
    broken = list(violations())
    print("\n".join(broken))
    sys.exit(bool(broken))
