"""Which documents the samples of a run have: the order of samples, and where documents end, say it without training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mixhub.data.documents import DocumentEnds
from mixhub.data.orders.base import Order
from mixhub.data.shards import TokenShards
from mixhub.spec import Family


@dataclass(frozen=True)
class SeenDocument:
    """A part of a document that a sample has."""

    step: int
    """The step that reads it, counted from 1 as in `metrics.jsonl`."""
    sample: int
    """Number of the sample in the run, from 0."""
    domain: str
    """Domain of the document, without prefix."""
    file: str
    """File of the document, relative to the corpus."""
    document: int
    """Number of the document among those that were packed of the file, from 1."""
    first: int
    """First token of the part, counted from 0 in the document."""
    tokens: int
    """Tokens of the part."""
    document_tokens: int
    """Tokens of the document, with its eos token."""
    text: str | None = None
    """The decoded part, if it was asked for."""


@dataclass(frozen=True)
class Sample:
    """A sample of a step."""

    step: int
    """The step that reads it, counted from 1."""
    number: int
    """Its number in the run, from 0."""
    domain: str
    """Its domain, without prefix."""
    start: int
    """Its first token, counted from the start of the domain's stream."""


class Samples:
    """What the steps of a run read.

    Args:
        family: the recipe.
        shards: the tokens.
        order: the order of the run's samples.
    """

    def __init__(self, family: Family, shards: TokenShards, order: Order) -> None:
        self._shards, self._order, self._size = shards, order, family.training.global_batch_size
        self._names = [key.removeprefix(family.data.train_prefix) for key in order.domains]
        self._ends = DocumentEnds(shards.folder, shards.manifest)

    def of_step(self, step: int) -> Sequence[Sample]:
        """Return the samples of a step, which is counted from 1, in their order."""
        first = (step - 1) * self._size
        domains, starts = self._order.samples(first, first + self._size)
        pairs = zip(domains.tolist(), starts.tolist(), strict=True)
        return [Sample(step, first + place, self._names[number], start) for place, (number, start) in enumerate(pairs)]

    def documents(self, sample: Sample, decode: Callable[[list[int]], str] | None = None) -> Iterator[SeenDocument]:
        """Yield the parts of documents that a sample has, in order, with their text if there is a decoder.

        A sample is one token longer than a sequence: its last token is only a target.

        Raises:
            CorpusError: the domain was packed by a version that kept no ends of documents, or shards are damaged.
        """
        stop, read = sample.start + self._shards.sequence_length + 1, sample.start
        row = self._shards.read("train", [sample.domain], np.array([sample.start]))[0] if decode else None
        for part in self._ends.parts(sample.domain, sample.start, stop):
            offset = read - sample.start
            text = decode(row[offset : offset + part.tokens].tolist()) if decode and row is not None else None
            read += part.tokens
            yield SeenDocument(
                step=sample.step,
                sample=sample.number,
                domain=sample.domain,
                file=part.source.name,
                document=part.document,
                first=part.first,
                tokens=part.tokens,
                document_tokens=part.document_tokens,
                text=text,
            )
