"""Whether the blocks of a card are whole: code that ends, a mixture that gives its shares, code that loads a model."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mixhub.card.check.score_tables import Figure, row_line
from mixhub.card.check.subject import Subject
from mixhub.card.markdown.parse import ReadTable
from mixhub.errors import SpecError
from mixhub.findings import Finding
from mixhub.spec.base import parse_yaml

_FENCE = re.compile(r"[ >\t]*(`{3,}|~{3,})")
_HEADLESS = re.compile(r"\bAutoModel\.from_pretrained\(")
_REVISION = re.compile(r"""\brevision\s*=\s*["']([^"']+)["']""")
_GENERATES = "text-generation"


def endless_code(subject: Subject) -> Iterator[Finding]:
    """Code that runs to the end of the card, or into the next block, and takes with it what stands between."""
    lines = subject.card.lines
    for fence in subject.card.fences:
        opening = _FENCE.match(lines[fence.line - 1])
        if opening is None:  # indented code
            continue
        mark, length = re.escape(opening[1][0]), len(opening[1])
        closes = re.compile(rf"[ >\t]*{mark}{{{length},}}\s*")
        opens = re.compile(rf"[ >\t]*{mark}{{{length},}}\w.*")
        below = fence.content.split("\n")
        at = next((at for at, line in enumerate(below, start=fence.line + 1) if opens.fullmatch(line)), None)
        if at is not None:
            message = f"the block of code that begins here does not end before the next, in line {at}"
        elif not any(closes.fullmatch(line) for line in lines[fence.line :]):
            message = "the block of code that begins here never ends, so all below it is code"
        else:
            continue
        hint = f"end it by a line of {opening[1]}"
        yield Finding("code-endless", subject.source, message, hint, line=fence.line, about="code")


def endless_folds(subject: Subject) -> Iterator[Finding]:
    """Folded text that runs to the end of the card."""
    pieces = [(piece.line, piece.content.lower()) for piece in subject.card.html]
    opened = [line for line, text in pieces for _ in range(text.count("<details") - text.count("</details"))]
    closed = sum(max(0, text.count("</details") - text.count("<details")) for _, text in pieces)
    if len(opened) > closed:
        message = "what is folded from here never ends, so all below it is folded too"
        line = opened[closed]
        yield Finding("fold-endless", subject.source, message, "end it by </details>", line=line, about="details")


def wrong_mixtures(subject: Subject) -> Iterator[Finding]:
    """Mixtures as YAML that cannot be read, or that give other shares than the table in their section."""
    for fence in subject.card.fences:
        if fence.language != "yaml" or not re.search(r"^train:", fence.content, re.MULTILINE):
            continue
        try:
            data = parse_yaml(fence.content, subject.source)
        except SpecError as error:
            problems = " ".join(str(problem) for problem in error.problems) or error.message
            message, hint = f"the mixture is no YAML: {problems}", "mixhub card render, or mend the block"
            yield Finding("mixture-malformed", subject.source, message, hint, line=fence.line, about="train")
            continue
        weights = data.get("train") if isinstance(data, Mapping) else None
        shares = _shares(weights) if isinstance(weights, Mapping) else None
        tables = (table for table in subject.card.tables if table.section == fence.section)
        table = next((table for table in tables if _is_of_shares(table)), None)
        if shares is not None and table is not None:
            yield from _unlike_table(subject, shares, table)


def _unlike_table(subject: Subject, shares: Mapping[str, float], table: ReadTable) -> Iterator[Finding]:
    hint = "mixhub card render, or mend one of the two"
    rows = {name: (at, row[_share_column(table)]) for at, row in enumerate(table.rows) if (name := row[0].strip())}
    unlike: list[tuple[int, str, str]] = []
    for key, share in shares.items():
        domain = next((name for name in rows if key == name or key.endswith(f"_{name}")), None)
        if domain is None:
            message = f"{key} is in the mixture, and the table of shares has no such domain"
            yield Finding("mixture-domain-missing", subject.source, message, hint, line=table.line, about=key)
            continue
        at, printed = rows[domain]
        figure = Figure.read(printed)
        if figure is not None and not figure.may_be(100 * share, 100 * share):
            unlike.append((at, domain, f"the share is {figure.text}%, and the mixture gives {100 * share:.4g}%"))
    if unlike:  # one weight that is changed moves all shares
        at, domain, difference = unlike[0]
        more = f"; and {len(unlike) - 1} more" if len(unlike) > 1 else ""
        message = f"{domain}: {difference}{more}"
        yield Finding("mixture-differs", subject.source, message, hint, line=row_line(table, at), about=domain)


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


def headless_models(subject: Subject) -> Iterator[Finding]:
    """Code that loads a model that writes text without the head that does it."""
    if subject.card.metadata.get("pipeline_tag") != _GENERATES:
        return
    for number, line in _python(subject):
        if _HEADLESS.search(line):
            message = "AutoModel loads the model without the head that predicts tokens"
            hint = "write AutoModelForCausalLM"
            yield Finding("model-headless", subject.source, message, hint, line=number, about="AutoModel")


def unlisted_revisions(subject: Subject) -> Iterator[Finding]:
    """Code that loads a branch that the card's own list of branches does not have, though it has others like it."""
    tables = [table for table in subject.card.tables if table.headers[0].strip() == "Branch"]
    branches = [row[0].strip() for table in tables for row in table.rows]
    numbered = {_unnumbered(branch) for branch in branches}
    for number, line in _python(subject):
        for revision in _REVISION.findall(line):
            if revision not in branches and _unnumbered(revision) in numbered:
                message = f"loads {revision}, and the card's branches are {', '.join(dict.fromkeys(branches))}"
                yield Finding(
                    "revision-unlisted", subject.source, message, "name one of them", line=number, about=revision
                )


def _python(subject: Subject) -> Iterator[tuple[int, str]]:
    """Lines of Python, each with its number in the file."""
    for fence in subject.card.fences:
        if fence.language == "python":
            yield from enumerate(fence.content.split("\n"), start=fence.line + 1)


def _unnumbered(branch: str) -> str:
    return re.sub(r"\d+", "#", branch)
