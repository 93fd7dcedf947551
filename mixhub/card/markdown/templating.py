"""Filling a template of the package, or one of a person's own that may extend it; what fails names file and line."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub.errors import Problem, SpecError, nearest

if TYPE_CHECKING:
    import jinja2
    from jinja2 import nodes

_OWN = "a template of one's own"
"""Its name among the templates: the file may be called as one of the package that it extends."""
_MISTAKES = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError)
"""What filling a template of one's own raises where it uses values as what they are not."""


def fill(environment: jinja2.Environment, packaged: str, own: Path | None, values: Mapping[str, Any]) -> str:
    """The text of a template.

    Args:
        environment: finds the package's templates; undefined names must raise.
        packaged: name of the package's template.
        own: a template that takes its place; it may extend it.
        values: what the template may name.

    Raises:
        SpecError: the template of one's own has a mistake, makes no text, names what a card does not have, or replaces
            a block that the template which it extends does not have; names file and line.
    """
    if own is None:
        return environment.get_template(packaged).render(values)
    import jinja2

    try:
        source = own.read_text(encoding="utf-8")
        _require_known_blocks(environment, packaged, own, source)
        overlay = environment.overlay(loader=_with_own(environment, own, source))
        made = overlay.get_template(_OWN).render(values)
    except UnicodeDecodeError as error:
        raise _mistake("file-malformed", own, None, f"not UTF-8: {error.reason} at byte {error.start}") from None
    except jinja2.TemplateSyntaxError as error:
        raise _mistake("template-malformed", own, error.lineno, f"not a template: {error.message}") from None
    except jinja2.TemplateNotFound as error:
        said = f"there is no template {error.name!r}; what can be extended is {packaged}"
        raise _mistake("template-missing", own, _line(error, own), said) from None
    except jinja2.UndefinedError as error:
        raise _mistake("template-name-unknown", own, _line(error, own), _unknown(str(error.message), values)) from None
    except jinja2.exceptions.SecurityError as error:
        raise _mistake("template-unsafe", own, _line(error, own), str(error.message)) from None
    except jinja2.TemplateRuntimeError as error:
        raise _mistake("template-failed", own, _line(error, own), str(error.message)) from None
    except _MISTAKES as error:
        if (line := _line(error, own)) is None:
            raise
        raise _mistake("template-failed", own, line, f"{type(error).__name__}: {error}") from error
    if not made.strip():
        raise _mistake("template-empty", own, None, "makes a card without a text")
    return made


@cache
def sandbox() -> type[jinja2.Environment]:
    """The kind of environment that fills templates: one that may come from somebody else must not reach beyond a card.

    Beside what jinja2 keeps back, a template sees fields, properties and methods of mixhub's own classes and of plain
    values only: what those inherit from libraries, or hold of theirs, can open files and run code.
    """
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
            if isinstance(obj, type) or not super().is_safe_attribute(obj, attr, value):
                return False
            if attr in _field_names(obj):
                return True
            owner = next((kind for kind in type(obj).__mro__ if attr in vars(kind)), type(obj))
            return owner.__module__.split(".")[0] in ("builtins", "jinja2", "mixhub")

    return Sandbox


def _with_own(environment: jinja2.Environment, own: Path, source: str) -> jinja2.BaseLoader:
    import jinja2

    assert environment.loader is not None
    mine = jinja2.FunctionLoader(lambda name: (source, str(own), None) if name == _OWN else None)
    return jinja2.ChoiceLoader([mine, environment.loader])


def _require_known_blocks(environment: jinja2.Environment, packaged: str, own: Path, source: str) -> None:
    """Refuses blocks that the extended template does not have, and text in none: both would be left out."""
    from jinja2 import nodes

    tree = environment.parse(source, own.name, str(own))
    base = next(tree.find_all(nodes.Extends), None)
    if base is None or not isinstance(base.template, nodes.Const):
        return
    if (name := str(base.template.value)) not in environment.list_templates():
        missing = f"there is no template {name!r}; what can be extended is {packaged}"
        raise _mistake("template-missing", own, base.lineno, missing)
    if (line := _text_outside(tree)) is not None:
        outside = f"text outside of the blocks is left out, since it extends {name}: put it into a block"
        raise _mistake("template-text-lost", own, line, outside)
    known = set(environment.get_template(name).blocks)
    for block in _outer_blocks(tree):
        if block.name not in known:
            near = nearest(block.name, known)
            meant = f"; did you mean {near}?" if near else f"; there are {', '.join(sorted(known))}"
            raise _mistake("template-block-unknown", own, block.lineno, f"{name} has no block {block.name!r}{meant}")


def _text_outside(tree: nodes.Template) -> int | None:
    """The line of the first text or value that is in no block, of a template that extends another; None without one."""
    from jinja2 import nodes

    for node in (node for node in tree.body if isinstance(node, nodes.Output)):
        for part in node.nodes:
            if not isinstance(part, nodes.TemplateData):
                return part.lineno
            if part.data.strip():
                return part.lineno + part.data[: len(part.data) - len(part.data.lstrip())].count("\n")
    return None


def _outer_blocks(tree: nodes.Template) -> Iterator[nodes.Block]:
    """Blocks that are in no other block."""
    from jinja2 import nodes

    inner = {id(one) for block in tree.find_all(nodes.Block) for one in block.find_all(nodes.Block)}
    return (block for block in tree.find_all(nodes.Block) if id(block) not in inner)


def _line(error: BaseException, own: Path) -> int | None:
    """The line of the template that was being filled; None where the mistake is not in it."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(own)]
    return lines[-1] if lines else None


def _unknown(message: str, values: Mapping[str, Any]) -> str:
    """What jinja2 says of a name that is not there, with the nearest that is."""
    if match := re.fullmatch(r"'(\w+)' is undefined", message):
        name, known = match[1], list(values)
        said = f"names {name!r}, which a card does not have"
    elif match := re.fullmatch(r"'(?:[\w.]*\.)?(\w+) object' has no attribute '(\w+)'", message):
        owner, name = match[1], match[2]
        known = sorted(_attributes(owner, values))
        said = f"names {name!r}, which {owner} does not have"
    else:
        return message
    near = nearest(name, known)
    return said + (f"; did you mean {near}?" if near else f"; it has {', '.join(known)}" if known else "")


def _attributes(owner: str, values: Mapping[str, Any]) -> set[str]:
    """The fields of the class of that name, among the values and what lies in them."""
    found: set[str] = set()
    waiting, seen = list(values.values()), set[int]()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        names = _field_names(value)
        if type(value).__name__ == owner:
            found |= names
        waiting += [getattr(value, name, None) for name in names]
    return found


def _field_names(value: Any) -> set[str]:
    if is_dataclass(value):
        return {field.name for field in fields(value)}
    return set(getattr(type(value), "model_fields", {}))


def _mistake(code: str, own: Path, line: int | None, what: str) -> SpecError:
    place = f"{own}:{line}" if line is not None else str(own)
    return SpecError(place, [Problem("", None, what, code=code)], hint="mend the template; the cards are as they were")
