"""The tokenizer of a family: a byte-level BPE trained on the corpus, or a published one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.data.corpus import Corpus
from mixhub.errors import CorpusError
from mixhub.spec import Family
from mixhub.spec import Tokenizer as TokenizerSpec
from mixhub.workspace.lineage import file_sha256
from mixhub.workspace.manifest import Manifest

if TYPE_CHECKING:
    import tokenizers

TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_FOLDER = "tokenizer"
"""Folder of the tokenizer, in that of the tokens."""
SAMPLE_CHARACTERS = 4_000_000
"""Maximum text of each domain for training a tokenizer: its first documents."""
_PIECE_CHARACTERS = 10_000
_PROBE = "The café's price: 12 + 7 = 19 €.\n\tdef f(x):\n\t\treturn x  # 数 🙂\n"


def make_tokenizer(family: Family, corpus: Corpus, destination: Path, source: Path | None = None) -> None:
    """Write the family's tokenizer to the new folder `destination`, as a fast tokenizer of Transformers.

    Args:
        family: has the number of ids, the eos token, and the context length.
        corpus: text to train on if the family names no repo: all training domains, so that families with the same
            corpus share a tokenizer.
        destination: gets `tokenizer.json` and `tokenizer_config.json`.
        source: folder with the `tokenizer.json` of the family's repo, which is copied unchanged.

    Raises:
        CorpusError: the corpus is too small for the vocabulary, `source` is missing, or its tokenizer is not as the
            family says.
    """
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    eos = family.tokenizer.eos_token
    if source is None:
        if (repo_id := family.tokenizer.repo_id) is not None:
            hint = f"hf download {repo_id} tokenizer.json tokenizer_config.json"
            message = f"{family.name}: the tokenizer {repo_id} must be downloaded before packing"
            raise CorpusError(message, code="tokenizer-missing", hint=hint, repo_id=repo_id)
        tokenizer = saved = _train(family.tokenizer, corpus)
    else:
        tokenizer = open_tokenizer(tokenizer_file(source))
        saved = Tokenizer(models.BPE())  # for the config, which has nothing of the vocabulary; the rest is copied
        saved.add_special_tokens([eos])
    _check(tokenizer, family, source or corpus.path)
    specials = dict.fromkeys(("bos_token", "eos_token", "pad_token"), eos)
    length = family.architecture.context
    wrapped = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=saved, **specials, model_max_length=length, clean_up_tokenization_spaces=False
    )
    wrapped.save_pretrained(destination)
    if source is not None:
        shutil.copyfile(tokenizer_file(source), destination / TOKENIZER_FILE)


def eos_id(tokenizer: tokenizers.Tokenizer, family: Family) -> int:
    """Return the id of the family's eos token; raises CorpusError if the tokenizer has no such token."""
    token = family.tokenizer.eos_token
    number: int | None = tokenizer.token_to_id(token)
    if number is None:
        message = f"tokenizer {family.tokenizer.name} has no token {token!r} (tokenizer.eos_token)"
        raise CorpusError(message, code="eos-token-missing", eos_token=token)
    return number


def open_tokenizer(file: Path) -> tokenizers.Tokenizer:
    """Open a `tokenizer.json`; raises CorpusError if that fails."""
    from tokenizers import Tokenizer

    if not file.is_file():
        raise CorpusError(f"{file}: no such file", code="file-missing", path=file)
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises Exception itself
        message = f"{file}: no tokenizer that can be opened: {error}"
        hint = "get the tokenizer again: hf download REPO tokenizer.json"
        raise CorpusError(message, code="file-malformed", hint=hint, path=file) from None


def normalizer(tokenizer: tokenizers.Tokenizer) -> str | None:
    """Return the type of a tokenizer's normalizer, such as `NFC`; None if it has none."""
    return None if tokenizer.normalizer is None else str(json.loads(tokenizer.normalizer.__getstate__())["type"])


def _train(spec: TokenizerSpec, corpus: Corpus) -> tokenizers.Tokenizer:
    """Train a byte-level BPE (Sennrich et al. 2016; bytes as in GPT-2) whose id 0 is the eos token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    size, specials, alphabet = spec.vocab_size, [spec.eos_token], pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(training_sample(corpus), trainer)
    return tokenizer


def training_sample(corpus: Corpus) -> Iterator[str]:
    """Yield the text that a tokenizer is trained on: the first documents of each training domain."""
    for domain in corpus.domains("train"):
        left = SAMPLE_CHARACTERS
        for text in corpus.documents("train", domain):
            for start in range(0, min(len(text), left), _PIECE_CHARACTERS):
                yield text[start : min(start + _PIECE_CHARACTERS, left)]
            left -= len(text)
            if left <= 0:
                break


def _check(tokenizer: tokenizers.Tokenizer, family: Family, source: Path) -> None:
    size, wanted = max(tokenizer.get_vocab().values(), default=-1) + 1, family.tokenizer.vocab_size
    if size != wanted:
        message = f"{source}: the tokenizer has {size} ids, but tokenizer.vocab_size = {wanted}"
        hint = f"set tokenizer.vocab_size: {size} in the family"
        raise CorpusError(message, code="vocabulary-size", hint=hint, size=size, wanted=wanted)
    eos_id(tokenizer, family)
    ids = tokenizer.encode(_PROBE, add_special_tokens=False).ids
    if (text := tokenizer.decode(ids, skip_special_tokens=False)) != _PROBE:
        message = f"{source}: the tokenizer loses text: it turns {_PROBE!r} into {text!r}"
        raise CorpusError(message, code="tokenizer-lossy", text=text)


def tokenizer_file(folder: Path) -> Path:
    """Return the `tokenizer.json` in a folder; raises CorpusError if it is missing."""
    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise CorpusError(f"{path}: no such file", code="file-missing", path=path)
    return path


def require_same_tokenizer(manifest: Manifest, tokens: Path, folder: Path) -> None:
    """Raise CorpusError if the tokenizer in a folder is not the one that made `tokens`."""
    if (given := file_sha256(tokenizer_file(folder))) != manifest.tokenizer_sha256:
        message = f"{folder}: differs from the tokenizer of {tokens}"
        hint = "tokens of another tokenizer need a family with another tokenizer.name, which has its own folder"
        raise CorpusError(message, code="tokens-differ", hint=hint, key="tokenizer_sha256", packed=given)
