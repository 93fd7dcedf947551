"""The patterns of `.gitattributes` and `.gitignore`, and the rule for which files are stored as large files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

LARGE_BYTES = 10 * 2**20
"""A larger file is stored by its sha256 beside git, whatever its name."""
SAMPLE_BYTES = 512
"""How many bytes at the start of a file decide whether it is binary."""

_ESCAPED = re.compile(r"\\(.)")
_TRAILING_SPACE = re.compile(r"(?<!\\)\s+$")
_LARGE_SUFFIXES = (
    "7z arrow bin bz2 ckpt ftz gguf gz h5 joblib lz4 mlmodel model msgpack npy npz onnx ot parquet pb pickle pkl pt "
    "pth rar safetensors tar tflite tgz wasm xz zip zst"
)

DEFAULT_ATTRIBUTES = "".join(
    f"{pattern} filter=lfs diff=lfs merge=lfs -text\n"
    for pattern in [*(f"*.{suffix}" for suffix in _LARGE_SUFFIXES.split()), "saved_model/**/*", "*tfevents*"]
)
"""The `.gitattributes` of a new repo."""


def is_large(path: str, size: int, sample: bytes, attributes: str) -> bool:
    """Return whether a file is stored as a large file.

    Args:
        path: path in the repo.
        size: bytes.
        sample: the first bytes of the file.
        attributes: text of the repo's `.gitattributes`.
    """
    if size == 0:  # an empty file cannot be uploaded as a large file
        return False
    return size > LARGE_BYTES or b"\0" in sample or _has_lfs_filter(path, attributes)


def is_ignored(path: str, ignore: str) -> bool:
    """Return whether the text of a `.gitignore` covers `path`; the last matching pattern decides.

    As in git, a later `!pattern` does not restore a file below an ignored folder.
    """
    parts = path.split("/")
    return any(_matches_ignore(parts[:end], ignore, is_folder=end < len(parts)) for end in range(1, len(parts) + 1))


def _matches_ignore(parts: Sequence[str], ignore: str, *, is_folder: bool) -> bool:
    ignored = False
    for line in ignore.splitlines():
        pattern = _TRAILING_SPACE.sub("", line)
        if not pattern or pattern.startswith("#") or (pattern.endswith("/") and not is_folder):
            continue
        if _matches(parts, pattern.removeprefix("!").rstrip("/")):
            ignored = not pattern.startswith("!")
    return ignored


def _has_lfs_filter(path: str, attributes: str) -> bool:
    large = False
    for line in attributes.splitlines():
        pattern, *settings = line.split() or ["#"]
        filters = [setting for setting in settings if setting.lstrip("-!").partition("=")[0] == "filter"]
        if filters and not pattern.startswith("#") and _matches(path.split("/"), pattern):
            large = filters[-1] == "filter=lfs"
    return large


def _matches(parts: Sequence[str], pattern: str) -> bool:
    """Match the parts of a path; a pattern without a slash matches its last part, in any folder."""
    return _match(parts, pattern.lstrip("/").split("/") if "/" in pattern else ["**", pattern])


def _match(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    if not patterns or not parts:
        return not patterns and not parts
    if patterns[0] == "**":
        return len(patterns) == 1 or any(_match(parts[start:], patterns[1:]) for start in range(len(parts)))
    return fnmatchcase(parts[0], _for_fnmatch(patterns[0])) and _match(parts[1:], patterns[1:])


def _for_fnmatch(pattern: str) -> str:
    """Return a part of git's pattern as fnmatch takes it: without backslashes and named classes."""
    pattern = pattern.replace("[[:space:]]", " ")
    return _ESCAPED.sub(lambda match: f"[{match[1]}]" if match[1] in "*?[" else match[1], pattern)
