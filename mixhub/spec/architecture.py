"""The shape of a model: a Llama by its sizes, any other causal language model by its `config.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, WrapValidator, model_validator

from mixhub.errors import MixhubError, Problem
from mixhub.spec.base import CONFIG, Spec, data_sha256
from mixhub.spec.values import Name, Origin, PositiveFloat, PositiveInt

LLAMA = "llama"
CLASSES = "architectures"
"""Key of every `config.json`, by which a Llama that the fields below do not describe is told from one that they do."""
_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len")
_WIDTH = ("hidden_size", "n_embd", "d_model")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers")
"""Names of sizes in the configs of Transformers."""


class Architecture(Spec):
    """A Llama-like decoder; keys are those of `LlamaConfig`."""

    model_name: Name
    """Name of the architecture in RegMix's `train_config.yaml`, such as `tinyllama_1_1b`."""
    model_type: Literal["llama"] = "llama"
    """Model type in Transformers. With another one, or with `architectures`, the other keys are those of the model's
    `config.json`, whatever they are: `mixhub init --from-model` writes them."""
    hidden_size: PositiveInt
    """Width of the residual stream."""
    intermediate_size: PositiveInt
    """Width of the SwiGLU MLP."""
    num_hidden_layers: PositiveInt
    """Number of transformer blocks."""
    num_attention_heads: PositiveInt
    """Number of query heads."""
    num_key_value_heads: PositiveInt | None = None
    """Number of key and value heads. Default: the number of query heads."""
    max_position_embeddings: PositiveInt
    """Context length in tokens."""
    vocab_size: PositiveInt
    """Number of rows of the embedding, including padding."""
    rms_norm_eps: PositiveFloat = 1e-5
    """Epsilon that RMSNorm adds to the mean square."""
    rope_theta: PositiveFloat = 10000.0
    """Base of the rotary position embedding."""
    tie_word_embeddings: bool = False
    """Whether the output head shares its matrix with the embedding."""
    origin: Origin = "chosen"
    """Where the architecture comes from."""

    def _broken_rules(self) -> Iterator[Problem]:
        if self.hidden_size % (2 * self.num_attention_heads):
            rule = f"must be an even multiple of num_attention_heads, {self.num_attention_heads}"
            yield Problem("hidden_size", self.hidden_size, rule, code="heads-mismatch")
        if self.num_attention_heads % self.key_value_heads:
            rule = f"must divide the {self.num_attention_heads} query heads"
            yield Problem("num_key_value_heads", self.num_key_value_heads, rule, code="heads-mismatch")

    @property
    def context(self) -> int:
        """Context length in tokens."""
        return self.max_position_embeddings

    @property
    def key_value_heads(self) -> int:
        """Number of key and value heads."""
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def config(self) -> dict[str, Any]:
        """The keys of a `config.json`, without name and origin, and with the number of key and value heads."""
        data = {**self.to_data(), "num_key_value_heads": self.key_value_heads}
        return {key: value for key, value in data.items() if key not in ("model_name", "origin")}

    @property
    def parameters(self) -> int:
        """Number of trainable parameters, including embedding and head."""
        head_size = self.hidden_size // self.num_attention_heads
        attention = 2 * self.hidden_size**2 + 2 * self.hidden_size * head_size * self.key_value_heads
        block = attention + 3 * self.hidden_size * self.intermediate_size + 2 * self.hidden_size
        embeddings = self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)
        return self.num_hidden_layers * block + embeddings + self.hidden_size


class OtherArchitecture(Spec):
    """A causal language model of any kind, described by the keys of its `config.json`; Transformers validates them."""

    model_config = ConfigDict(**{**CONFIG, "extra": "allow"})

    model_name: Name
    """Name of the architecture in `train_config.yaml`. Default: `model_type`."""
    model_type: Name
    """Model type in Transformers, such as `gpt_neox`."""
    origin: Origin = "chosen"
    """Where the architecture comes from."""

    @model_validator(mode="before")
    @classmethod
    def _named_after_type(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return {**data, "model_name": data.get("model_name") or str(data.get("model_type"))}

    def _broken_rules(self) -> Iterator[Problem]:
        try:
            data_sha256(self.config)
        except MixhubError as error:
            yield Problem("", self.config, f"must be {error.message}", code=error.code)

    @property
    def config(self) -> dict[str, Any]:
        """The keys of a `config.json`, as stated; Transformers has defaults for others."""
        data = self.to_data()
        return {key: value for key, value in data.items() if key not in ("model_name", "origin")}

    @property
    def vocab_size(self) -> int | None:
        """Number of rows of the embedding; None if not stated."""
        return self._size("vocab_size")

    @property
    def context(self) -> int | None:
        """Context length in tokens; None if not stated, as of models without a limit."""
        return self._size(*_CONTEXT)

    @property
    def hidden_size(self) -> int | None:
        """Width of the residual stream; None if not stated."""
        return self._size(*_WIDTH)

    @property
    def layers(self) -> int | None:
        """Number of blocks; None if not stated."""
        return self._size(*_LAYERS)

    @property
    def parameters(self) -> None:
        """Unknown without the weights."""
        return None

    def _size(self, *names: str) -> int | None:
        config = self.config
        sizes = (config.get(name) for name in names)
        return next((size for size in sizes if type(size) is int and size > 0), None)


def is_other(data: Mapping[Any, Any]) -> bool:
    """Whether plain data describes a model by its `config.json`, rather than a Llama by its sizes."""
    return data.get("model_type", LLAMA) != LLAMA or CLASSES in data


def from_config(config: Mapping[str, Any], file: str) -> Architecture | OtherArchitecture:
    """Make an architecture of the keys of a config; raises SpecError if they break rules, naming the file."""
    kind = OtherArchitecture if is_other(config) else Architecture
    return kind.from_data({"model_name": str(config.get("model_type", LLAMA)), **config}, file)


def _validated(value: Any, _handler: object) -> Any:
    """Choose the class by the content: pydantic's union would report the problems of both."""
    of_other = isinstance(value, OtherArchitecture) or (isinstance(value, Mapping) and is_other(value))
    return (OtherArchitecture if of_other else Architecture).model_validate(value)


AnyArchitecture = Annotated[Architecture | OtherArchitecture, WrapValidator(_validated)]
