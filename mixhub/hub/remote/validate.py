"""A card, checked by a hub as it will be when it is pushed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixhub.endpoint import Endpoint
from mixhub.errors import HubError, HubUnreachableError
from mixhub.hub.remote.client import hub_errors

_PATH = "/api/validate-yaml"
_SECONDS = 30
"""Of silence, after which a hub is not there."""


@dataclass(frozen=True)
class Answer:
    """What a hub says of a card."""

    errors: tuple[str, ...]
    """What it refuses the card for; empty when it takes it."""
    warnings: tuple[str, ...]
    """What it says of it all the same."""


def validate(endpoint: Endpoint, card: str) -> Answer:
    """Asks a hub whether it takes a card; nothing is written there.

    The hub's own address is asked, unlike by `ModelCard.validate`, which knows huggingface.co alone; the token of the
    endpoint goes there and nowhere else.

    Args:
        endpoint: the hub.
        card: the whole text of the card.

    Raises:
        HubUnreachableError: nothing answers there, or HF_HUB_OFFLINE is set.
        HubError: the hub does not check cards, or its answer cannot be understood.
    """
    from huggingface_hub import errors, get_session

    from mixhub.hub.remote.huggingface_private import build_hf_headers

    headers = build_hf_headers(token=endpoint.token, library_name="mixhub")
    body = {"repoType": "model", "content": card}
    with hub_errors(endpoint, "the card"):
        try:
            response = get_session().post(f"{endpoint.url}{_PATH}", json=body, headers=headers, timeout=_SECONDS)
        except errors.OfflineModeIsEnabled:
            raise HubUnreachableError(
                f"{endpoint}: HF_HUB_OFFLINE is set, so it cannot be asked",
                code="hub-offline",
                hint="unset HF_HUB_OFFLINE, or check without --validate",
                endpoint=endpoint.url,
            ) from None
        if response.status_code not in (200, 400):
            raise _no_answer(endpoint, response.status_code)
        answer = response.json()
        verdict = Answer(_messages(answer["errors"]), _messages(answer.get("warnings", [])))
    if response.status_code == 400 and not verdict.errors:
        raise _no_answer(endpoint, response.status_code)
    return verdict


def _no_answer(endpoint: Endpoint, status: int) -> HubError:
    return HubError(
        f"{endpoint}: did not check the card (status {status})",
        code="validation-refused",
        hint="is this the address of a hub? try again, or check without --validate",
        endpoint=endpoint.url,
        status=status,
    )


def _messages(said: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """Messages, each one line; raises TypeError or KeyError when they are none."""
    return tuple(" ".join(item["message"].split()) for item in said)
