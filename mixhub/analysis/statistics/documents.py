"""Means over documents, which may vary together in clusters: as questions on one passage do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mixhub.analysis.statistics.values import require_values, without_rounding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from mixhub.analysis.statistics.values import Array


def clustered_stderr(values: ArrayLike, clusters: ArrayLike | None = None) -> float | None:
    """Standard error of a mean over documents: this checkpoint on other documents.

    Without clusters sd / sqrt(D); with them the cluster-robust error of Miller 2024 (arXiv 2411.00640, section 2.2),
    sqrt(sum over clusters of the square of summed deviations) / D, times the root of G / (G - 1), without which few
    clusters are too sure of themselves. Clusters of one document each give the former.

    Args:
        values: (D,), the value of each document.
        clusters: (D,), documents with the same number vary together.

    Returns:
        The standard error; None for fewer than two documents or clusters.

    Raises:
        ValueError: shapes that do not fit, or a value that is not finite.
    """
    rows = require_values(values)[None]
    codes = cluster_codes(clusters, rows.shape[1])
    if count_units(codes, rows.shape[1]) < 2:
        return None
    deviations = without_rounding(rows - rows.mean(), rows)
    return math.sqrt(variances_of_means(deviations, codes)[0])


def cluster_codes(clusters: ArrayLike | None, documents: int) -> NDArray[np.int64] | None:
    """(D,), the clusters numbered from 0."""
    import numpy as np

    if clusters is None:
        return None
    array = np.asarray(clusters)
    if array.shape != (documents,):
        raise ValueError(f"{documents} documents need as many cluster numbers, got the shape {array.shape}")
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def count_units(codes: NDArray[np.int64] | None, documents: int) -> int:
    """What varies independently: clusters where there are any, else documents."""
    return documents if codes is None else int(codes.max()) + 1


def variances_of_means(deviations: Array, codes: NDArray[np.int64] | None) -> list[float]:
    """The variance of each row's mean over documents (or clusters) from its deviations from that mean.

    Args:
        deviations: (R, D), each row sums to 0.
        codes: (D,), from `cluster_codes`.
    """
    import numpy as np

    units = count_units(codes, deviations.shape[1])
    factor = units / (units - 1) / deviations.shape[1] ** 2
    sums = deviations if codes is None else [np.bincount(codes, row) for row in deviations]
    return [factor * float(np.dot(row, row)) for row in sums]
