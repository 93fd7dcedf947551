"""Commands, as the tests of the command line run them."""

from tests.cli.conftest import mixhub, mixhub_here

__all__ = ["mixhub", "mixhub_here"]
