"""A model that does not load, or does not write, is found."""

from types import SimpleNamespace

import pytest
import torch

from mixhub.errors import ExportError
from mixhub.hub.check.loading import LOADING_HINT, loading_findings
from mixhub.hub.load import opening
from tests.hub.seen import seen


def test_a_model_that_loads_and_writes(bench):
    assert list(loading_findings("seed-1", bench.export())) == []


def test_a_model_that_gives_no_numbers(bench):
    bench.weights(lambda tensors: tensors["lm_head.weight"].fill_(float("nan")))
    [found] = loading_findings("seed-1", bench.export())
    assert (found.code, found.where, found.hint == LOADING_HINT) == ("load-failed", "seed-1", False)


@pytest.mark.parametrize("hint", [None, "take another one"])
def test_a_model_that_cannot_be_opened(tmp_path, monkeypatch, hint):
    def refuse(*_):
        raise ExportError("cannot be opened", code="weights-malformed", hint=hint)

    monkeypatch.setattr(opening, "open_folder", refuse)
    found = list(loading_findings("seed-1", tmp_path))
    assert seen(found, "seed-1") == ["load-failed"]
    assert found[0].hint == (hint or LOADING_HINT)


class Fake:
    """A model of its own code, which writes a number of tokens."""

    def __init__(self, tokens: int | None):
        self.tokens = tokens

    def __call__(self, input_ids: torch.Tensor):
        return SimpleNamespace(logits=torch.zeros(1, input_ids.shape[1], 3))

    def generate(self, ids: torch.Tensor, **_) -> torch.Tensor:
        if self.tokens is None:
            raise RuntimeError("own code\nof many lines")
        return torch.cat([ids, torch.zeros(1, self.tokens, dtype=ids.dtype)], dim=1)


@pytest.mark.parametrize(
    ("tokens", "said"),
    [(8, None), (7, "7 tokens instead of 8"), (9, "9 tokens instead of 8"), (None, "RuntimeError: own code")],
)
def test_a_model_that_does_not_write(tmp_path, monkeypatch, tokens, said):
    def tokenizer(text: str, return_tensors: str):
        return SimpleNamespace(input_ids=torch.ones(1, len(text), dtype=torch.int64))

    monkeypatch.setattr(opening, "open_folder", lambda *_: (Fake(tokens), tokenizer))
    found = list(loading_findings("seed-1", tmp_path))
    assert seen(found, "seed-1") == ([] if said is None else ["load-failed"])
    assert all(said in finding.message for finding in found)
