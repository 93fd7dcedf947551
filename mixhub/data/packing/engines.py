"""Text becomes ids: by `tokenizers`, or by fastokens once it has shown that it gives the same ids."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub.data.packing import pieces as cuts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ids = npt.NDArray[np.uint32]
    Ends = npt.NDArray[np.uint64]

_BATCH_TEXTS = 1024
_BATCH_CHARACTERS = 2**20
_EXCERPT = 4096
"""Most characters of a text to compare."""
_SAMPLE = 2**18
"""Most characters of a file to compare."""


class Tokenizers:
    """Encodes by `tokenizers`: the reference.

    Args:
        file: `tokenizer.json`. Truncation, padding and what it adds to each text are not used.
        special_text: whether the name of a special token within a text is ordinary text.
    """

    def __init__(self, file: Path, special_text: bool) -> None:
        from tokenizers import Tokenizer, processors

        self.tokenizer = Tokenizer.from_file(str(file))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.tokenizer.encode_special_tokens = special_text
        self.can_split = cuts.can_split(self.tokenizer)
        if self.can_split:  # offsets of whole tokens, with the blank that they begin with
            self.tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)

    def encode(self, texts: list[str]) -> tuple[Ids, Ends]:
        """Return the ids of all texts, and where those of each end, (N,)."""
        import numpy as np

        encodings = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ids = [encoding.ids for encoding in encodings]
        ends = np.fromiter(map(len, ids), np.uint64, len(ids)).cumsum(dtype=np.uint64)
        return np.fromiter(chain.from_iterable(ids), np.uint32), ends


class Fastokens:
    """Encodes by fastokens, of the extra `fast`; raises ImportError if it is not installed.

    Its caches are bounded, so a process may encode any amount of text.
    """

    def __init__(self, file: Path, special_text: bool) -> None:
        from fastokens import Tokenizer

        self._tokenizer: Any = Tokenizer.from_file(str(file))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._special_text = special_text

    def encode(self, texts: list[str]) -> tuple[Ids, Ends]:
        """Return the ids of all texts, and where those of each end, (N,)."""
        import numpy as np

        ids, ends = self._tokenizer.encode_batch_flat(texts, False, self._special_text)
        return np.frombuffer(ids, "<u4"), np.frombuffer(ends, "<u8")[1:]


class Sample:
    """Excerpts of a file: of one text in a hundred, and of those with traits that tokenizers disagree about.

    Args:
        size: bytes of the file.
    """

    def __init__(self, size: int) -> None:
        self.texts: list[str] = []
        self._left = dict.fromkeys(("any", *_TRAITS), min(_SAMPLE, max(2**16, size // 200)) // (1 + len(_TRAITS)))
        self._number = 0

    def add(self, text: str) -> None:
        """Take an excerpt of a text, or none."""
        self._number += 1
        if self._left["any"] > 0 and zlib.crc32(b"%d" % self._number) % 100 == 0:
            self._take("any", text, 0)
        for trait, at in _TRAITS.items():
            if self._left[trait] > 0 and (place := at(text)) >= 0:
                self._take(trait, text, place)

    def _take(self, trait: str, text: str, place: int) -> None:
        start = max(0, place - _EXCERPT // 2)
        self.texts.append(text[start : start + _EXCERPT])
        self._left[trait] -= len(self.texts[-1])


def _non_ascii(text: str) -> int:
    match = None if text.isascii() else _NON_ASCII.search(text)
    return match.start() if match else -1


_NON_ASCII = re.compile(r"[^\x00-\x7f]")
_TRAITS: dict[str, Callable[[str], int]] = {
    "non-ASCII": _non_ascii,
    "<|": lambda text: text.find("<|"),
    "spaces": lambda text: text.find("  "),
}
"""Where a trait is in a text first, or -1."""


class FastFailedError(Exception):
    """The fast engine gave an error, or other ids than `tokenizers`."""


class Encoder:
    """Encodes documents, by fastokens if it is installed and can open the tokenizer.

    Args:
        file: `tokenizer.json`.
        eos: id that ends each document.
        special_text: whether the name of a special token within a text is ordinary text.
    """

    def __init__(self, file: Path, eos: int, special_text: bool) -> None:
        self._eos = eos
        self.slow = Tokenizers(file, special_text)
        self.fast: Fastokens | None = None
        self.warning: str | None = None
        """Why fastokens is not used, if it is installed."""
        try:
            self.fast = Fastokens(file, special_text)
        except ImportError:
            pass
        except Exception as error:
            self.drop_fast(f"it cannot open the tokenizer: {error}")

    def drop_fast(self, reason: str) -> None:
        """Encode by `tokenizers` from now on."""
        self.fast, self.warning = None, f"packing without fastokens, which is slower: {reason}"

    def documents(self, texts: Iterable[str], sample: Sample) -> Iterator[tuple[Ids, Ends]]:
        """Yield the ids of documents, with eos after each, and where in these ids documents end.

        A long document is spread over several parts, so memory is bounded.

        Args:
            texts: the documents.
            sample: gets excerpts of them.

        Raises:
            FastFailedError: fastokens gave an error.
        """
        import numpy as np

        for batch in _batches(texts, self.slow.can_split):
            if self.slow.can_split and len(batch[0][0]) > cuts.LONG * cuts.PIECE:
                for part in cuts.encode_long(self.slow.tokenizer, batch[0][0]):
                    yield np.array(part, np.uint32), np.zeros(0, np.uint64)
                if batch[0][1]:
                    yield np.array([self._eos], np.uint32), np.ones(1, np.uint64)
                continue
            for text, _ in batch:
                sample.add(text)
            ids, ends = self._encode([text for text, _ in batch])
            ends = ends[np.fromiter((is_end for _, is_end in batch), bool, len(batch))]
            yield np.insert(ids, ends.astype(np.int64), self._eos), ends + np.arange(1, len(ends) + 1, dtype=np.uint64)

    def check(self, sample: Sample) -> None:
        """Raise FastFailedError if fastokens gives other ids than `tokenizers` for a sample."""
        if self.fast is not None and sample.texts:
            (ids, ends), (true_ids, true_ends) = self._encode(sample.texts), self.slow.encode(sample.texts)
            if ids.tolist() != true_ids.tolist() or ends.tolist() != true_ends.tolist():
                raise FastFailedError("it gives other ids than tokenizers")

    def _encode(self, texts: list[str]) -> tuple[Ids, Ends]:
        if self.fast is None:
            return self.slow.encode(texts)
        try:
            return self.fast.encode(texts)
        except Exception as error:
            raise FastFailedError(f"it fails: {error}") from error


def _batches(texts: Iterable[str], can_split: bool) -> Iterator[list[tuple[str, bool]]]:
    """Yield pieces of texts, and whether a text ends with each; a long piece is alone."""
    batch: list[tuple[str, bool]] = []
    size, long = 0, cuts.LONG * cuts.PIECE
    for text in texts:
        for piece, is_end in _marked(cuts.pieces(text)) if can_split else [(text, True)]:
            if batch and (len(batch) == _BATCH_TEXTS or size + len(piece) > _BATCH_CHARACTERS or len(piece) > long):
                yield batch
                batch, size = [], 0
            batch.append((piece, is_end))
            size += len(piece) if len(piece) <= long else _BATCH_CHARACTERS
    if batch:
        yield batch


def _marked(parts: Iterator[str]) -> Iterator[tuple[str, bool]]:
    part = next(parts)
    for following in parts:
        yield part, False
        part = following
    yield part, True
