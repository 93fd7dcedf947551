"""Whether the blocks of a card are whole: code that ends, a mixture that gives its shares, code that loads a model."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mixhub.card.check.finding import Finding
from mixhub.card.check.tables import Figure, row_line
from mixhub.card.markdown.parse import Fence, ReadCard, ReadTable
from mixhub.errors import SpecError
from mixhub.spec.base import parse_yaml

_FENCE = re.compile(r"[ >\t]*(`{3,}|~{3,})")
_HEADLESS = re.compile(r"\bAutoModel\.from_pretrained\(")
_REVISION = re.compile(r"""\brevision\s*=\s*["']([^"']+)["']""")
_GENERATES = "text-generation"


def code_findings(card: ReadCard, source: str) -> Iterator[Finding]:
    """What is wrong with the blocks of a card: one that never ends, a mixture, or code that loads a model.

    Args:
        card: the card as read.
        source: names the card in findings.
    """
    yield from _unclosed(card, source)
    for fence in card.fences:
        if fence.language == "yaml":
            yield from _mixture(card, fence, source)
        elif fence.language == "python":
            yield from _loading(card, fence, source)


def _unclosed(card: ReadCard, source: str) -> Iterator[Finding]:
    """Code and folded text that runs to the end of the card, and takes with it what stands below."""
    for fence in card.fences:
        opening = _FENCE.match(card.lines[fence.line - 1])
        if opening is None:  # indented code
            continue
        mark, length = re.escape(opening[1][0]), len(opening[1])
        closes = re.compile(rf"[ >\t]*{mark}{{{length},}}\s*")
        opens = re.compile(rf"[ >\t]*{mark}{{{length},}}\w.*")
        below = fence.content.split("\n")
        at = next((at for at, line in enumerate(below, start=fence.line + 1) if opens.fullmatch(line)), None)
        if at is not None:
            message = f"the block of code that begins here does not end before the next, in line {at}"
        elif not any(closes.fullmatch(line) for line in card.lines[fence.line :]):
            message = "the block of code that begins here never ends, so all below it is code"
        else:
            continue
        yield Finding("code", source, fence.line, "code", message, f"end it by a line of {opening[1]}")
    pieces = [(piece.line, piece.content.lower()) for piece in card.html]
    opened = [line for line, text in pieces for _ in range(text.count("<details") - text.count("</details"))]
    closed = sum(max(0, text.count("</details") - text.count("<details")) for _, text in pieces)
    if len(opened) > closed:
        message = "what is folded from here never ends, so all below it is folded too"
        yield Finding("code", source, opened[closed], "details", message, "end it by </details>")


def _mixture(card: ReadCard, fence: Fence, source: str) -> Iterator[Finding]:
    """A mixture as YAML, beside the table of shares in its section."""
    if not re.search(r"^train:", fence.content, re.MULTILINE):
        return
    try:
        data = parse_yaml(fence.content, source)
    except SpecError as error:
        said = " ".join(str(problem) for problem in error.problems) or error.message
        hint = "mixhub card render, or mend the block"
        yield Finding("code", source, fence.line, "train", f"the mixture is no YAML: {said}", hint)
        return
    weights = data.get("train") if isinstance(data, Mapping) else None
    shares = _shares(weights) if isinstance(weights, Mapping) else None
    tables = (table for table in card.tables if table.section == fence.section)
    if shares is None or (table := next((table for table in tables if _is_of_shares(table)), None)) is None:
        return
    named = {name: (at, row[_share_column(table)]) for at, row in enumerate(table.rows) if (name := row[0].strip())}
    unlike: list[tuple[int, str, str]] = []
    for key, share in shares.items():
        domain = next((name for name in named if key == name or key.endswith(f"_{name}")), None)
        if domain is None:
            message = f"{key} is in the mixture, and the table of shares has no such domain"
            yield Finding("figures", source, table.line, key, message, "mixhub card render, or mend one of the two")
            continue
        at, printed = named[domain]
        figure = Figure.read(printed)
        if figure is not None and not figure.may_be(100 * share, 100 * share):
            unlike.append((at, domain, f"the share is {figure.text}%, and the mixture gives {100 * share:.4g}%"))
    if unlike:  # one weight that is changed moves all shares
        at, domain, said = unlike[0]
        more = f"; and {len(unlike) - 1} more" if len(unlike) > 1 else ""
        hint = "mixhub card render, or mend one of the two"
        yield Finding("figures", source, row_line(table, at), domain, f"{domain}: {said}{more}", hint)


def _shares(weights: Mapping[Any, Any]) -> dict[str, float] | None:
    """Shares of what is sampled, by key; None where the weights are none."""
    numbers = {str(key): value for key, value in weights.items()}
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in numbers.values()):
        return None
    total = math.fsum(numbers.values())
    if not (math.isfinite(total) and total > 0):
        return None
    return {key: value / total for key, value in numbers.items() if value > 0}


def _is_of_shares(table: ReadTable) -> bool:
    return table.headers[0].strip().casefold() == "domain" and _share_column(table) >= 0


def _share_column(table: ReadTable) -> int:
    headers = [header.strip().casefold() for header in table.headers]
    return headers.index("share") if "share" in headers else -1


def _loading(card: ReadCard, fence: Fence, source: str) -> Iterator[Finding]:
    """Code that loads a model without its head, or a branch that the card's own list of branches does not have."""
    branches = [row[0].strip() for table in card.tables if table.headers[0].strip() == "Branch" for row in table.rows]
    numbered = {re.sub(r"\d+", "#", branch) for branch in branches}
    for number, line in enumerate(fence.content.split("\n"), start=fence.line + 1):
        if card.metadata.get("pipeline_tag") == _GENERATES and _HEADLESS.search(line):
            message = "AutoModel loads the model without the head that predicts tokens"
            yield Finding("code", source, number, "AutoModel", message, "write AutoModelForCausalLM")
        for revision in _REVISION.findall(line):
            if revision not in branches and re.sub(r"\d+", "#", revision) in numbered:
                message = f"loads {revision}, and the card's branches are {', '.join(dict.fromkeys(branches))}"
                yield Finding("code", source, number, revision, message, "name one of them")
