"""Fills a template of the package, or a custom one that may extend it. Errors name the file and line."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub.card.markdown import figures, text
from mixhub.errors import Problem, SpecError, nearest

if TYPE_CHECKING:
    import jinja2


def fill(packaged: str, custom: Path | None, values: Mapping[str, Any]) -> str:
    """Return the text of a template.

    Args:
        packaged: name of the package's template.
        custom: a template that replaces it, and may extend it.
        values: what the template may name.

    Raises:
        SpecError: the custom template is not valid, cannot be filled, or renders no text.
    """
    environment = _environment()
    if custom is None:
        return environment.get_template(packaged).render(values)
    from jinja2 import TemplateError, TemplateSyntaxError

    try:
        source = custom.read_text(encoding="utf-8")
    except OSError as error:
        raise _problem("file-unreadable", custom, None, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise _problem("file-malformed", custom, None, f"not UTF-8: {error.reason} at byte {error.start}") from None
    try:
        filled = environment.from_string(source).render(values)
        _require_blocks(environment, source, custom)
    except TemplateSyntaxError as error:
        raise _problem("template-malformed", custom, error.lineno, str(error.message)) from None
    except SpecError:
        raise
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
        if not lines:
            raise
        message = str(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
        if (name := re.match(r"'(\w+)' is undefined", message)) and (near := nearest(name[1], values)):
            message += f"; did you mean {near}?"
        raise _problem("template-failed", custom, lines[-1], message) from error
    if not filled.strip():
        raise _problem("template-empty", custom, None, "renders a card without text")
    return filled


@cache
def _environment() -> jinja2.Environment:
    """Return an environment that fills templates from untrusted authors.

    Beyond what jinja2 forbids, a template may use only fields, properties and methods of mixhub's own classes and of
    plain values: those inherited from libraries could open files and run code.
    """
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
            if isinstance(obj, type) or not super().is_safe_attribute(obj, attr, value):
                return False
            owner = next((kind for kind in type(obj).__mro__ if attr in vars(kind)), type(obj))
            return owner.__module__.split(".")[0] in ("builtins", "jinja2", "mixhub")

    environment = Sandbox(
        loader=jinja2.PackageLoader("mixhub.card.page", "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=True,  # marks the text of blocks and macros as escaped
        finalize=_escaped,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        code=text.code, number=figures.whole, table=lambda table: table.markdown(), figure=_figure
    )
    return environment


def _escaped(value: Any) -> text.Markdown:
    return text.Markdown(value) if hasattr(value, "__html__") else text.escape(value)


def _figure(plot: Any) -> text.Markdown:
    """Return the PNG of a plot with a link to its SVG; nothing for no plot."""
    if plot is None:
        return text.Markdown("")
    return text.image(plot.alt, f"plots/{plot.name}.png", f"plots/{plot.name}.svg")


def _require_blocks(environment: jinja2.Environment, source: str, custom: Path) -> None:
    """Refuse blocks that the extended template lacks, and text outside of blocks: jinja2 ignores both."""
    from jinja2 import nodes

    tree = environment.parse(source)
    base = tree.find(nodes.Extends)
    if base is None or not isinstance(base.template, nodes.Const):
        return
    blocks = environment.get_template(base.template.value).blocks
    for node in tree.body:
        if isinstance(node, nodes.Block) and node.name not in blocks:
            near = nearest(node.name, blocks)
            hint = f"; did you mean {near}?" if near else f"; blocks: {', '.join(sorted(blocks))}"
            message = f"{base.template.value} has no block {node.name!r}{hint}"
            raise _problem("template-malformed", custom, node.lineno, message)
        for part in node.nodes if isinstance(node, nodes.Output) else ():
            data = part.data if isinstance(part, nodes.TemplateData) else "value"
            if data.strip():
                line = part.lineno + len(data) - len(data.lstrip("\n"))
                raise _problem("template-malformed", custom, line, "text outside of a block is ignored")


def _problem(code: str, custom: Path, line: int | None, message: str) -> SpecError:
    source = f"{custom}:{line}" if line is not None else str(custom)
    return SpecError(source, [Problem("", None, message, code=code)], hint="correct the template; no card was changed")
