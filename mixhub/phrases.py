"""Lists, plurals, ranges and sizes in messages and on cards."""

from __future__ import annotations

from collections.abc import Sequence


def listed(names: Sequence[object], *, most: int | None = None, last: str = ",") -> str:
    """Join names: `a, b, c`, or `a, b and 3 more`.

    Args:
        names: the names, in this order.
        most: how many to write out; None: all.
        last: the separator before the last name, such as `and`.
    """
    texts = [str(name) for name in names]
    if most is not None and len(texts) > most:
        return f"{', '.join(texts[:most])} and {len(texts) - most:,} more"
    if last == "," or len(texts) < 2:
        return ", ".join(texts)
    return f"{', '.join(texts[:-1])} {last} {texts[-1]}"


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """Count things: `1 file`, `2 files`, `1,200 indices`; `nouns` is an irregular plural."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {nouns or noun + 's'}"


def ranges(labels: Sequence[object]) -> str:
    """Abbreviate ascending numbers: `1-5`, or `1, 2, 4-6`; runs of two, and words, are written out."""
    parts: list[str] = []
    start = 0
    for position in range(1, len(labels) + 1):
        last = labels[position - 1]
        if position < len(labels) and isinstance(last, int) and labels[position] == last + 1:
            continue
        run = labels[start:position]
        parts += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else [str(label) for label in run]
        start = position
    return ", ".join(parts)


def strides(numbers: Sequence[int]) -> list[str]:
    """Abbreviate ascending numbers: `0-2`, `4`, `1000-143000:1000`, which is every 1,000th."""
    parts: list[str] = []
    start = 0
    while start < len(numbers):
        end = start + 1
        while end < len(numbers) and numbers[end] - numbers[end - 1] == numbers[start + 1] - numbers[start]:
            end += 1
        if end - start > 2:
            stride = numbers[start + 1] - numbers[start]
            parts.append(f"{numbers[start]}-{numbers[end - 1]}{f':{stride}' if stride > 1 else ''}")
        else:
            end = start + 1
            parts.append(str(numbers[start]))
        start = end
    return parts


def preview(value: object, most: int = 80) -> str:
    """Format a value for a message: text in quotes, cut off after `most` characters."""
    text = repr(value) if isinstance(value, (str, bytes)) else str(value)
    return text if len(text) <= most else text[: most - 3] + "..."


def size(count: float) -> str:
    """Format bytes: `1.5 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def magnitude(count: float) -> str:
    """Format a large number: `26.2B` for 26,214,400,000."""
    for unit in ("", "k", "M", "B"):
        if count < 999.5:  # otherwise rounded to the next unit
            return f"{count:.3g}{unit}"
        count /= 1000
    return f"{count:.3g}T"


def duration(seconds: float) -> str:
    """Format a time: `45 s`, `12 min`, `3.4 h`, `2.6 days`."""
    if seconds < 59.5:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 59.5 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:,.1f} days"
