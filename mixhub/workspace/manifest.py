"""What a folder of token shards holds: its `manifest.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from mixhub.errors import CorpusError
from mixhub.files import read_json
from mixhub.spec import Family, Tokenizer
from mixhub.spec.base import FrozenList, FrozenMap, Spec
from mixhub.spec.values import Count
from mixhub.workspace.lineage import Sha256

MANIFEST_FILE = "manifest.json"

Split = Literal["train", "valid"]
SPLITS: tuple[Split, ...] = ("train", "valid")


class SourceFile(Spec):
    """A file of the corpus as it was when it was packed."""

    name: str
    """Path relative to the corpus."""
    size: Count
    """Bytes."""
    content_sha256: Sha256
    """Hash of its bytes."""


class Shard(Spec):
    """A file of tokens."""

    file: str
    """Path relative to the manifest."""
    tokens: Count
    """How many it holds."""
    content_sha256: Sha256
    """Hash of its bytes."""


class PackedDomain(Spec):
    """One domain of a split."""

    documents: Count
    """Documents, each with its eos token."""
    tokens: Count
    """Tokens of all shards, eos tokens included."""
    shards: FrozenList[Shard]
    """One stream of tokens, cut anywhere."""
    sources: FrozenList[SourceFile]
    """What it was made from."""


class Manifest(Spec):
    """What a folder of token shards holds."""

    format: Literal[1] = 1
    """Version of the folder's layout."""
    corpus: str
    """Name of the corpus."""
    tokenizer: Tokenizer
    """The tokenizer, as the family describes it."""
    tokenizer_sha256: Sha256
    """Hash of `tokenizer/tokenizer.json`."""
    dtype: Literal["uint16", "uint32"]
    """Of each token, little-endian."""
    eos_id: Count
    """Id that ends each document."""
    train: FrozenMap[str, PackedDomain]
    """Training domains, without prefix."""
    valid: FrozenMap[str, PackedDomain]
    """Validation domains, without prefix."""

    def domains(self, split: Split) -> Mapping[str, PackedDomain]:
        """The domains of a split."""
        return self.train if split == "train" else self.valid

    def for_family(self, family: Family) -> Manifest:
        """The part that a family reads; its `sha256` does not change when other families' domains are packed beside.

        Raises:
            CorpusError: the tokens were made for another corpus or tokenizer, or lack domains.
        """
        self.require_tokenizer(family, f"tokens of {self.corpus}")
        wanted = required_domains(family)
        missing = [
            f"{split}/{domain}" for split in SPLITS for domain in wanted[split] if domain not in self.domains(split)
        ]
        if missing:
            raise CorpusError(
                f"tokens of {self.corpus}: no {', '.join(missing)}, which {family.name} needs",
                code="domains-not-packed",
                hint=f"pack the corpus for {family.name}: mixhub data pack",
                missing=tuple(missing),
            )
        kept: dict[str, object] = {
            split: {domain: self.domains(split)[domain] for domain in wanted[split]} for split in SPLITS
        }
        return self.model_copy(update=kept)

    def require_tokenizer(self, family: Family, place: str) -> None:
        """Raises CorpusError, naming `place`, when the tokens are of another corpus or tokenizer than the family's."""
        pairs: list[tuple[str, object, object]] = [("data.corpus", self.corpus, family.data.corpus)]
        ours = family.tokenizer.to_data()
        theirs = self.tokenizer.to_data()
        pairs += [(f"tokenizer.{key}", theirs.get(key), ours.get(key)) for key in sorted({*ours, *theirs})]
        for key, packed, wanted in pairs:
            if packed != wanted:
                raise CorpusError(
                    f"{place}: packed with {key} = {packed!r}, but {family.name} says {wanted!r}",
                    code="tokens-differ",
                    hint="give the tokenizer another tokenizer.name in the family, or delete or rename the folder",
                    key=key,
                    packed=packed,
                    wanted=wanted,
                )


def read_manifest(tokens: Path) -> Manifest:
    """The manifest of a folder of token shards; raises CorpusError when there is none, SpecError when it is wrong."""
    path = tokens / MANIFEST_FILE
    if not path.is_file():
        raise CorpusError(f"no token shards at {tokens}", code="tokens-missing", hint="mixhub data pack", path=tokens)
    return Manifest.from_data(read_json(path, CorpusError), str(path))


def required_domains(family: Family) -> dict[Split, list[str]]:
    """Domains that a family samples in any of its mixtures, and those that it validates on; sorted, without prefix."""
    mixtures = [family.mixture] if family.mixture is not None else list((family.mixtures or {}).values())
    sampled = {key for mixture in mixtures for key in mixture.shares}
    return {
        "train": sorted(key.removeprefix(family.data.train_prefix) for key in sampled),
        "valid": sorted(key.removeprefix(family.data.valid_prefix) for key in family.validation.shares),
    }
