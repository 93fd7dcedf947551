"""Two measures of a document beside lm-eval's metrics: bits per byte of the right answer, and its probability among the
choices.

Both change earlier and more smoothly than accuracy, which is near chance for small models (Magnusson et al. 2025,
DataDecide; Heineman et al. 2025, Signal and Noise).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mixhub.workspace.records import ANSWER_PROBABILITY, BITS_PER_BYTE

MEASURES = (BITS_PER_BYTE, ANSWER_PROBABILITY)


def document_measures(task: Any, sample: Mapping[str, Any]) -> dict[str, float]:
    """Return the measures of one document; empty if a task has no right answer that is scored.

    With several right answers, bits per byte is of the likeliest, and probabilities are added.

    Args:
        task: lm-eval's task.
        sample: lm-eval's sample of the document, with `arguments` and `resps` as in `evaluate`.
    """
    if task.OUTPUT_TYPE == "loglikelihood":
        return {BITS_PER_BYTE: _bits_per_byte(sample["resps"][0][0][0], sample["arguments"][0][1])}
    if task.OUTPUT_TYPE != "multiple_choice":
        return {}
    document = sample["doc"]
    choices = task.doc_to_choice(document)
    right = _right_choices(task.doc_to_text(document) if task.multiple_input else task.doc_to_target(document), choices)
    # Mutual information makes more requests than there are choices.
    likelihoods = [response[0][0] for response in sample["resps"]][: len(choices)]
    right = [number for number in right if 0 <= number < len(likelihoods)]
    if not right:
        return {}
    best = max(right, key=likelihoods.__getitem__)
    return {
        BITS_PER_BYTE: _bits_per_byte(likelihoods[best], sample["arguments"][best][1]),
        ANSWER_PROBABILITY: _share(likelihoods, right),
    }


def cell_measures(documents: Iterable[Mapping[str, float]]) -> dict[str, float | int]:
    """Return mean, standard error and number of documents of each measure, over the documents that have it."""
    measures: dict[str, float | int] = {}
    measured = list(documents)
    for name in MEASURES:
        values = [document[name] for document in measured if name in document]
        if values:
            measures[name] = math.fsum(values) / len(values)
            measures[f"{name}_documents"] = len(values)
        if len(values) > 1:
            measures[f"{name}_stderr"] = statistics.stdev(values) / math.sqrt(len(values))
    return measures


def _right_choices(gold: object, choices: Sequence[str]) -> list[int]:
    """Return the numbers of the right choices, read as by lm-eval's `process_results`."""
    if isinstance(gold, list | tuple):
        return [number for one in gold for number in _right_choices(one, choices)]
    if isinstance(gold, str):
        return [list(choices).index(gold)] if gold in choices else []
    return [int(gold)] if isinstance(gold, int) else []


def _bits_per_byte(log_likelihood: float, text: str) -> float:
    return -log_likelihood / (math.log(2) * max(1, len(text.encode("utf-8", "surrogatepass"))))


def _share(log_likelihoods: Sequence[float], right: Sequence[int]) -> float:
    highest = max(log_likelihoods)
    shares = [math.exp(value - highest) for value in log_likelihoods]
    return math.fsum(shares[number] for number in set(right)) / math.fsum(shares)
