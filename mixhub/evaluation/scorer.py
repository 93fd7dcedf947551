"""lm-eval's Hugging Face backend, but shared parts of requests are run once. Drop-in: `SharedLM(pretrained="...")`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from mixhub.errors import ResultsError
from mixhub.evaluation.encoding import Encoder
from mixhub.evaluation.lm_eval_private import StockLM, clear_model_errors
from mixhub.evaluation.packing import Ints, Packing, pack, ranges, starts_of
from mixhub.evaluation.requests import Prepared

Layout = Literal["packed", "straight", "plain"]
"""`packed`: inputs with a common start share a row behind a mask. `straight`: one row per input. `plain`: one row per
input, and logits of all positions, as the model's own code computes them."""
Answer = tuple[float, bool]
"""Log-likelihood of a continuation, and whether it is the model's greedy choice."""

_BATCH_TOKENS = {"cpu": 2048, "cuda": 65536}
"""Tokens per forward pass. They do not depend on free memory: the same export must give the same figures."""
_MASK_CELLS = {"cpu": 2**24, "cuda": 2**28}
"""Cells of the mask per forward pass."""
_HEAD_CELLS = {"cpu": 2**24, "cuda": 2**28}
"""Logits computed at once."""
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.25}
"""Largest difference of a log-probability that counts as rounding, by dtype."""


@dataclass(frozen=True)
class LayoutSupport:
    """The layout that a model allows, and why it does not allow the best one."""

    layout: Layout
    note: str = ""
    """Empty if everything is shared."""
    is_finite: bool = True
    """Whether log-probabilities of random tokens are finite."""
    window: int | None = None
    """Tokens; longer inputs share no rows, because layers attend to a sliding window. None if no layer does."""


class SharedLM(StockLM):
    """HFLM with the same tokens, truncation and positions, and so the same log-likelihoods up to rounding.

    Each input is run once, and the choices of a document in one row behind an ancestor mask; batches have a budget of
    tokens; the head is applied only where a continuation is scored. `generate_until` is HFLM's own.

    Args:
        batch_tokens: tokens per forward pass; halved when memory runs out.
        layout: None: the best that the model allows; on CUDA, the faster of `packed` and `straight`, by measurement.
        **options: as for HFLM.

    Raises:
        ResultsError: the model is not causal.
    """

    def __init__(
        self, *arguments: Any, batch_tokens: int | None = None, layout: Layout | None = None, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        kind = self.device.type if self.device.type in _BATCH_TOKENS else "cuda"
        self.batch_tokens = batch_tokens or _BATCH_TOKENS[kind]
        self._mask_cells, self._head_cells = _MASK_CELLS[kind], _HEAD_CELLS[kind]
        self._buffer: torch.Tensor | None = None
        self._length_limits = lengths_that_change_positions(self.model.config)
        self.on_scored: Callable[[int, int], None] | None = None
        """Called after each forward pass with the numbers of requests and tokens that were done."""
        self.layout_support = LayoutSupport(layout) if layout else layout_support(self)
        self._measures = layout is None and self.device.type == "cuda"
        self.layout: Layout = self.layout_support.layout
        """The layout of the last scoring."""
        self.prepared: Prepared | None = None
        """Packed requests, for a call with exactly these requests."""

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[Answer]:
        """Return (log-likelihood, is greedy) of each request's continuation."""
        pairs = [request.args for request in requests]
        if self.prepared is not None and self.prepared.pairs == pairs:
            packing = self.prepared.packing
        else:
            packing = pack(*Encoder.of(self).encode(pairs), self.max_length)
        answers = self.score(packing)
        for pair, answer in zip(pairs, answers, strict=True):
            self.cache_hook.add_partial("loglikelihood", pair, answer)
        return answers

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[Any, list[int], list[int]]],
        disable_tqdm: bool = False,
        override_bs: int | None = None,
    ) -> list[Answer]:
        contexts = [np.asarray(context, np.int32) for _, context, _ in requests]
        continuations = [np.asarray(continuation, np.int32) for _, _, continuation in requests]
        return self.score(pack(contexts, continuations, self.max_length))

    def score(self, packing: Packing) -> list[Answer]:
        """Return the answer to each request of a packing; raises ResultsError if it cannot be scored.

        A single row exceeds the memory, or the tokenizer has ids for which the model has no row.
        """
        if not packing.requests:
            return []
        self._require_ids(packing)
        self.truncated += int(packing.truncated.sum())
        self.layout = self.layout_support.layout
        longest, window = int(packing.positions.max()) + 1, self.layout_support.window
        if self.layout == "packed" and (not packing.branching.any() or (window is not None and longest > window)):
            self.layout = "straight"
        if self.layout == "packed" and self._measures and self._straight_is_faster(packing):
            self.layout = "straight"
        with clear_model_errors(self, longest):
            return self._score(packing, self.layout)

    @torch.inference_mode()
    def _score(self, packing: Packing, layout: Layout) -> list[Answer]:
        packing = packing if layout == "packed" else packing.straight()
        sums = np.zeros(packing.requests)
        greedy = np.zeros(packing.requests, np.bool_)
        for batch in self._batches(packing, layout):
            requests, batch_sums, batch_greedy = batch
            sums[requests], greedy[requests] = batch_sums, batch_greedy
        return list(zip(sums.tolist(), greedy.tolist(), strict=True))

    def _batches(self, packing: Packing, layout: Layout) -> Iterator[tuple[Ints, Ints, Ints]]:
        """Yield requests, their sums and whether they are greedy, batch after batch."""
        by_row = np.argsort(packing.request_rows, kind="stable")
        starts = starts_of(np.bincount(packing.request_rows, minlength=len(packing.lengths)))
        groups = packing.branching + 2 * np.searchsorted(self._length_limits, packing.lengths)
        for group in np.unique(groups)[::-1].tolist():
            masked = group % 2 == 1
            rows = np.flatnonzero(groups == group)
            rows = rows[np.argsort(-packing.lengths[rows], kind="stable")]
            done = 0
            while done < len(rows):
                batch = rows[done : done + self._rows_at_once(int(packing.lengths[rows[done]]), masked, layout)]
                requests = by_row[ranges(starts[batch], starts[batch + 1] - starts[batch])]
                try:
                    values = self._run(packing, batch, requests, masked, layout)
                except RuntimeError as error:
                    if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
                        raise
                    self._halve_batch(len(batch), int(packing.lengths[batch[0]]))
                    continue
                yield requests, *values
                done += len(batch)
                if self.on_scored is not None:
                    self.on_scored(len(requests), int(packing.lengths[batch].sum()))

    def _rows_at_once(self, longest: int, masked: bool, layout: Layout) -> int:
        rows = self.batch_tokens // longest
        if masked:
            rows = min(rows, self._mask_cells // longest**2)
        if layout == "plain":
            rows = min(rows, self._head_cells * 4 // (longest * self.model.config.get_text_config().vocab_size))
        return max(1, rows)

    def _halve_batch(self, rows: int, longest: int) -> None:
        if rows == 1:
            message = f"out of memory on {self.device} with a single row of {longest} tokens"
            hint = "use a device with more memory, or a smaller dtype: --dtype bfloat16"
            raise ResultsError(message, code="memory-exhausted", hint=hint, device=str(self.device), tokens=longest)
        self.batch_tokens = max(longest, min(self.batch_tokens, rows * longest) // 2)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _run(self, packing: Packing, rows: Ints, requests: Ints, masked: bool, layout: Layout) -> tuple[Ints, Ints]:
        """Return sums (requests,) of log-probabilities in nats, and whether each continuation is greedy."""
        lengths = packing.lengths[rows]
        width = int(lengths.max())
        if masked and self.device.type == "cuda":  # fused attention needs masks that are aligned to 8
            width = -(-width // 8) * 8
        target = ranges(np.arange(len(rows)) * width, lengths)
        source = ranges(packing.row_starts[rows], lengths)

        def padded(values: Ints) -> torch.Tensor:
            filled = np.zeros(len(rows) * width, np.int64)
            filled[target] = values[source]
            return torch.from_numpy(filled).view(len(rows), width).to(self.device)

        row_in_batch = np.zeros(len(packing.lengths), np.int64)
        row_in_batch[rows] = np.arange(len(rows))
        counts = packing.request_starts[requests + 1] - packing.request_starts[requests]
        scored = ranges(packing.request_starts[requests], counts)
        places = np.repeat(row_in_batch[packing.request_rows[requests]] * width, counts) + packing.scored[scored]
        inputs: dict[str, Any] = {"input_ids": padded(packing.tokens), "use_cache": False}
        if masked:
            inputs["position_ids"] = padded(packing.positions)
            inputs["attention_mask"] = ancestor_mask(padded(packing.ends), self.model.dtype)
        values, hits = self._log_probabilities(inputs, places, packing.targets[scored], layout)
        firsts = starts_of(counts)[:-1]
        return np.add.reduceat(values, firsts), np.logical_and.reduceat(hits, firsts)

    def _log_probabilities(
        self, inputs: dict[str, Any], places: Ints, targets: Ints, layout: Layout
    ) -> tuple[Ints, Ints]:
        """Return the log-probability (S,) of each target at its place, and whether it is the greedy token."""
        unique, inverse = np.unique(places, return_inverse=True)
        order = np.argsort(inverse, kind="stable")
        used = torch.from_numpy(unique).to(self.device)
        of_row = torch.from_numpy(inverse[order]).to(self.device)
        target_ids = torch.from_numpy(targets[order].astype(np.int64)).to(self.device)
        if layout == "plain":
            source = self.model(**inputs).logits.flatten(0, 1).to(self.device)[used]  # (U, V)
        else:
            source = self.model.base_model(**inputs).last_hidden_state.flatten(0, 1).to(self.device)[used]  # (U, H)
        values = torch.empty(len(order), dtype=torch.float32, device=self.device)
        hits = torch.empty(len(order), dtype=torch.bool, device=self.device)
        block = max(16, self._head_cells // len(self.model.get_output_embeddings().weight))
        cuts = np.searchsorted(inverse[order], np.arange(0, len(unique) + block, block))
        for number, start in enumerate(range(0, len(unique), block)):
            part = source[start : start + block]
            logits = (part if layout == "plain" else self._head(part)).float()  # (block, V)
            part_rows = slice(int(cuts[number]), int(cuts[number + 1]))
            row, token = of_row[part_rows] - start, target_ids[part_rows]
            hits[part_rows] = logits.argmax(-1)[row] == token
            torch.log_softmax(logits, -1, out=logits)  # stock's own kernel; another differs by 1e-5 per token
            values[part_rows] = logits[row, token]
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return values.cpu().numpy().astype(np.float64)[back], hits.cpu().numpy()[back]

    def _head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Compute (block, H) to (block, V) in one buffer: new memory for each block costs as much as the product."""
        head = self.model.get_output_embeddings()
        if head.weight.device != hidden.device:  # a model that is spread over devices
            return head(hidden.to(head.weight.device)).to(hidden.device)  # type: ignore[no-any-return]
        if head.bias is not None:
            return head(hidden)  # type: ignore[no-any-return]
        if self._buffer is None or len(self._buffer) < len(hidden):
            self._buffer = torch.empty(len(hidden), head.weight.shape[0], dtype=hidden.dtype, device=hidden.device)
        return torch.matmul(hidden, head.weight.t(), out=self._buffer[: len(hidden)])

    def _require_ids(self, packing: Packing) -> None:
        rows = self.model.get_input_embeddings().num_embeddings
        highest = int(max(packing.tokens.max(), packing.targets.max()))
        if highest >= rows:
            message = f"the tokenizer gives id {highest}, but the embedding has only {rows} rows"
            hint = "use the tokenizer that the model was trained with"
            raise ResultsError(message, code="vocabulary-exceeded", hint=hint, id=highest, rows=rows)

    def _straight_is_faster(self, packing: Packing) -> bool:
        """Measure both: on a GPU a mask excludes the fastest attention, which can cost more than sharing saves."""
        rows = np.flatnonzero(packing.branching)
        rows = rows[np.argsort(packing.lengths[rows], kind="stable")]
        middle = len(rows) // 2
        sample = rows[middle : middle + self._rows_at_once(int(packing.lengths[rows[middle]]), True, "packed")]
        requests = np.flatnonzero(np.isin(packing.request_rows, sample))
        part = _selected(packing, sample, requests)
        seconds: dict[Layout, float] = {}
        for layout in ("packed", "straight", "packed", "straight"):  # the first of each warms up
            _wait_for(self.device)
            before = time.perf_counter()
            self._score(part, layout)
            _wait_for(self.device)
            seconds[layout] = time.perf_counter() - before
        return seconds["straight"] < seconds["packed"]


def ancestor_mask(ends: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return an additive mask (B, 1, T, T) under which each place sees only its ancestors and itself.

    It is additive because eager attention adds a boolean mask as numbers, and is silently wrong; padding sees itself,
    so that no row is empty.

    Args:
        ends: (B, T), where the places that attend to this one end; 0 for padding.
        dtype: of the model.
    """
    places = torch.arange(ends.shape[1], device=ends.device)
    seen = (places[None, :] <= places[:, None]) & (places[:, None] < ends[:, None, :])  # (B, T, T)
    seen |= torch.eye(len(places), dtype=torch.bool, device=ends.device)
    mask = torch.zeros(seen.shape, dtype=dtype, device=ends.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


def layout_support(lm: SharedLM) -> LayoutSupport:
    """Find the layout that gives the model's own log-likelihoods, by its config and by a trial on random tokens.

    Raises:
        ResultsError: the model is not causal.
    """
    # Contexts that branch, with continuations of random tokens.
    length = max(4, min(24, lm.max_length // 2))
    ids = lm.model.get_input_embeddings().num_embeddings
    words = np.random.default_rng(0).integers(0, ids, (5, length), dtype=np.int32)
    contexts, continuations = [words[0]] * 3, [words[1][:6], words[2][: length // 2], words[3][:3]]
    packing = pack(contexts, continuations, lm.max_length)
    _require_causal(lm, contexts[0])
    plain = np.array([value for value, _ in lm._score(packing, "plain")])
    if not np.isfinite(plain).all():
        return LayoutSupport("plain", is_finite=False)  # its figures will be refused
    tolerance = _TOLERANCE.get(lm.model.dtype, 0.25)
    reason = _head_problem(lm, contexts[0]) or _difference(lm, packing, "straight", plain, tolerance)
    if reason:
        return LayoutSupport("plain", f"rows are not shared, and logits of all positions are computed: {reason}")
    window = _window(lm.model.config.get_text_config(), lm.max_length)
    reason = _mask_problem(lm)
    if window is not None and window <= int(packing.positions.max()):
        reason = f"{type(lm.model).__name__} attends to a sliding window of {window} tokens"
    reason = reason or _difference(lm, packing, "packed", plain, tolerance)
    if reason:
        return LayoutSupport("straight", f"rows are not shared: {reason}")
    return LayoutSupport("packed", window=window)


def _require_causal(lm: SharedLM, tokens: Ints) -> None:
    """Change the last token of a text: logits before it must stay the same, up to rounding."""
    ids = torch.from_numpy(tokens.astype(np.int64)).to(lm.device)[None].repeat(2, 1)
    ids[1, -1] = (ids[1, -1] + 1) % lm.model.get_input_embeddings().num_embeddings
    with torch.inference_mode():
        one, other = lm.model(ids).logits.float()
    change = (one - other).abs().amax(-1)  # (T,)
    whole = lm.model.dtype in (torch.float32, torch.float64)
    allowed = 0.01 * change[-1] + 1e-6 if whole else torch.tensor(_TOLERANCE.get(lm.model.dtype, 0.25))
    if bool(torch.isfinite(change).all()) and bool(change[:-1].max() > allowed.to(change.device)):
        message = f"{type(lm.model).__name__} is not causal: a token changes the logits of earlier tokens"
        hint = "evaluate a causal language model (AutoModelForCausalLM)"
        raise ResultsError(message, code="model-not-causal", hint=hint, model=type(lm.model).__name__)


def _difference(lm: SharedLM, packing: Packing, layout: Layout, plain: Ints, tolerance: float) -> str:
    try:
        values = np.array([value for value, _ in lm._score(packing, layout)])
    except (AttributeError, TypeError, ValueError, RuntimeError, IndexError):
        return f"the code of {type(lm.model).__name__} does not support it"
    per_token = np.abs(values - plain) / np.diff(packing.request_starts)
    if not per_token.max() <= tolerance:
        return f"in a trial on random tokens, log-probabilities differ by {per_token.max():.2g}"
    return ""


def _head_problem(lm: SharedLM, tokens: Ints) -> str:
    """Check that the model's logits equal the output of its head bit for bit: some models scale or cap them."""
    head, name = lm.model.get_output_embeddings(), type(lm.model).__name__
    if not isinstance(head, torch.nn.Linear):
        return f"{name} has no linear head"
    outputs: list[torch.Tensor] = []
    handle = head.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        with torch.inference_mode():
            logits = lm.model(torch.from_numpy(tokens.astype(np.int64)).to(lm.device)[None]).logits
    finally:
        handle.remove()
    if len(outputs) != 1 or not torch.equal(outputs[0].float(), logits.float()):
        return f"{name} changes its logits after the head"
    return ""


def _mask_problem(lm: SharedLM) -> str:
    config = lm.model.config.get_text_config()
    name = type(lm.model).__name__
    if getattr(lm.model, "_is_stateful", False):
        return f"{name} carries a state from token to token"
    kinds = _layer_types(config) - {"full_attention"}
    if kinds - {"sliding_attention"} or (kinds and not getattr(config, "sliding_window", None)):
        return f"{name} has layers of {', '.join(sorted(kinds))}"
    if any(buffer.dtype == torch.bool and buffer.ndim == 4 for buffer in lm.model.buffers()):
        return f"{name} has its own mask, as long as its context"
    if limits := lengths_that_change_positions(config):
        rows = f"rows of up to {limits[0]} tokens and longer ones are run apart"
        return f"the rotary embedding of {name} depends on the longest row of a batch, so {rows}"
    if (attention := getattr(config, "_attn_implementation", None)) not in ("sdpa", "eager"):
        return f"attention {attention} does not support our mask"
    return ""


def _layer_types(config: Any) -> set[str]:
    return {str(kind) for kind in getattr(config, "layer_types", None) or ()}


def _window(config: Any, context: int) -> int | None:
    """Return the sliding window of a model in tokens; None if all layers see the whole context."""
    window = getattr(config, "sliding_window", None)
    kinds = _layer_types(config)
    slides = "sliding_attention" in kinds if kinds else getattr(config, "use_sliding_window", True)
    return int(window) if window and slides and window < context else None


def lengths_that_change_positions(config: Any) -> list[int]:
    """Return the lengths beyond which the rotary embedding of a whole batch changes with its longest row, sorted.

    `longrope` has other frequencies for rows longer than the original context, `dynamic` for rows longer than the
    context. Rows on either side are run apart, so that a row is embedded as if it were alone.
    """
    text = config.get_text_config()
    found = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    ropes = [found, *(one for one in found.values() if isinstance(one, Mapping))]
    context = getattr(text, "max_position_embeddings", None)
    limits = {
        rope.get("original_max_position_embeddings") or getattr(text, "original_max_position_embeddings", context)
        for rope in ropes
        if rope.get("rope_type") in ("dynamic", "longrope")
    }
    return sorted(limit for limit in limits if isinstance(limit, int))


def _selected(packing: Packing, rows: Ints, requests: Ints) -> Packing:
    """Return some rows of a packing, with the requests that they answer."""
    lengths = packing.lengths[rows]
    counts = packing.request_starts[requests + 1] - packing.request_starts[requests]
    scored, tokens = ranges(packing.request_starts[requests], counts), ranges(packing.row_starts[rows], lengths)
    number = np.zeros(len(packing.lengths), np.int64)
    number[rows] = np.arange(len(rows))
    return Packing(
        tokens=packing.tokens[tokens],
        positions=packing.positions[tokens],
        ends=packing.ends[tokens],
        row_starts=starts_of(lengths),
        branching=packing.branching[rows],
        request_rows=number[packing.request_rows[requests]],
        scored=packing.scored[scored],
        targets=packing.targets[scored],
        request_starts=starts_of(counts),
        truncated=packing.truncated[requests],
    )


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
