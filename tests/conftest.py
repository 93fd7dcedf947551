"""Hub clients read their environment once, at import: what all tests share is set here, before any is imported."""

from __future__ import annotations

import os
import tempfile

from hypothesis import HealthCheck, settings

_home = tempfile.TemporaryDirectory(prefix="mixhub-tests-")
for _name in [name for name in os.environ if name.startswith("HF_") or name.lower().endswith("_proxy")]:
    del os.environ[_name]
for _name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):  # a shell may export them: tests set what they need
    os.environ.pop(_name, None)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run beside each other, and their models are tiny
os.environ.update(
    HF_HOME=_home.name,
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    NO_PROXY="127.0.0.1,localhost",
)


# No time limit on an example, since machines are shared; the same examples each time, unless one goes exploring
# with --hypothesis-profile=explore.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("steady", settings.get_profile("explore"), derandomize=True)
settings.load_profile("steady")

pytest_plugins = ["tests.commands", "tests.faults", "tests.made", "tests.measured"]


def pytest_unconfigure() -> None:
    """Deletes the home of the Hub clients."""
    _home.cleanup()
