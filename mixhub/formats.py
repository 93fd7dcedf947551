"""Names of splits and of formats of tokens, for options of commands: it imports nothing, so help is instant."""

from typing import Literal

Split = Literal["train", "valid"]
TokenFormat = Literal["megatron", "datatrove", "parquet", "olmo", "llm.c", "litgpt", "regmix"]
"""Formats of other tools for files of tokens; `mixhub/data/formats/` has them."""
TokenType = Literal["uint16", "uint32"]
"""Types of a token, little-endian."""
