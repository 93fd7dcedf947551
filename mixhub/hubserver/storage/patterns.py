"""The patterns of `.gitattributes` and `.gitignore`, and the rule that says which files are stored as large files."""

from __future__ import annotations

import re
from functools import lru_cache

LARGE_BYTES = 10 * 2**20
"""A file larger than this is stored by its sha256 beside git, whatever its name."""

SAMPLE_BYTES = 512
"""How much of a file's start tells whether it is binary."""

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
    """Whether a file is stored as a large file.

    Args:
        path: path in the repo.
        size: bytes.
        sample: the first bytes of the file.
        attributes: text of the repo's `.gitattributes`.
    """
    if size == 0:  # an empty file cannot be uploaded as a large one
        return False
    return size > LARGE_BYTES or b"\0" in sample or _has_lfs_filter(path, attributes)


def is_ignored(path: str, ignore: str) -> bool:
    """Whether the text of a `.gitignore` at the repo's root covers `path`; the last pattern that matches decides.

    As in git, a file below an ignored folder cannot be taken back by a later `!pattern`.
    """
    parts = path.split("/")
    folders = ["/".join(parts[:end]) for end in range(1, len(parts))]
    if any(_ignore_verdict(folder, ignore, is_folder=True) for folder in folders):
        return True
    return _ignore_verdict(path, ignore, is_folder=False)


def _ignore_verdict(path: str, ignore: str, *, is_folder: bool) -> bool:
    ignored = False
    for line in ignore.splitlines():
        pattern = line.rstrip()
        if not pattern or pattern.startswith("#"):
            continue
        negated = pattern.startswith("!")
        pattern = pattern[1:] if negated else pattern
        if pattern.endswith("/") and not is_folder:
            continue
        if _matches(path, pattern.rstrip("/")):
            ignored = not negated
    return ignored


def _has_lfs_filter(path: str, attributes: str) -> bool:
    large = False
    for line in attributes.splitlines():
        pattern, *settings = line.split() or [""]
        if not pattern or pattern.startswith("#"):
            continue
        for setting in settings:
            if setting == "filter=lfs" and _matches(path, pattern):
                large = True
            elif setting in ("-filter", "!filter", "filter") and _matches(path, pattern):
                large = False
    return large


def _matches(path: str, pattern: str) -> bool:
    # A pattern without a slash is about the last part of the path, wherever it lies.
    subject = path if "/" in pattern else path.rsplit("/", 1)[-1]
    return _compiled(pattern.lstrip("/")).fullmatch(subject) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    tokens = re.findall(r"\*\*/|/\*\*$|\*+|\?|\[[^\]/]+\]|\\.|.", pattern, re.DOTALL)
    try:
        return re.compile("".join(_token_regex(token) for token in tokens))
    except re.error:  # a bracket that git takes literally
        return re.compile(re.escape(pattern))


def _token_regex(token: str) -> str:
    fixed = {"**/": "(?:.*/)?", "/**": "/.*", "?": "[^/]"}
    if token in fixed:
        return fixed[token]
    if token[0] == "*":
        return "[^/]*"
    if token[0] == "[" and len(token) > 2:
        body = token[1:-1].replace("\\", r"\\")
        return f"[^{body[1:]}]" if body[0] == "!" else f"[{body}]"
    return re.escape(token[-1] if token[0] == "\\" else token)
