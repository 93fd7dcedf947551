import pytest

from mixhub.spec import catalog
from mixhub.spec.flops import flops_per_token

HUMAN = catalog.get("human-1b")


def test_flops_of_a_token_are_those_of_the_formula() -> None:
    assert flops_per_token(HUMAN.architecture, 2048) == 6 * (1_337_026_560 - 50432 * 2048) + 12 * 22 * 2048 * 2048
    assert flops_per_token(HUMAN.architecture, 2048) == pytest.approx(8.51e9, rel=1e-3)
    tied = HUMAN.architecture.model_copy(update={"tie_word_embeddings": True})
    assert flops_per_token(tied, 2048) == flops_per_token(HUMAN.architecture, 2048), "the head is a product either way"
