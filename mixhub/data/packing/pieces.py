"""Long texts, encoded in parts to the tokens of the whole: an encoded text takes many times its size in memory."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

PIECE = 2**16
"""Smallest number of characters of a piece, except the last."""
LONG = 4
"""A piece of more than this many times PIECE has no place to be cut without a look at its tokens."""

_BLANK = re.compile(r"(?<=\S)[ \t\n](?=\S)")
_AROUND = 32
"""Characters on each side of a cut that normalization may look at."""


def can_split(tokenizer: Tokenizer) -> bool:
    """Whether `pieces` and `encode_long` give the tokens of the whole text.

    They do with GPT-2's regular expression, which looks at nothing before a word and no further behind one than the
    next two characters, if no added token reaches over a single blank.
    """
    before, normalizer = _settings(tokenizer.pre_tokenizer), _settings(tokenizer.normalizer) or {"type": "NFC"}
    is_gpt2 = before.get("type") == "ByteLevel" and before.get("use_regex") and not before.get("add_prefix_space")
    added = tokenizer.get_added_tokens_decoder().values()
    is_simple = not any(
        one.lstrip or one.rstrip or one.single_word or re.search(r"\S[ \t\n]", one.content) for one in added
    )
    is_plain_bpe = type(tokenizer.model).__name__ == "BPE" and not tokenizer.model.ignore_merges
    return bool(is_gpt2 and is_simple and is_plain_bpe and normalizer == {"type": "NFC"})


def _settings(part: Any) -> dict[str, Any]:
    """Return the settings of a part of a tokenizer as in its JSON, which is long as a whole."""
    return {} if part is None else dict(json.loads(part.__getstate__()))


def pieces(text: str) -> Iterator[str]:
    """Split a text before single blanks between two other characters, where a word ends; the last piece may be long."""
    start = 0
    while len(text) - start > PIECE and (cut := _BLANK.search(text, start + PIECE)):
        yield text[start : cut.start()]
        start = cut.start()
    yield text[start:]


def encode_long(tokenizer: Tokenizer, text: str) -> Iterator[list[int]]:
    """Yield the tokens of a text without blanks, in parts, each encoded from a window of the text.

    A window is cut where a word ends, or between two tokens of a long word. The second is right if the two are also
    neighbours when their text is encoded alone: a sequence of byte-pair tokens is the encoding of its text if every
    pair of neighbours is (van Antwerpen and Neubeck 2024, https://github.com/github/rust-gems, crate bpe).
    """
    longest = max((len(one.content) for one in tokenizer.get_added_tokens_decoder().values()), default=0)
    start, size = 0, PIECE
    while len(text) - start > size:
        window = text[start : start + size]
        encoding = tokenizer.encode(window, add_special_tokens=False)
        number = _last_cut(tokenizer, encoding, window, size - longest - 2 * _AROUND)
        if number is None:
            size *= 2
            continue
        yield encoding.ids[:number]
        start += encoding.offsets[number][0]
        size = PIECE
    yield tokenizer.encode(text[start:], add_special_tokens=False).ids


def _last_cut(tokenizer: Tokenizer, encoding: Encoding, window: str, end: int) -> int | None:
    """Return the number of tokens before the last place, not behind `end`, where a window can be cut."""
    offsets, words = encoding.offsets, encoding.word_ids
    for number in range(len(offsets) - 2, 1, -1):
        begin = offsets[number][0]
        if not 0 < begin <= end or offsets[number - 1][1] != begin or _normalizes_across(window, begin):
            continue
        if words[number - 1] != words[number]:
            return number
        low, high = number - 1, number + 1  # of a few tokens around the cut that are whole characters together
        while low > 0 and offsets[low - 1][1] != offsets[low][0]:
            low -= 1
        while high < len(offsets) and offsets[high - 1][1] != offsets[high][0]:
            high += 1
        around = window[offsets[low][0] : offsets[high - 1][1]]
        if window[begin] != "'" and around[0] != "'":  # 's at the beginning of a text is a word
            alone = tokenizer.encode(around, add_special_tokens=False)
            if alone.ids == encoding.ids[low:high] and len(set(alone.word_ids)) == 1:
                return number
    return None


def _normalizes_across(text: str, at: int) -> bool:
    before, after = text[max(0, at - _AROUND) : at], text[at : at + _AROUND]
    if before.isascii() and after.isascii():
        return False
    parts = [unicodedata.normalize("NFC", part) for part in (before, after, before + after)]
    return unicodedata.combining(text[at]) != 0 or parts[0] + parts[1] != parts[2]
