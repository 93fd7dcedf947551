from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from mixhub.errors import SpecError
from mixhub.spec import identifiers
from tests.refusals import broken, refused
from tests.tiny import tiny_family

CARD = {"title": "Tiny", "summary": "A family."}


@pytest.mark.parametrize(
    ("problem", "good"),
    [
        (identifiers.license_problem, ["mit", "apache-2.0", "other", "llama3.1", "openrail++"]),
        (identifiers.license_name_problem, ["my-licence", "0bsd", "a.b-1"]),
        (identifiers.license_link_problem, ["https://example.org/x", "LICENSE", "LICENSE.md", "LICENCE"]),
        (identifiers.language_problem, ["en", "de", "deu", "zh-Hant", "code", "multilingual"]),
        (identifiers.pipeline_tag_problem, ["text-generation", "fill-mask"]),
        (identifiers.library_problem, ["transformers", "some-new-library", "transformers.js"]),
        (identifiers.tag_problem, ["regmix", "data mixture", "Ω"]),
        (identifiers.arxiv_problem, ["2407.01492", "2407.01492v2", "hep-th/9901001", "math.GT/0309136"]),
    ],
)  # fmt: skip
def test_what_the_hub_takes(problem: Callable[[str], str | None], good: list[str]) -> None:
    assert [text for text in good if problem(text) is not None] == []


@pytest.mark.parametrize(
    ("problem", "bad", "said"),
    [
        (identifiers.license_problem, "apache2", "did you mean apache-2.0?"),
        (identifiers.license_problem, "MIT", "did you mean mit?"),
        (identifiers.license_problem, "proprietary stuff", "must be a licence identifier of the Hub"),
        (identifiers.license_name_problem, "My Licence", "lower-case"),
        (identifiers.license_link_problem, "see below", "must be an address"),
        (identifiers.license_link_problem, "LICENSE.safetensors", "must be an address"),
        (identifiers.language_problem, "english", "must be a language code"),
        (identifiers.language_problem, "xx", "must be a language code"),
        (identifiers.language_problem, "", "must be a language code"),
        (identifiers.pipeline_tag_problem, "text-generatoin", "did you mean text-generation?"),
        (identifiers.library_problem, "transformer", "did you mean transformers?"),
        (identifiers.library_problem, "a b", "must be the name of a library"),
        (identifiers.tag_problem, "a\nb", "on one line"),
        (identifiers.tag_problem, " ", "on one line"),
        (identifiers.tag_problem, "x" * 97, "at most 96"),
        (identifiers.arxiv_problem, "2407", "arXiv"),
    ],
)
def test_what_it_does_not(problem: Callable[[str], str | None], bad: str, said: str) -> None:
    found = problem(bad)
    assert found is not None
    assert said in found


@pytest.mark.parametrize(
    ("changes", "key", "code"),
    [
        ({"license": "apache2"}, "license", "value-format"),
        ({"license": "mit", "language": ["en", "xx"]}, "language.1", "value-format"),
        ({"license": "other"}, "license_name", "key-missing"),
        ({"license": "other", "license_name": "x"}, "license_link", "key-missing"),
        ({"license": "other", "license_name": "My L", "license_link": "LICENSE"}, "license_name", "value-format"),
        ({"license": "mit", "license_name": "x"}, "license_name", "keys-conflict"),
        ({"license": "mit", "tags": ["a", "a"]}, "tags", "value-repeated"),
        ({"license": "mit", "tags": ["a", ""]}, "tags.1", "value-format"),
        ({"license": "mit", "tags": ["arxiv:2407.01492"]}, "tags.0", "tag-reserved"),
        ({"license": "mit", "base_model": "no repo"}, "base_model", "value-format"),
    ],
)  # fmt: skip
def test_a_family_with_what_the_hub_does_not_take_is_refused(changes: dict[str, object], key: str, code: str) -> None:
    with refused("spec-invalid", SpecError) as caught:
        tiny_family(card={**CARD, **changes})
    assert broken(caught.value)[f"card.{key}"] == code


def test_a_licence_with_a_name() -> None:
    card = tiny_family(card={**CARD, "license": "other", "license_name": "x", "license_link": "LICENSE"}).card
    assert (card.license, card.license_name, card.license_link) == ("other", "x", "LICENSE")


def test_a_family_in_english_looks_into_no_registry() -> None:
    code = "import sys; from mixhub.spec import catalog; catalog.get('human-1b'); assert 'langcodes' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
