"""CPU time of `data pack` against one row at a time, and its memory.

The text is what Linux and Python ship: sources, manuals, licences and pages of HTML below the folders of the system and
of Python, in an order drawn at random, without repeats. It is mostly English and code; one document in six has other
than ASCII characters. The tokenizer is GPT-NeoX's if `../shared/reference/gptneox` exists, else a BPE trained on it.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from mixhub.spec import Family
from tests.benchmarks.memory import peak
from tests.structure import ROOT
from tests.tiny import tiny_family

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NEOX = ROOT.parent / "shared" / "reference" / "gptneox"
MEGABYTES = 52
FILES = 4
RUNS = 3
FOLDERS = ("/usr/share", "/usr/lib", sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["purelib"])
SUFFIXES = (".py", ".txt", ".rst", ".md", ".html", ".h", ".pod", ".pm")


def run() -> str:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        size = write_corpus(root / "text", MEGABYTES * 10**6)
        tokenizer = NEOX if NEOX.is_dir() else _train(root)
        seconds: dict[str, list[float]] = {}
        for number in range(RUNS):
            for way in ("with fastokens", "without", "row at a time"):
                rows = root / f"{way}-{number}"
                seconds.setdefault(way, []).append(float(_child("time", way, root / "text", rows, tokenizer)[0]))
        times = {way: median(values) for way, values in seconds.items()}
        slow = times.pop("row at a time")
        ratios = ", ".join(f"{way} {slow / value:.1f} × ({value:.1f} s)" for way, value in times.items())
        peaks = ", ".join(_peaks(root, tokenizer))
        return f"{size / 1e6:.0f} MB, one row at a time {slow:.1f} s of CPU; {ratios}; peak memory: {peaks}"


def write_corpus(folder: Path, most: int) -> int:
    """Writes real text as a corpus of one domain; returns its bytes."""
    seen: set[int] = set()
    paths = [path for root in FOLDERS for path in Path(root).rglob("*") if path.suffix in SUFFIXES]
    random.Random(1).shuffle(paths)
    written = 0
    (folder / "train").mkdir(parents=True)
    (folder / "valid").mkdir()
    files = [(folder / "train" / f"text-{number}.jsonl").open("w", encoding="utf-8") for number in range(FILES)]
    for number, text in enumerate(_texts(paths, seen)):
        written += files[number % FILES].write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
        if written >= most:
            break
    for file in files:
        file.close()
    (folder / "valid" / "text-1.jsonl").write_text('{"text": "held out"}\n')
    return sum(path.stat().st_size for path in folder.rglob("*.jsonl"))


def _train(root: Path) -> Path:
    from mixhub.data.packing.pack import pack

    pack(_family(32_000, None), root / "text", root / "trained")
    return root / "trained" / "tokenizer"


def _family(size: int, repo_id: str | None) -> Family:
    return tiny_family(
        tokenizer={"name": "bpe", "repo_id": repo_id, "vocab_size": size},
        architecture={"vocab_size": size},
        mixture={"train_text": 1.0},
        validation={"valid_text": 1.0},
    )


def _texts(paths: list[Path], seen: set[int]) -> Iterator[str]:
    for path in paths:
        try:
            if path.is_symlink() or not 500 < path.stat().st_size < 500_000:
                continue
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if hash(text) not in seen:
            seen.add(hash(text))
            yield text


def _child(what: str, way: str, corpus: Path, tokens: Path, tokenizer: Path) -> list[str]:
    command = [sys.executable, "-m", "tests.benchmarks.pack", what, way, corpus, tokens, tokenizer]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return done.stdout.splitlines()[-1].split()


def _peaks(root: Path, tokenizer: Path) -> Iterator[str]:
    """Peak memory of packing a file, one five times as long, and one with a line of 100 MB, in MB."""
    text = b"".join(path.read_bytes() for path in sorted((root / "text" / "train").iterdir()))
    words = " ".join(json.loads(line)["text"] for line in text.splitlines())
    line = json.dumps({"text": (words * 3)[:100_000_000]}, ensure_ascii=False).encode() + b"\n"
    megabytes = len(text) / 1e6
    files = {f"file of {megabytes:.0f} MB": text, f"of {5 * megabytes:.0f} MB": text * 5, "line of 100 MB": line}
    for number, (name, content) in enumerate(files.items()):
        corpus = root / f"corpus-{number}"
        for split, data in (("train", content), ("valid", b'{"text": "held out"}\n')):
            (corpus / split).mkdir(parents=True)
            (corpus / split / "text-1.jsonl").write_bytes(data)
        for way in ("with fastokens", "without"):
            if way == "without" and name.startswith("of"):
                continue
            base, peak = _child("peak", way, corpus, root / f"{way}-{number}-peak", tokenizer)[1:]
            yield f"{name} {way} {peak} MB ({base} MB before)"


def _measured(what: str, way: str, corpus: Path, tokens: Path, tokenizer: Path) -> None:
    """Prints CPU seconds, and MB of memory before and at the peak, of one way to pack in this process."""
    if way != "with fastokens":
        sys.modules["fastokens"] = None  # type: ignore[assignment]
    import transformers  # noqa: F401  # as the tokenizer's config is written by it
    from tokenizers import Tokenizer

    from mixhub.data.packing.pack import pack

    opened = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    family = _family(opened.get_vocab_size(), "tester/tokenizer")
    before, memory = _seconds(), peak()
    if way == "row at a time":
        _row_at_a_time(opened, corpus, tokens)
    else:
        pack(family, corpus, tokens, tokenizer_folder=tokenizer, workers=1)
    print(f"{_seconds() - before:.3f} {memory:.0f} {peak():.0f}")


def _row_at_a_time(tokenizer: Tokenizer, corpus: Path, tokens: Path) -> None:
    """Writes the tokens of each line, as a loop over the lines does."""
    import numpy as np

    with tokens.open("wb") as shard:
        for path in sorted(corpus.rglob("*.jsonl")):
            with path.open(encoding="utf-8") as lines:
                for line in lines:
                    ids = tokenizer.encode(json.loads(line)["text"]).ids
                    shard.write(np.array([*ids, 0], np.uint16).tobytes())


def _seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    _measured(sys.argv[1], sys.argv[2], *map(Path, sys.argv[3:]))
