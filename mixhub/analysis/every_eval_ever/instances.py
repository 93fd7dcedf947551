"""Samples of lm-eval as instances: a row for each document and metric."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os.path import commonprefix
from typing import Any

from mixhub.analysis.every_eval_ever.schema import (
    VERSION,
    Attribution,
    Evaluation,
    EvaluationLog,
    Input,
    Instance,
    Output,
)
from mixhub.analysis.samples import all_samples
from mixhub.workspace.cells import MEASURES_KEY
from mixhub.workspace.records import ACCURACIES, Record, is_share, main_metric

_OF_CORPUS = re.compile(r"\w*perplexity|bleu|chrf|ter")
"""Metrics of all documents together, of which a sample has no score."""
_HASHES = ("doc_hash", "prompt_hash", "target_hash")


def instances(record: Record, log: EvaluationLog, delimiter: str) -> Iterator[Instance]:
    """The rows of a cell with samples, in the order of the samples.

    Args:
        record: the cell.
        log: its record, to which the rows belong.
        delimiter: the task's text between prompt and answer.

    Raises:
        ResultsError: the samples are malformed.
    """
    assert record.samples is not None
    names = {one.evaluation_result_id: one.evaluation_name for one in log.evaluation_results}
    for sample in all_samples(record.samples):
        question = Question.of(sample, delimiter)
        for result_id, metric, score in _scores(sample):
            if result_id not in names:
                continue
            answer = question.answer(metric, sample.get(metric))
            yield Instance(
                schema_version=VERSION,
                evaluation_id=log.evaluation_id,
                model_id=log.model_info.id,
                evaluation_name=names[result_id],
                evaluation_result_id=result_id,
                sample_id=str(sample.get("doc_id")),
                sample_hash=hashlib.sha256("".join((question.prompt, *question.right)).encode()).hexdigest(),
                interaction_type="single_turn",
                input=Input(raw=question.prompt, reference=question.right, choices=question.choices or None),
                output=Output(raw=question.generated or answer),
                answer_attribution=tuple(_attribution(sample, question, answer, metric)),
                evaluation=Evaluation(score=score, is_correct=_is_correct(sample, metric, score)),
                metadata=_metadata(sample, question),
            )


def _scores(sample: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    """The id of each result that a sample counts for, its metric, and the sample's score."""
    used = sample.get("filter", "none")
    listed = sample.get("metrics")
    names = map(str, listed) if isinstance(listed, list) else [name for name in ACCURACIES if name in sample]
    for name in names:
        if isinstance(score := sample.get(name), int | float) and not _OF_CORPUS.fullmatch(name):
            yield result_id(name if used == "none" else f"{name},{used}"), name, float(score)
    if used == "none":
        for name, score in (sample.get(MEASURES_KEY) or {}).items():
            if score is not None:
                yield result_id(name), name, float(score)


def result_id(metric: str) -> str:
    """What joins the rows of a metric to its result: the metric, and after a colon its filter."""
    return metric.replace(",", ":", 1)


def _is_correct(sample: Mapping[str, Any], metric: str, score: float) -> bool:
    """Whether the answer is right by the metric, or by the main one if the metric is not of right answers."""
    if metric in sample and is_share(metric, score):
        return score == 1
    shares = {name: float(sample[name]) for name in ACCURACIES if isinstance(sample.get(name), int | float)}
    main = main_metric(shares)
    return main is not None and shares[main] == 1


@dataclass(frozen=True)
class Question:
    """What a document asks of the model, and what the model answered."""

    prompt: str
    """The text before the answer."""
    choices: tuple[str, ...]
    """The answers that the model chooses among; empty if there are none."""
    right: tuple[str, ...]
    """The right answers."""
    likelihoods: tuple[float, ...]
    """Log-likelihoods of the choices, or of the right answer."""
    lengths: tuple[int, ...]
    """Characters of the choices."""
    generated: tuple[str, ...]
    """Text that the model generated."""

    @classmethod
    def of(cls, sample: Mapping[str, Any], delimiter: str) -> Question:
        """Read a sample of any version of lm-eval."""
        requests = _requests(sample.get("arguments"))
        requests = [one for one in requests if one[0]] or requests  # mutual information repeats them without prompts
        targets = _targets(sample.get("target"))
        answers = [text for _, text in requests if text is not None]
        prompts = [prompt for prompt, _ in requests]
        if len(answers) < len(requests) or not requests:
            return cls("".join(prompts[:1]), (), targets, (), (), tuple(_texts(sample.get("resps"))))
        likelihoods = tuple(_likelihoods(sample.get("filtered_resps")))[: len(requests)]
        if len(requests) == 1:
            return cls(prompts[0], (), targets, likelihoods, (), ())
        shared = commonprefix(prompts)  # noqa: RUF071 (not paths)
        prompt = shared if len({*prompts}) == 1 else re.sub(r"\S*\Z", "", shared)  # whole words only
        choices = tuple((one + text)[len(prompt) :].strip() for one, text in zip(prompts, answers, strict=True))
        right = tuple(_chosen(one, choices) for one in targets)
        lengths = tuple(len(text.removeprefix(delimiter)) for text in answers)
        return cls(prompt, choices, right, likelihoods, lengths, ())

    def answer(self, metric: str, score: object) -> tuple[str, ...]:
        """The choice that counts for `acc` or `acc_norm`; empty if it does not follow from the sample."""
        if metric not in ACCURACIES or not self.choices or len(self.likelihoods) != len(self.choices):
            return ()
        lengths = self.lengths if metric == "acc_norm" else (1,) * len(self.choices)
        scores = [value / max(length, 1) for value, length in zip(self.likelihoods, lengths, strict=True)]
        chosen = self.choices[scores.index(max(scores))]
        if {*self.right}.isdisjoint(self.choices):  # so that the score cannot confirm it
            return (chosen,) if metric == "acc" else ()
        return (chosen,) if (chosen in self.right) == (score == 1) else ()


def _chosen(target: str, choices: tuple[str, ...]) -> str:
    """The choice that a target names by its number or its text; the target itself if it names none."""
    if target.isdecimal() and int(target) < len(choices):
        return choices[int(target)]
    return target.strip() if target.strip() in choices else target


def _requests(arguments: Any) -> list[tuple[str, str | None]]:
    """Prompt and answer of each request: lm-eval writes lists, or since 0.4.3 mappings; None if there is no answer."""
    every = list(arguments.values()) if isinstance(arguments, Mapping) else arguments
    requests = []
    for one in every if isinstance(every, list) else ():
        parts = list(one.values()) if isinstance(one, Mapping) else one if isinstance(one, list) else [one]
        text = parts[1] if len(parts) > 1 and isinstance(parts[1], str) else None
        requests.append(("".join(map(str, parts[:1])), text))
    return requests


def _targets(target: Any) -> tuple[str, ...]:
    if target is None:
        return ()
    return tuple(map(str, target)) if isinstance(target, list) else (str(target),)


def _texts(responses: Any) -> Iterator[str]:
    """The texts in nested lists of responses."""
    if isinstance(responses, str):
        yield responses
    elif isinstance(responses, list):
        for one in responses:
            yield from _texts(one)


def _likelihoods(responses: Any) -> Iterator[float]:
    """The log-likelihoods, which versions of lm-eval write as number or as text, alone or first in a list."""
    for one in responses if isinstance(responses, list) else ():
        while isinstance(one, list) and one:
            one = one[0]
        try:
            yield float(one)
        except (TypeError, ValueError):
            return


def _attribution(
    sample: Mapping[str, Any], question: Question, answer: tuple[str, ...], metric: str
) -> Iterator[Attribution]:
    """How the answer came from the output: of choices the likeliest, of text what the filter found."""
    method = f"highest log-likelihood{' per character' if metric == 'acc_norm' else ''}"
    if question.generated:
        answer = tuple(_texts(sample.get("filtered_resps")))[:1]
        method = str(sample.get("filter", "none"))
    for value in answer:
        yield Attribution(
            turn_idx=0, source="output.raw", extracted_value=value, extraction_method=method, is_terminal=True
        )


def _metadata(sample: Mapping[str, Any], question: Question) -> dict[str, str]:
    found = {name: str(sample[name]) for name in _HASHES if sample.get(name)}
    found["filter"] = str(sample.get("filter", "none"))
    if question.likelihoods:
        found["log_likelihoods"] = json.dumps(question.likelihoods)
    return found
