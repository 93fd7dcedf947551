"""SharedLM against lm-eval's own backend on the same weights: the same answers, whatever the model and the layout."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from mixhub.errors import ExportError, ResultsError
from mixhub.evaluation.encoding import Encoder
from mixhub.evaluation.harness import load_model
from mixhub.evaluation.packing import Packing, pack
from mixhub.evaluation.scorer import Answer, LayoutSupport, SharedLM, _selected, ancestor_mask
from tests.evaluation.making import family, write_export
from tests.refusals import refused

CONTEXT_LENGTH = 96
CONTEXT = "The thin theme is that thirty-one of the others went there, and "
PAIRS = (
    *((CONTEXT, choice) for choice in ("the", "a", "an", "another thing", "another", "1010 men went there, then ten")),
    *((CONTEXT, choice) for choice in ("nobody ever heard of that again.", "some of them came back in the winter")),
    *((CONTEXT * 3, choice) for choice in ("x", "the end of it all", "the end of it", " y")),
    *(("", choice) for choice in ("a", "the whole of it", "the whole")),
    (CONTEXT.rstrip() + "  ", "a"),
    (CONTEXT + "\n", "b"),
    *[("short", "s")] * 2,
    (CONTEXT, "the"),
    ("The thin", " theme"),
    ("The thin", " thing"),
    ("b", "the last " * 9),
)
"""Contexts and choices: choices of one token, choices within others, contexts that are empty, end in spaces or do not
fit, and requests that come again; what shares a row is more than fits into the context."""

SIZE = {
    "vocab_size": 288,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
ABSOLUTE = SIZE | {"max_position_embeddings": CONTEXT_LENGTH}
GATED = ABSOLUTE | {"intermediate_size": 48, "num_key_value_heads": 2}
OPT = {"ffn_dim": 48, "word_embed_proj_dim": 32, "init_std": 0.3, "dropout": 0.0}
LOCAL = {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "intermediate_size": 48}
BOTH, EAGER = ("sdpa", "eager"), ("eager",)

MODELS: Mapping[str, tuple[str, Mapping[str, Any], Sequence[str]]] = {
    "Llama": ("Llama", GATED, BOTH),
    "Qwen2": ("Qwen2", GATED, BOTH),
    "Qwen3": ("Qwen3", GATED | {"head_dim": 8}, BOTH),
    "GPT-NeoX": ("GPTNeoX", ABSOLUTE | {"intermediate_size": 48}, BOTH),
    "GPT-2": ("GPT2", SIZE | {"n_positions": CONTEXT_LENGTH}, BOTH),
    "OPT": ("OPT", ABSOLUTE | OPT, BOTH),
    "Mistral": ("Mistral", GATED | {"sliding_window": 16}, BOTH),
    "Mistral, window of 40": ("Mistral", GATED | {"sliding_window": 40}, BOTH),
    "Mistral, long window": ("Mistral", GATED | {"sliding_window": CONTEXT_LENGTH}, BOTH),
    "Phi3, longrope": (
        "Phi3",
        GATED
        | {
            "original_max_position_embeddings": 32,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "short_factor": [1.0] * 4,
                "long_factor": [1.0, 4.0, 9.0, 16.0],
                "original_max_position_embeddings": 32,
            },
        },
        BOTH,
    ),
    "Llama, dynamic": (
        "Llama",
        GATED | {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}},
        BOTH,
    ),
    "Gemma2": ("Gemma2", GATED | {"head_dim": 8, "sliding_window": 16, "query_pre_attn_scalar": 8}, EAGER),
    "Gemma3": (
        "Gemma3Text",
        GATED | {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]},
        BOTH,
    ),
    "Gemma3, window of 40": (
        "Gemma3Text",
        GATED | {"sliding_window": 40, "layer_types": ["sliding_attention", "full_attention"]},
        BOTH,
    ),
    "Gemma3, window unused": (
        "Gemma3Text",
        GATED | {"sliding_window": 16, "layer_types": 2 * ["full_attention"]},
        BOTH,
    ),
    "Cohere": ("Cohere", GATED | {"logit_scale": 0.25}, BOTH),
    "Granite": ("Granite", GATED | {"logits_scaling": 4.0}, BOTH),
    "Mamba": ("Mamba", SIZE | {"state_size": 4}, EAGER),
    "Bloom": ("Bloom", SIZE, EAGER),
    "GPT-Neo": ("GPTNeo", ABSOLUTE | LOCAL | {"window_size": 16}, EAGER),
    "GPT-Neo, long window": (
        "GPTNeo",
        ABSOLUTE | LOCAL | {"window_size": 64, "max_position_embeddings": 2048},
        EAGER,
    ),
    "GPT-Neo, mask of its own": (
        "GPTNeo",
        ABSOLUTE | LOCAL | {"window_size": 256},
        EAGER,
    ),
    "RecurrentGemma": (
        "RecurrentGemma",
        GATED | {"head_dim": 8, "num_hidden_layers": 3, "attention_window_size": 16, "lru_width": 32},
        EAGER,
    ),
}
"""transformers' name, keys of its config, and attention implementations that it has."""

CHOSEN = {
    "Llama": ("packed", ""),
    "Qwen2": ("packed", ""),
    "Qwen3": ("packed", ""),
    "GPT-NeoX": ("packed", ""),
    "GPT-2": ("packed", ""),
    "Mistral": ("straight", "MistralForCausalLM attends to a sliding window of 16 tokens"),
    "Mistral, long window": ("packed", ""),
    "Gemma2": ("plain", "Gemma2ForCausalLM changes its logits after the head"),
    "Gemma3": ("straight", "Gemma3ForCausalLM attends to a sliding window of 16 tokens"),
    "Gemma3, window unused": ("packed", ""),
    "Cohere": ("plain", "CohereForCausalLM changes its logits after the head"),
    "Granite": ("plain", "GraniteForCausalLM changes its logits after the head"),
    "Mamba": ("straight", "MambaForCausalLM carries a state from token to token"),
    "Bloom": ("straight", "the code of BloomForCausalLM does not support it"),
}
"""Layout and why. What the others get need only be right."""


@pytest.fixture(scope="module", autouse=True)
def _few_words() -> Iterator[None]:
    """lm-eval warns of models that are handed over, and transformers of kernels that are not there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger("lm_eval"), "level", logging.ERROR)
        patch.setattr(logging.getLogger("transformers"), "level", logging.ERROR)
        yield


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    of = family()
    return write_export(tmp_path_factory.mktemp("scorer") / "export", of, of.runs()[0])


@pytest.fixture(scope="module")
def options(export: Path) -> dict[str, Any]:
    """What both backends are told."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(export)
    return {"tokenizer": tokenizer, "max_length": CONTEXT_LENGTH, "batch_size": 1}


@pytest.fixture(scope="module")
def stock(options: dict[str, Any]) -> Callable[[Any], list[Answer]]:
    """lm-eval's answers of a model to PAIRS, a request at a time."""
    known: dict[int, tuple[Any, list[Answer]]] = {}

    def answers(model: Any) -> list[Answer]:
        if id(model) not in known:  # the model is kept too, so that no other gets its id
            lm = HFLM(pretrained=model, **options)
            known[id(model)] = model, lm.loglikelihood(_requests(PAIRS), disable_tqdm=True)
        return known[id(model)][1]

    return answers


@pytest.fixture(scope="module")
def llama() -> Any:
    return _model("Llama")


def _model(name: str, attention: str = "eager", dtype: torch.dtype = torch.float32) -> Any:
    kind, told, _ = MODELS[name]
    config = getattr(transformers, f"{kind}Config")(**told)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith("bias"):  # they begin as nothing
                parameter.normal_(0, 0.3)
    return model.to(dtype).eval()


def _requests(pairs: Sequence[tuple[Any, ...]], kind: Any = "loglikelihood") -> list[Instance]:
    return [Instance(request_type=kind, doc={}, arguments=pair, idx=number) for number, pair in enumerate(pairs)]


def _packing(lm: SharedLM) -> Packing:
    return pack(*Encoder.of(lm).encode(PAIRS), lm.max_length)


def _require_same(found: Sequence[Answer], expected: Sequence[Answer]) -> None:
    likelihoods, greedy = zip(*found, strict=True)
    their_likelihoods, their_greedy = zip(*expected, strict=True)
    assert likelihoods == pytest.approx(their_likelihoods, rel=0, abs=1e-4)
    assert greedy == their_greedy


CASES = [(name, attention) for name, (_, _, attentions) in MODELS.items() for attention in attentions]


@pytest.mark.parametrize(("name", "attention"), CASES)
def test_answers_are_lm_evals(name, attention, options, stock):
    model = _model(name, attention)
    assert model.config._attn_implementation == attention
    lm = SharedLM(pretrained=model, **options)
    _require_same(lm.loglikelihood(_requests(PAIRS)), stock(model))
    if name in CHOSEN:
        layout, reason = CHOSEN[name]
        assert lm.layout == lm.layout_support.layout == layout
        assert lm.layout_support.note.endswith(reason)
        assert bool(lm.layout_support.note) == bool(reason)


@pytest.mark.parametrize("name", ["Mistral, window of 40", "Gemma3, window of 40"])
def test_inputs_within_a_sliding_window_share_rows(name, options):
    window, model = 40, _model(name, "sdpa")
    lm = SharedLM(pretrained=model, **options)
    assert lm.layout_support == LayoutSupport("packed", window=window)
    texts = ("the others went", "some of them", "nobody ever", "another one", "a thin one", "ten", "the winter")
    short = [("The thin theme is that", f" {text}") for text in texts]
    assert max(len(lm.tok_encode("".join(pair))) for pair in short) <= window
    theirs = HFLM(pretrained=model, **options)
    for pairs, layout in ((short, "packed"), (PAIRS, "straight")):
        expected = theirs.loglikelihood(_requests(pairs), disable_tqdm=True)
        _require_same(lm.loglikelihood(_requests(pairs)), expected)
        assert lm.layout == layout
    assert pack(*Encoder.of(lm).encode(short), lm.max_length).lengths.max() > window


@pytest.mark.parametrize("batch_tokens", [1, 300, None])
@pytest.mark.parametrize("layout", ["packed", "straight", "plain"])
@pytest.mark.parametrize("name", ["Llama", "GPT-NeoX", "GPT-2"])
def test_no_layout_and_no_budget_changes_an_answer(name, layout, batch_tokens, options, stock, models):
    lm = SharedLM(pretrained=models[name], layout=layout, batch_tokens=batch_tokens, **options)
    _require_same(lm.loglikelihood(_requests(PAIRS)), stock(models[name]))
    assert lm.layout == layout


@pytest.fixture(scope="module")
def models(llama) -> dict[str, Any]:
    """Those that are asked again and again."""
    return {"Llama": llama, "GPT-NeoX": _model("GPT-NeoX", "sdpa"), "GPT-2": _model("GPT-2", "sdpa")}


def test_the_requests_try_what_they_should(llama, options):
    lm = SharedLM(pretrained=llama, **options)
    packing = _packing(lm)
    lengths = packing.lengths
    assert lengths.max() > CONTEXT_LENGTH  # rows that hold more than the context
    assert {True, False} == set(packing.branching.tolist())
    assert packing.straight().lengths.max() == CONTEXT_LENGTH  # truncated
    assert {1, 2} < set(np.diff(packing.request_starts).tolist())
    assert len(packing.tokens) < 0.6 * len(packing.straight().tokens)
    answers = lm.loglikelihood(_requests(PAIRS))
    assert answers[0] == answers[PAIRS.index((CONTEXT, "the"), 1)]


def test_greedy_choices_are_found(llama, options):
    lm = SharedLM(pretrained=llama, **options)
    tokens = torch.tensor([lm.tok_encode(CONTEXT.rstrip())])
    with torch.inference_mode():
        for _ in range(3):
            tokens = torch.cat([tokens, llama(tokens).logits[:, -1:].argmax(-1)], 1)
    (*context, first, second, third) = tokens[0].tolist()
    other = (third + 1) % 256
    asked = [(("", ""), context, own) for own in ([first], [first, second, third], [first, second, other], [other])]
    found = lm._loglikelihood_tokens(asked)
    assert [greedy for _, greedy in found] == [True, True, False, False]
    _require_same(found, HFLM(pretrained=llama, **options)._loglikelihood_tokens(asked, disable_tqdm=True))


def test_each_answer_is_told_of_and_counted(llama, options):
    lm = SharedLM(pretrained=llama, batch_tokens=130, **options)
    told: list[tuple[int, int]] = []
    lm.on_scored = lambda requests, tokens: told.append((requests, tokens))
    lm.loglikelihood(_requests(PAIRS))
    assert len(told) > 2
    assert [sum(part) for part in zip(*told, strict=True)] == [len(PAIRS), len(_packing(lm).tokens)]


def test_no_request_has_no_answer(llama, options):
    lm = SharedLM(pretrained=llama, **options)
    assert lm.loglikelihood([]) == HFLM(pretrained=llama, **options).loglikelihood([], disable_tqdm=True) == []


def test_windows_of_a_text_are_summed_as_by_lm_eval(llama, options):
    texts = [(CONTEXT * 4,), ("the",), (CONTEXT,)]
    one, other = (kind(pretrained=llama, **options) for kind in (SharedLM, HFLM))
    found = one.loglikelihood_rolling(_requests(texts, "loglikelihood_rolling"))
    expected = other.loglikelihood_rolling(_requests(texts, "loglikelihood_rolling"), disable_tqdm=True)
    assert found == pytest.approx(expected, rel=0, abs=2e-4)


def test_text_is_generated_by_lm_eval(llama, options):
    until = {"until": ["\n"], "max_gen_toks": 6, "do_sample": False}
    asked = [(CONTEXT, until), ("the", until)]
    one, other = (kind(pretrained=llama, **options) for kind in (SharedLM, HFLM))
    found = one.generate_until(_requests(asked, "generate_until"), disable_tqdm=True)
    assert found == other.generate_until(_requests(asked, "generate_until"), disable_tqdm=True)
    assert all(found)


def test_it_stands_in_for_lm_evals_backend(export, tmp_path, monkeypatch):
    import lm_eval
    from lm_eval.tasks import TaskManager

    documents = tmp_path / "documents.jsonl"
    texts = ("the water", "a garden in winter", "1010 and ten", "nothing", "that they went")
    rows = [
        {"text": text, "choices": [" one", " the other", "s"], "gold": place % 3} for place, text in enumerate(texts)
    ]
    documents.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {
        "task": "made_up",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(documents)}},
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "{{text}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{gold}}",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    }
    (tmp_path / "made_up.yaml").write_text(json.dumps(task))
    monkeypatch.setenv("DISABLE_MULTIPROC", "1")
    manager = TaskManager(include_defaults=False, include_path=str(tmp_path))
    found, expected = (
        lm_eval.simple_evaluate(
            model=kind(pretrained=str(export), device="cpu", dtype="float32", batch_size=4),
            tasks=["made_up"],
            task_manager=manager,
            num_fewshot=2,
            bootstrap_iters=0,
        )
        for kind in (SharedLM, HFLM)
    )
    assert found["results"] == expected["results"]
    assert found["config"]["model_num_parameters"] == expected["config"]["model_num_parameters"]
    for one, other in zip(found["samples"]["made_up"], expected["samples"]["made_up"], strict=True):
        assert one["arguments"] == other["arguments"]
        _require_same([answer for (answer,) in one["resps"]], [answer for (answer,) in other["resps"]])


def test_a_model_that_is_not_causal_is_refused(options):
    config = transformers.BertConfig(**ABSOLUTE, intermediate_size=48, is_decoder=False)
    torch.manual_seed(0)
    model = transformers.BertLMHeadModel(config).eval()
    with refused("model-not-causal", ResultsError, model="BertLMHeadModel"):
        SharedLM(pretrained=model, backend="causal", **options)


def test_a_tokenizer_with_more_ids_than_the_model_is_refused(options, tmp_path):
    config = transformers.LlamaConfig(**GATED | {"vocab_size": 100})
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    options["tokenizer"].save_pretrained(tmp_path)
    with refused("vocabulary-exceeded", ExportError, path=tmp_path, rows=100, ids=262):
        load_model(tmp_path, "cpu", "float32")
    lm = SharedLM(pretrained=transformers.LlamaForCausalLM(config), backend="causal", **options)
    with refused("vocabulary-exceeded", ResultsError, rows=100, id=max(lm.tok_encode("aé"))):
        lm.loglikelihood(_requests([("a", "é")]))


@pytest.fixture
def narrow(llama) -> Iterator[Callable[[int, BaseException], list[int]]]:
    """Has the model run out of memory for batches of more tokens; gives the sizes that are asked for from then on."""
    handles: list[Any] = []

    def least(tokens: int, error: BaseException) -> list[int]:
        asked: list[int] = []

        def check(module: Any, arguments: Any, named: dict[str, Any]) -> None:
            asked.append(named["input_ids"].numel())
            if asked[-1] > tokens:
                raise error

        handles.append(llama.base_model.register_forward_pre_hook(check, with_kwargs=True))
        return asked

    yield least
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("layout", ["packed", "straight", "plain"])
@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
    ids=["cuda", "cpu"],
)
def test_where_memory_runs_out_batches_are_halved(llama, options, stock, narrow, layout, error):
    expected = stock(llama)
    lm = SharedLM(pretrained=llama, layout=layout, **options)
    longest = int(_packing(lm).lengths.max()) if layout == "packed" else CONTEXT_LENGTH
    asked = narrow(longest + 100, error)
    _require_same(lm.loglikelihood(_requests(PAIRS)), expected)
    refused = [tokens for tokens in asked if tokens > longest + 100]
    assert 1 <= len(refused) <= 5
    assert all(other <= one / 2 + longest for one, other in pairwise(refused))
    assert longest <= lm.batch_tokens <= refused[-1] / 2


def test_where_one_row_is_too_much_it_says_so(llama, options, narrow):
    lm = SharedLM(pretrained=llama, layout="straight", **options)
    narrow(CONTEXT_LENGTH - 1, torch.OutOfMemoryError("CUDA out of memory."))
    with refused("memory-exhausted", ResultsError, device="cpu", tokens=96) as caught:
        lm.loglikelihood(_requests(PAIRS))
    assert "--dtype bfloat16" in str(caught.value.hint)


def test_other_errors_of_a_model_are_not_taken_for_a_lack_of_memory(llama, options, narrow):
    lm = SharedLM(pretrained=llama, **options)
    narrow(0, RuntimeError("shapes do not match"))
    with refused("model-failed", ResultsError, model="LlamaForCausalLM") as caught:
        lm.loglikelihood(_requests(PAIRS))
    assert str(caught.value.__cause__) == "shapes do not match"


@pytest.mark.parametrize("straight_is_faster", [True, False])
def test_of_packed_and_straight_the_faster_is_chosen(llama, options, stock, monkeypatch, straight_is_faster):
    expected = stock(llama)
    lm = SharedLM(pretrained=llama, **options)
    assert lm._measures is False  # on CPU
    assert lm._straight_is_faster(_packing(lm)) in (True, False)
    lm._measures = True
    lm.loglikelihood(_requests(PAIRS))
    assert lm.layout in ("packed", "straight")
    tried: list[str] = []
    score = lm._score

    def slow(packing: Packing, layout: Any) -> list[Answer]:
        tried.append(layout)
        if len(tried) <= 4:
            clock[0] += 2.0 if (layout == "packed") == straight_is_faster else 1.0
        return score(packing, layout)

    clock = [0.0]
    monkeypatch.setattr("mixhub.evaluation.scorer.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr(lm, "_score", slow)
    _require_same(lm.loglikelihood(_requests(PAIRS)), expected)
    chosen = "straight" if straight_is_faster else "packed"
    assert tried == ["packed", "straight", "packed", "straight", chosen]
    assert lm.layout == chosen


def test_some_rows_answer_their_requests_as_all_do(llama, options, stock):
    lm = SharedLM(pretrained=llama, **options)
    packing = _packing(lm)
    for rows in (np.flatnonzero(packing.branching), np.array([len(packing.lengths) - 1, 0]), np.array([1])):
        requests = np.flatnonzero(np.isin(packing.request_rows, rows))
        part = _selected(packing, rows, requests)
        assert part.lengths.tolist() == packing.lengths[rows].tolist()
        for layout in ("packed", "straight"):
            _require_same(lm._score(part, layout), [stock(llama)[number] for number in requests])


def test_a_mask_lets_each_place_see_its_ancestors():
    # a row of 5 places: 0 and 1 are shared, 2 and 3 are one branch, 4 is the other; and a row of 2 with padding
    ends = torch.tensor([[5, 5, 4, 4, 5], [2, 2, 0, 0, 0]])
    mask = ancestor_mask(ends, torch.float32)
    assert (mask.shape, mask.dtype) == ((2, 1, 5, 5), torch.float32)
    assert set(mask.unique().tolist()) == {0.0, torch.finfo(torch.float32).min}
    seen = (mask == 0).int()[:, 0].tolist()
    assert seen[0] == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 0, 0, 1]]
    assert seen[1] == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]


@pytest.mark.parametrize("attention", BOTH)
def test_a_model_of_few_bits_is_packed_too(attention, options, stock):
    model = _model("Llama", attention, torch.bfloat16)
    lm = SharedLM(pretrained=model, **options)
    found = np.array(lm.loglikelihood(_requests(PAIRS)))[:, 0]
    assert (lm.layout, lm.layout_support.note) == ("packed", "")
    expected = np.array(stock(model))[:, 0]
    tokens = np.diff(_packing(lm).request_starts)
    assert np.isfinite(found).all()
    assert np.abs(found - expected).max() > 0  # it is not float32 in secret
    assert (np.abs(found - expected) / tokens).max() < 0.2
