"""Refused requests, as HTTP statuses and headers.

Clients tell a missing repo, revision and file apart by the header `X-Error-Code`, not by the status.
"""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - an answer of the protocol, not a fault of the program
    """A request that the hub refuses.

    Args:
        message: one line for the user of the client.
        headers: more response headers.
    """

    status = 400
    code: str | None = None

    def __init__(self, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers = headers or {}

    def http_headers(self) -> dict[str, str]:
        """Return the headers that clients read; header values are ASCII on one line."""
        text = " ".join(self.message.split()).encode("ascii", "backslashreplace").decode()
        coded = {"X-Error-Code": self.code} if self.code else {}
        return {**self.headers, "X-Error-Message": text, **coded}


class BadRequest(Refusal):
    """The request breaks a rule; retrying will not help."""


class Unauthorized(Refusal):
    """The request writes and carries no token."""

    status = 401

    def http_headers(self) -> dict[str, str]:
        """Add the message by which clients tell a missing token from a missing repo."""
        return {**super().http_headers(), "X-Error-Message": "Invalid credentials in Authorization header"}


class Forbidden(Refusal):
    """Nobody may do this, for example delete `main`."""

    status = 403


class NotFound(Refusal):
    """No such route or object."""

    status = 404


class RepoNotFound(NotFound):
    """The hub has no such repo."""

    code = "RepoNotFound"


class RevisionNotFound(NotFound):
    """The repo has no such branch, tag or commit."""

    code = "RevisionNotFound"


class EntryNotFound(NotFound):
    """The revision has no such file or folder."""

    code = "EntryNotFound"


class Conflict(Refusal):
    """The repo, branch or tag already exists."""

    status = 409


class Stale(Refusal):
    """The branch is no longer at the commit that the client named as parent."""

    status = 412


class TooLarge(Refusal):
    """The request is larger than the hub reads into memory."""

    status = 413
