"""Which seeds of two families are pairs: those that share the initial weights or the order of the data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

from mixhub.errors import MixhubError
from mixhub.phrases import listed
from mixhub.spec import Family, Run
from mixhub.workspace.lineage import UNKNOWN, read_lineage
from mixhub.workspace.paths import Workspace


@dataclass(frozen=True)
class Origin:
    """What a run may share with a run of another family. None: unknown."""

    init_seed: int | None = None
    """Seed of the initial weights."""
    order_seed: int | None = None
    """Seed of the order of the data."""
    initial_weights: str | None = None
    """Hash of the initial weights."""


@dataclass(frozen=True)
class Pairs:
    """Seeds of two families that belong together."""

    rows: tuple[tuple[str, str], ...]
    """Revisions of A and of B."""
    shared: str
    """What each pair shares, in words."""


_MOST_NAMED = 3


def family_origins(family: Family, workspace: Workspace, runs: Iterable[Run]) -> Mapping[str, Origin]:
    """The origins of a family's runs, by revision: from the lineage of the export, or for runs that have none yet, from
    the seeds that `train` takes."""
    origins = {}
    for run in runs:
        folder = workspace.run_folder(run)
        if folder.metrics.is_file():
            origins[run.revision] = Origin(run.init_seed, run.order_seed)
        with suppress(MixhubError):
            lineage = read_lineage(folder.export(family.training.steps))
            known = (lineage.init_seed, lineage.order_seed, lineage.initial_weights_sha256)
            origins[run.revision] = Origin(*(None if value == UNKNOWN else value for value in known))  # type: ignore[arg-type]
    return MappingProxyType(origins)


def find_pairs(a: Mapping[str, Origin], b: Mapping[str, Origin]) -> Pairs | None:
    """Find the seeds of two families that share the initial weights, the seed of the data order, or both.

    Seeds are matched by the hash of the initial weights if it is known of all, else by the seed of the initial weights,
    else by that of the order; what all pairs share besides is named too.

    Returns:
        The pairs; None if fewer than two seeds have just one partner.
    """
    for key in ("initial_weights", "init_seed", "order_seed"):
        matched = _matched(a, b, key)
        if len(matched) < 2:
            continue
        pairs = [(a[one], b[other]) for one, other in matched]
        weights = all(_share(pair, "initial_weights") for pair in pairs)
        unknown = all(one.initial_weights is None or other.initial_weights is None for one, other in pairs)
        seeds = unknown and all(_share(pair, "init_seed") for pair in pairs)
        order = all(_share(pair, "order_seed") for pair in pairs)
        words = ["the initial weights"] if weights else ["the seed of the initial weights"] if seeds else []
        words += ["the seed of the data order"] if order else []
        if words:
            return Pairs(tuple(matched), listed(words, last="and"))
    return None


def named_pairs(a: Sequence[str], b: Sequence[str]) -> Pairs | None:
    """The rows that both families have by name; if there are none, those at the same place of equally many.

    Returns:
        The pairs; None for fewer than two.
    """
    rows, shared = [(one, one) for one in a if one in b], "their names"
    if not rows and len(a) == len(b):
        rows = list(zip(a, b, strict=True))
        shared = f"their places: {listed([f'{one} with {other}' for one, other in rows], most=_MOST_NAMED)}"
    return Pairs(tuple(rows), shared) if len(rows) > 1 else None


def _share(pair: tuple[Origin, Origin], key: str) -> bool:
    one, other = (getattr(origin, key) for origin in pair)
    return one is not None and one == other


def _matched(a: Mapping[str, Origin], b: Mapping[str, Origin], key: str) -> list[tuple[str, str]]:
    """The revisions with the same value, where just one of each family has it."""
    sides = []
    for origins in (a, b):
        by_value: dict[object, list[str]] = {}
        for revision, origin in origins.items():
            if (value := getattr(origin, key)) is not None:
                by_value.setdefault(value, []).append(revision)
        sides.append({value: own[0] for value, own in by_value.items() if len(own) == 1})
    return [(revision, sides[1][value]) for value, revision in sides[0].items() if value in sides[1]]
