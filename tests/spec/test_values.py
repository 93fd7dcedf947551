"""Values that several fields share: what the Hub accepts in the metadata of a card."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from mixhub.errors import SpecError
from mixhub.spec import values
from tests.refusals import broken, refused
from tests.tiny import tiny_family

CARD = {"title": "Tiny", "summary": "A family."}


@pytest.mark.parametrize(
    ("kind", "good"),
    [
        (values.License, ["mit", "apache-2.0", "other", "llama3.1", "openrail++"]),
        (values.LicenseName, ["my-licence", "0bsd", "a.b-1"]),
        (values.LicenseLink, ["https://example.org/x", "LICENSE", "LICENSE.md", "LICENCE"]),
        (values.Language, ["en", "de", "deu", "zh-Hant", "code", "multilingual"]),
        (values.Tag, ["regmix", "data mixture", "Ω", "x" * 96]),
    ],
)
def test_accepted_values(kind: Any, good: list[str]) -> None:
    for text in good:
        assert TypeAdapter(kind).validate_python(text) == text


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (values.License, ["MIT", "proprietary stuff", "agpl-3.0-or-later", "gpl-3.0-only", ""]),
        (values.LicenseName, ["My Licence", "-a", "a" * 97]),
        (values.LicenseLink, ["see below", "LICENSE.safetensors", "https://"]),
        (values.Language, ["english", "", "e"]),
        (values.Tag, ["a\nb", " ", "", "x" * 97]),
    ],
)
def test_refused_values(kind: Any, bad: list[str]) -> None:
    for text in bad:
        with pytest.raises(ValidationError):
            TypeAdapter(kind).validate_python(text)


@pytest.mark.parametrize(
    ("changes", "key", "code"),
    [
        ({"license": "Apache 2"}, "license", "value-format"),
        ({"license": "mit", "language": ["en", "english"]}, "language.1", "value-format"),
        ({"license": "other"}, "license_name", "key-missing"),
        ({"license": "other", "license_name": "x"}, "license_link", "key-missing"),
        ({"license": "other", "license_name": "My L", "license_link": "LICENSE"}, "license_name", "value-format"),
        ({"license": "mit", "license_name": "x"}, "license_name", "keys-conflict"),
        ({"license": "mit", "tags": ["a", "a"]}, "tags", "value-repeated"),
        ({"license": "mit", "tags": ["a", ""]}, "tags.1", "value-format"),
        ({"license": "mit", "base_model": "no repo"}, "base_model", "value-format"),
    ],
)  # fmt: skip
def test_a_family_with_values_that_the_hub_refuses(changes: dict[str, object], key: str, code: str) -> None:
    with refused("spec-invalid", SpecError) as caught:
        tiny_family(card={**CARD, **changes})
    assert broken(caught.value)[f"card.{key}"] == code


def test_a_licence_with_a_name() -> None:
    card = tiny_family(card={**CARD, "license": "other", "license_name": "x", "license_link": "LICENSE"}).card
    assert (card.license, card.license_name, card.license_link) == ("other", "x", "LICENSE")
