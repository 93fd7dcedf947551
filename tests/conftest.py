"""Hub clients read their environment once, at import: what all tests share is set here, before any is imported."""

from __future__ import annotations

import os
import tempfile

_home = tempfile.TemporaryDirectory(prefix="mixhub-tests-")
for _name in [name for name in os.environ if name.startswith("HF_") or name.lower().endswith("_proxy")]:
    del os.environ[_name]
os.environ.update(
    HF_HOME=_home.name,
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    NO_PROXY="127.0.0.1,localhost",
)


pytest_plugins = ["tests.made"]


def pytest_unconfigure() -> None:
    """Deletes the home of the Hub clients."""
    _home.cleanup()
