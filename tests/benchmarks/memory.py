"""Memory of this process, in MB; for children of a benchmark, whose `ru_maxrss` begins with that of their parent."""

import re
from pathlib import Path


def resident() -> float:
    """What it holds now."""
    return _status("VmRSS")


def peak() -> float:
    """The most that it has held."""
    return _status("VmHWM")


def _status(key: str) -> float:
    match = re.search(rf"{key}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1]) * 1024 / 1e6
