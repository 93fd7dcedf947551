"""The version of mixhub."""

__version__ = "0.1.0"
