"""Names of metrics in the logs of trainers: which are validation losses, and of which domain."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mixhub.analysis.scores import OVERALL

_BREAK = r"[\s/_\-.:|]+"
_VALIDATION = "evaluation|eval|validation|valid|val|dev"
_LOSS = r"cross[ _]?entropy[ _]?loss|cross[ _]?entropy|ce[ _]loss|lm[ _]loss|losses|loss|nll"
_FILLER = "metrics|metric"
_AT_START = re.compile(rf"({_VALIDATION}|{_LOSS}|{_FILLER})(?:{_BREAK}|$)", re.IGNORECASE)
_AT_END = re.compile(rf"(?:{_BREAK}|^)({_VALIDATION}|{_LOSS}|{_FILLER})$", re.IGNORECASE)
_OTHER = frozenset(
    {"perplexity", "ppl", "accuracy", "acc", "f1", "bpb", "bits", "bytes", "train", "training", "lr", "rate", "grad"}
    | {"runtime", "second", "seconds", "samples", "step", "steps", "time", "timestamp", "walltime", "epoch", "epochs"}
    | {"norm", "token", "tokens", "flos", "memory", "gpu", "min", "max", "std", "stderr", "sd", "var"}
)
"""Words of metrics that are no validation losses."""


def validation_losses(names: Iterable[str], *, only_named: bool = True) -> dict[str, str]:
    """Find the validation losses among names of metrics.

    Names that say both come first, such as `eval_arxiv_loss`, `eval/loss` or `metric/the_pile_arxiv_val_loss`; if there
    are none, those that only name validation, such as `valid_arxiv`.

    Args:
        names: names of metrics.
        only_named: take nothing else. Otherwise, if there are none of these, take names of losses that are not of
            training, such as `loss/arxiv`; then all that are not of bookkeeping, such as `arxiv`.

    Returns:
        The domain by name: `arxiv` for `eval_arxiv_loss`, and `loss` for `eval_loss`, which is of all text.
    """
    split = {name: _split(name) for name in names if not name.endswith(("__MIN", "__MAX"))}  # W&B's range of a group
    for wanted in ({"validation", "loss"}, {"validation"}, *([] if only_named else [{"loss"}])):
        if found := {name: domain or OVERALL for name, (domain, kinds) in split.items() if kinds == wanted}:
            return found
    return {} if only_named else {name: name for name in split if _OTHER.isdisjoint(_words(name))}


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z]+[0-9]*", name.casefold())


def _split(name: str) -> tuple[str, set[str]]:
    """The domain in a name, and whether the words around it say `validation` and `loss`; neither for other metrics."""
    kinds, domain = set(), name.strip()
    while match := _AT_START.match(domain) or _AT_END.search(domain):
        word = match[1]
        kinds |= {"validation"} if re.fullmatch(_VALIDATION, word, re.IGNORECASE) else set()
        kinds |= {"loss"} if re.fullmatch(_LOSS, word, re.IGNORECASE) else set()
        domain = domain[: match.start()] + domain[match.end() :]
    words = _words(domain)
    is_other = not _OTHER.isdisjoint(words[-1:] if kinds == {"validation", "loss"} else words)
    return domain, set() if is_other or words[:1] in (["train"], ["training"]) else kinds
