"""The code blocks of a page, and a reader who does what they say."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", *(str(page.relative_to(ROOT)) for page in sorted(ROOT.glob("docs/**/*.md")))]
"""Every page, by its path in the repository."""

_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.M | re.S)
_CALL = re.compile(r"(?:^|&& |-m )mixhub (.+?)(?= && |'?$)")
_VARIABLE = re.compile(r"\b[0-9a-f]{7,40}\b|\d+([.,:]\d+)*|─+")
"""What differs from run to run in an output: hashes, numbers, and how wide a table is."""


@dataclass(frozen=True)
class Block:
    """A fenced block: what it is written in, the file that it is saved as, and its text."""

    where: str
    language: str
    file: str
    text: str

    @property
    def is_run(self) -> bool:
        """Whether a test runs it: a block that begins with `# needs …` cannot run just anywhere."""
        return self.language in ("bash", "python") and not self.file and not self.text.startswith("# needs ")

    def lines(self) -> list[str]:
        """The lines of a shell block, those that end in a backslash joined to the next."""
        return self.text.replace("\\\n", " ").splitlines()


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    fences = re.findall(r"^[ \t>]*(?:`{3,}|~{3,})", text, re.M)
    assert len(fences) == 2 * len(_BLOCK.findall(text)), f"{page}: a fence that is indented, or names no language"
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(f"{page}:{line}", match[1], match[2] or "", match[3])


def mixhub_calls(page: str) -> list[tuple[str, list[str]]]:
    """Where a page shows a call of mixhub in a shell block that is no script, and its words."""
    typed = [block for block in blocks(page) if block.language == "bash" and not block.file]
    lines = [(block.where, line) for block in typed for line in block.lines()]
    calls = [(where, match[1]) for where, line in lines for match in _CALL.finditer(line)]
    return [(where, shlex.split(call, comments=True)) for where, call in calls]


class Reader:
    """Someone who follows a page in a folder: saves its files, types its commands, and compares the output."""

    def __init__(self, folder: Path, mixhub: Callable[..., subprocess.CompletedProcess]) -> None:
        self.root, self.folder, self.mixhub = folder, folder, mixhub
        self.names: dict[str, Any] = {}
        self.output = ""

    def follow(self, page: str, changes: Mapping[str, str] | None = None) -> None:
        """Do what a page says, with some changes to the files that it gives."""
        for block in blocks(page):
            if block.file:
                path = self.root / block.file
                path.parent.mkdir(parents=True, exist_ok=True)
                text = block.text
                for old, new in (changes or {}).items():
                    text = text.replace(old, new)
                path.write_text(text, encoding="utf-8")
            elif block.is_run:
                self.output = ""
                if block.language == "python":
                    self.execute(block)
                else:
                    for line in block.lines():
                        self.type(line, block.where)
            elif block.language == "text":
                self.compare(block)

    def type(self, line: str, where: str) -> None:
        """Runs one line; `# exits with N` behind it says that it fails, and how."""
        words = shlex.split(line, comments=True)
        expected = re.search(r"# exits with (\d+)", line)
        if not words:
            return
        if words[0] == "cd":
            self.folder = (self.folder / words[1]).resolve()
            return
        if words[0] == "mixhub" and not {"|", ">", "&&"} & set(words):
            done = self.mixhub(*words[1:], cwd=self.folder)
        else:
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            done = subprocess.run(
                ["bash", "-eo", "pipefail", "-c", line],
                cwd=self.folder,
                env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=False,
            )
        self.output += done.stdout + done.stderr
        if done.returncode != int(expected[1] if expected else 0):
            pytest.fail(f"{where}: {line}\nexits with {done.returncode}\n{self.output}")

    def execute(self, block: Block) -> None:
        output = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(output):
            exec(compile(block.text, block.where, "exec"), self.names)
        self.output = output.getvalue()

    def compare(self, block: Block) -> None:
        """Each line of a text block is a line of the output before it, but for numbers, hashes, widths and wrapping."""
        unwrapped = re.sub(r"\n  (?=\S)(?!hint:)", " ", self.output)
        printed = [_steady(line) for line in [*self.output.splitlines(), *unwrapped.splitlines()]]
        for line in block.text.splitlines():
            parts = [_steady(part) for part in line.split("…")]
            pattern = re.compile(".*".join(map(re.escape, parts)))
            if any(parts) and not any(pattern.fullmatch(each) for each in printed):
                pytest.fail(f"{block.where}: not printed: {line}\n{self.output}")


def _steady(text: str) -> str:
    return " ".join(_VARIABLE.sub(" ", text).split())
