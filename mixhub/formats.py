"""Names of splits, and of formats of text and of tokens; imports no heavy package, since the help needs them."""

from typing import Literal

Split = Literal["train", "valid"]
TokenFormat = Literal["megatron", "datatrove", "parquet", "olmo", "llm.c", "litgpt", "regmix"]
"""Formats of other tools for files of tokens; `mixhub/data/formats/` has them."""
TokenType = Literal["uint16", "uint32"]
"""Types of a token, little-endian."""
TEXT_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
"""What the name of a file of text may end in."""
TEXT_FILE = rf"(?P<domain>[^/]+)-(?P<number>\d+)(?:{'|'.join(TEXT_SUFFIXES)})".replace(".", r"\.")
"""Regular expression for the name of a file of text, in a corpus or a dataset repo."""
