"""Whether the code and the files in a card are correct: the mixture, the code that loads a model, images and files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote

from mixhub.card.check.score_tables import Figure
from mixhub.card.check.subject import Subject
from mixhub.card.check.tables import HINT, share_column
from mixhub.card.markdown.parse import Block
from mixhub.errors import SpecError
from mixhub.findings import Finding
from mixhub.spec.base import parse_yaml, validated
from mixhub.spec.mixture import Mixture

_REVISION = re.compile(r"""\brevision\s*=\s*["']([^"']+)["']""")


def wrong_mixtures(subject: Subject) -> Iterator[Finding]:
    """Find mixtures that are not YAML, or that give other shares than the table in their section."""
    for code in subject.card.of_kind("code"):
        if code.language != "yaml" or not re.search(r"^train:", code.text, re.MULTILINE):
            continue
        try:
            data = parse_yaml(code.text, subject.card.source)
        except SpecError as error:
            message = f"the mixture is not valid YAML: {error.problems[0].rule}"
            yield subject.finding("mixture-malformed", message, HINT, line=code.line, about="train")
            continue
        try:
            weights = data.get("train") if isinstance(data, dict) else None
            shares = validated(Mixture, weights, subject.card.source).shares
        except SpecError:  # other settings of a training
            continue
        for table in subject.card.tables:
            column = share_column(table)
            if table.section == code.section and column is not None:
                yield from _share_differences(subject, shares, table, column)


def _share_differences(subject: Subject, shares: dict[str, float], table: Block, column: int) -> Iterator[Finding]:
    printed = {row[0].strip(): (table.line + 2 + at, row[column].strip()) for at, row in enumerate(table.rows)}
    differing = []
    for key, share in shares.items():
        domain = next((name for name in printed if name and (key == name or key.endswith(f"_{name}"))), key)
        line, text = printed.get(domain, (table.line, "absent"))
        figure = Figure.read(text)
        if domain not in printed or (figure and not figure.rounds(100 * share)):
            differing.append((line, domain, f"{domain}: the table says {text}, the mixture gives {100 * share:.4g}%"))
    if differing:  # one changed weight moves all shares
        line, domain, message = differing[0]
        more = f"; and {len(differing) - 1} more" if len(differing) > 1 else ""
        yield subject.finding("mixture-differs", f"{message}{more}", HINT, line=line, about=domain)


def headless_models(subject: Subject) -> Iterator[Finding]:
    """Find code that loads a language model without its head."""
    if subject.card.metadata.get("pipeline_tag") != "text-generation":
        return
    for line, text in _python_lines(subject):
        if "AutoModel.from_pretrained(" in text:
            message, hint = "AutoModel loads a model without its head", "use AutoModelForCausalLM"
            yield subject.finding("model-headless", message, hint, line=line, about="AutoModel")


def unlisted_revisions(subject: Subject) -> Iterator[Finding]:
    """Find code that loads a branch that the card does not list."""
    branches = {row[0].strip() for table in subject.card.tables if table.headers[0] == "Branch" for row in table.rows}
    numbered = {re.sub(r"\d+", "#", branch) for branch in branches}
    for line, text in _python_lines(subject):
        for name in _REVISION.findall(text):
            if name not in branches and re.sub(r"\d+", "#", name) in numbered:
                message = f"loads {name}, but the card lists {', '.join(sorted(branches))}"
                yield subject.finding("revision-unlisted", message, "use one of them", line=line, about=name)


def _python_lines(subject: Subject) -> Iterator[tuple[int, str]]:
    for code in subject.card.of_kind("code"):
        if code.language == "python":
            yield from enumerate(code.text.split("\n"), start=code.line + 1)


def broken_links(subject: Subject) -> Iterator[Finding]:
    """Find images and links to files that do not exist beside the card."""
    for link in subject.card.links:
        path = unquote(re.split("[#?]", link.address)[0])
        is_local = path and ":" not in path and path[0] != "/"
        # Path.exists raises if a name is too long.
        if subject.folder and is_local and not os.path.exists(subject.folder / path):  # noqa: PTH110
            message = f"{'image' if link.is_image else 'link'} {link.address}: no such file in {subject.folder}"
            hint = "add the file, or correct the path"
            yield subject.finding("link-broken", message, hint, line=link.line, about=link.address)
