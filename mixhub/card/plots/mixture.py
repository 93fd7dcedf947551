"""The plot of mixtures: the share of each domain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from mixhub.card.markdown import figures
from mixhub.card.plots.dots import draw_mixture
from mixhub.card.plots.plot import Plot, number, some
from mixhub.phrases import listed, plural
from mixhub.spec.mixture import Mixture

_MAX_DOMAINS = 40
_MAX_MARKED = 4
"""Mixtures up to this number have a marker each."""
_LOGARITHMIC = 50
"""The scale is logarithmic if the largest share is this many times the smallest."""


def mixture_plot(mixtures: Mapping[str, Mixture], train_prefix: str, name: str = "") -> Plot | None:
    """Plot the shares of the domains: bars for one mixture, markers for up to four, strips for more; None for none.

    Args:
        mixtures: by name.
        train_prefix: prefix of the domain keys, which is not shown.
        name: of the family, if all mixtures are of one; several mixtures are otherwise named in the title.
    """
    if not mixtures:
        return None
    shares = {name: mixture.shares for name, mixture in mixtures.items()}
    means = {key: fmean(one.get(key, 0.0) for one in shares.values()) for one in shares.values() for key in one}
    domains = sorted(means, key=lambda domain: (-means[domain], domain))
    rows = [
        {
            "label": domain.removeprefix(train_prefix),
            "values": [number(100 * one[domain]) if domain in one else None for one in shares.values()],
            "mean": number(100 * means[domain]),
        }
        for domain in domains[:_MAX_DOMAINS]
    ]
    one = len(mixtures) == 1
    title = f"{next(iter(mixtures))}: the mixture" if one else _title(list(mixtures), name)
    drawn = [mixture[domain] for mixture in shares.values() for domain in domains[:_MAX_DOMAINS] if domain in mixture]
    is_logarithmic = not one and max(drawn) >= _LOGARITHMIC * min(drawn)
    data = {
        "subtitle": f"Shares of training tokens in percent, {plural(len(domains), 'domain')}"
        + ("; the scale is logarithmic." if is_logarithmic else "."),
        "unit": "share of training tokens, %",
        "names": list(mixtures),
        "marked": len(mixtures) <= _MAX_MARKED,
        "logarithmic": is_logarithmic,
        "rows": rows,
        "notes": _notes(mixtures, domains, train_prefix),
    }
    alt = f"{'Bar chart' if one else 'Dot plot'}. {title}. {data['subtitle']} {_summary(rows)}"
    return Plot("mixture", draw_mixture, title, alt, data)


def _title(names: Sequence[str], family: str) -> str:
    if family:
        return f"{family}: {len(names)} mixtures"
    if len(names) <= _MAX_MARKED:
        return f"Mixtures of {listed(names, last='and')}"
    return f"{len(names)} mixtures"


def _notes(mixtures: Mapping[str, Mixture], domains: Sequence[str], prefix: str) -> list[str]:
    notes = []
    if rest := domains[_MAX_DOMAINS:]:
        share = max(math.fsum(mixture.shares.get(domain, 0.0) for domain in rest) for mixture in mixtures.values())
        most = "" if len(mixtures) == 1 else "at most "
        notes.append(f"Not drawn: {len(rest)} smaller domains, {most}{figures.percent(share)} together.")
    keys = dict.fromkeys(key for mixture in mixtures.values() for key in mixture.domain_weights)
    if never := [key.removeprefix(prefix) for key in keys if key not in domains]:
        notes.append(f"Not sampled: {some(never)}.")
    if any(len(mixture.shares) < len(domains) for mixture in mixtures.values()):
        notes.append("Where a mixture has no mark, it does not sample the domain.")
    return notes


def _summary(rows: Sequence[Mapping[str, Any]]) -> str:
    shown = []
    for row in rows:
        known = [(value or 0.0) / 100 for value in row["values"]]
        ends = dict.fromkeys(figures.percent(share) for share in (min(known), max(known)))
        shown.append(f"{row['label']} {' to '.join(ends)}")
    return f"Largest: {', '.join(shown[:3])}" + (f"; smallest: {shown[-1]}." if len(shown) > 3 else ".")
