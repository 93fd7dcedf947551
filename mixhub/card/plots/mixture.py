"""The plot of mixtures: the share of each domain."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from mixhub.card.markdown import figures
from mixhub.card.plots.plot import Plot, number, some
from mixhub.phrases import plural
from mixhub.spec.mixture import Mixture

_MOST_DOMAINS = 40
"""Rows of a mixture."""
_SIDE_BY_SIDE = 4
"""Mixtures up to so many have a marker each."""


def mixture_plot(mixtures: Mapping[str, Mixture], train_prefix: str) -> Plot | None:
    """The shares of the domains: bars for one mixture, markers for up to four, strips for more; None for no mixture.

    Args:
        mixtures: by name.
        train_prefix: what the domain keys begin with, which is not shown.
    """
    if not mixtures:
        return None
    shares = {name: mixture.shares for name, mixture in mixtures.items()}
    domains = sorted(
        {domain for own in shares.values() for domain in own},
        key=lambda domain: (-fmean(own.get(domain, 0.0) for own in shares.values()), domain),
    )
    shown = domains[:_MOST_DOMAINS]
    rows = [
        {
            "label": domain.removeprefix(train_prefix),
            "values": [number(100 * own[domain]) if domain in own else None for own in shares.values()],
            "mean": number(100 * fmean(own.get(domain, 0.0) for own in shares.values())),
        }
        for domain in shown
    ]
    names = list(mixtures)
    one = len(names) == 1
    title = f"{names[0]}: the mixture" if one else f"{len(names)} mixtures"
    data = {
        "subtitle": f"Shares of training tokens in percent, {plural(len(domains), 'domain')}"
        + ("." if one else "; the scale is logarithmic."),
        "unit": "share of training tokens, %",
        "names": names,
        "marked": len(names) <= _SIDE_BY_SIDE,
        "rows": rows,
        "notes": list(_mixture_notes(mixtures, domains, train_prefix)),
    }
    form = "Bar chart" if one else "Dot plot"
    alt = f"{form}. {title}. {data['subtitle']} {_mixture_said(rows, len(names))}"
    return Plot("mixture", "mixture", title, alt, data)


def _mixture_notes(mixtures: Mapping[str, Mixture], domains: Sequence[str], prefix: str) -> Iterator[str]:
    if rest := domains[_MOST_DOMAINS:]:
        share = max(math.fsum(mixture.shares.get(domain, 0.0) for domain in rest) for mixture in mixtures.values())
        most = "" if len(mixtures) == 1 else "at most "
        yield f"Not drawn: {len(rest)} smaller domains, {most}{figures.percent(share)} together."
    every = dict.fromkeys(key for mixture in mixtures.values() for key in mixture.domain_weights)
    if never := [key.removeprefix(prefix) for key in every if key not in set(domains)]:
        yield f"Not sampled: {some(never)}."
    if len(mixtures) > 1 and any(set(mixture.shares) != set(domains) for mixture in mixtures.values()):
        yield "Where a mixture has no mark, it does not sample the domain."


def _mixture_said(rows: Sequence[Mapping[str, Any]], mixtures: int) -> str:
    if mixtures == 1:
        shares = [f"{row['label']} {figures.percent(row['values'][0] / 100)}" for row in (*rows[:3], *rows[3:][-1:])]
        if len(rows) <= 4:
            return f"{', '.join(shares)}."
        return f"Largest: {', '.join(shares[:3])}; smallest: {shares[3]}."
    said = []
    for row in rows[:3]:
        known = [value / 100 for value in row["values"] if value is not None]
        said.append(f"{row['label']} {figures.percent(min(known))} to {figures.percent(max(known))}")
    return f"Largest on average: {', '.join(said)}."
