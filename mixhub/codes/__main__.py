"""Prints `docs/errors.md`."""

from mixhub.codes import page

print(page(), end="")
