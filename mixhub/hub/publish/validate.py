"""Validation of a card by a hub, as in a push."""

from __future__ import annotations

from dataclasses import dataclass

from mixhub.endpoint import Endpoint
from mixhub.errors import HubError
from mixhub.hub.remote.client import hub_errors


@dataclass(frozen=True)
class Answer:
    """A hub's report on a card."""

    errors: tuple[str, ...]
    """Reasons to refuse the card; empty if the hub accepts it."""
    warnings: tuple[str, ...]
    """Remarks on a card that it accepts."""


def validate(endpoint: Endpoint, card: str) -> Answer:
    """Ask a hub whether it accepts the text of a card; nothing is written there.

    Unlike `ModelCard.validate`, which knows only huggingface.co, this asks the endpoint, with its token.

    Raises:
        HubUnreachableError: nothing answers, or HF_HUB_OFFLINE is set.
        HubError: the hub does not check cards, or its answer cannot be understood.
    """
    from huggingface_hub import get_session

    from mixhub.hub.remote.huggingface_private import build_hf_headers

    headers = build_hf_headers(token=endpoint.token, library_name="mixhub")
    body = {"repoType": "model", "content": card}
    with hub_errors(endpoint, "the card"):
        response = get_session().post(f"{endpoint.url}/api/validate-yaml", json=body, headers=headers, timeout=30)
        errors: tuple[str, ...] = ()
        if response.status_code in (200, 400):
            answer = response.json()
            errors, warnings = (
                tuple(" ".join(item["message"].split()) for item in items)
                for items in (answer["errors"], answer.get("warnings", []))
            )
        if response.status_code == 200 or errors:
            return Answer(errors, warnings)
    message = f"{endpoint}: did not check the card (status {response.status_code})"
    hint = "check the address of the hub and try again, or omit --validate"
    raise HubError(message, code="validation-refused", hint=hint, endpoint=endpoint.url)
