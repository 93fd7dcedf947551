"""`manifest.json` of a folder of token shards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from mixhub.errors import CorpusError
from mixhub.files import read_json
from mixhub.formats import Split as Split
from mixhub.formats import TokenFormat as TokenFormat
from mixhub.formats import TokenType as TokenType
from mixhub.spec import Family, Tokenizer
from mixhub.spec.base import FrozenList, FrozenMap, Spec
from mixhub.spec.values import Count
from mixhub.workspace.lineage import DatasetPart, Sha256

MANIFEST_FILE = "manifest.json"

SPLITS: tuple[Split, ...] = ("train", "valid")
Domains = Mapping[Split, list[str]]
"""Names of domains without prefix, by split."""


class SkippedRows(Spec):
    """Broken rows that were not packed."""

    count: Count
    """How many there are."""
    first: FrozenList[str]
    """The first 20, as `<line>: <reason>`."""


class SourceFile(Spec):
    """A file of the corpus at the time it was packed."""

    name: str
    """Path relative to the corpus."""
    size: Count
    """Bytes."""
    content_sha256: Sha256
    """Hash of its bytes."""
    documents: Count | None = None
    """Documents in it; absent in format 1."""
    tokens: Count | None = None
    """Tokens of its documents, eos tokens included; absent in format 1."""
    format: TokenFormat | None = None
    """Format of a file of tokens that was imported; absent if it was text."""
    text_key: str | None = None
    """Key of the text in its rows; absent if it is `text`."""
    held_out: float | None = None
    """Share of its documents that is held out for `valid`, if one file is packed into both splits."""
    skipped: SkippedRows | None = None
    """Broken rows that were skipped; absent if there are none."""
    normalized: Count | None = None
    """Documents that the tokenizer's normalizer, such as NFC, changed; absent if there are none."""


class Shard(Spec):
    """A file of tokens."""

    file: str
    """Path relative to the manifest."""
    tokens: Count
    """Number of tokens."""
    content_sha256: Sha256
    """Hash of its bytes."""
    ends_sha256: Sha256 | None = None
    """Hash of the file of document ends beside it, with the suffix `.index`; absent in format 1."""


class PackedDomain(Spec):
    """One domain of a split."""

    documents: Count
    """Documents, each with its eos token."""
    tokens: Count
    """Tokens of all shards, eos tokens included."""
    shards: FrozenList[Shard]
    """Parts of one stream of tokens: one for each source, in the same order. In format 1, cut anywhere."""
    sources: FrozenList[SourceFile]
    """The packed files."""
    datasets: FrozenList[DatasetPart] | None = None
    """Dataset repos from which they were downloaded by `mixhub data download`, and how many files those have."""

    @property
    def has_ends(self) -> bool:
        """Whether it is known which documents each source has and where they end; not in format 1."""
        return all(shard.ends_sha256 is not None for shard in self.shards)

    def require_ends(self, name: str) -> None:
        """Raise CorpusError if the domain, which is called `name`, was packed in format 1."""
        if not self.has_ends:
            message = f"{name}: packed by an older version of mixhub, which did not keep where documents and files end"
            hint = "delete or rename the folder of token shards and pack again; runs on the old tokens cannot resume"
            raise CorpusError(message, code="document-ends-missing", hint=hint, domain=name)


class Manifest(Spec):
    """The content of a folder of token shards."""

    format: Literal[1, 2] = 2
    """Version of the folder's layout. Format 1 had no ends of documents, and shards of equal size."""
    corpus: str
    """Name of the corpus."""
    tokenizer: Tokenizer
    """The tokenizer as the family describes it."""
    tokenizer_sha256: Sha256
    """Hash of `tokenizer/tokenizer.json`."""
    dtype: TokenType
    """Type of a token, little-endian."""
    eos_id: Count
    """Id of the token that ends each document."""
    train: FrozenMap[str, PackedDomain]
    """Training domains, without prefix."""
    valid: FrozenMap[str, PackedDomain]
    """Validation domains, without prefix."""

    @property
    def token_size(self) -> int:
        """Bytes of a token."""
        return int(self.dtype.removeprefix("uint")) // 8

    def domains(self, split: Split) -> Mapping[str, PackedDomain]:
        """Return the domains of a split."""
        return self.train if split == "train" else self.valid

    @property
    def datasets(self) -> tuple[DatasetPart, ...] | None:
        """Dataset repos of the training text, with files of all domains; None if mixhub downloaded none."""
        parts = [part for domain in self.train.values() for part in domain.datasets or ()]
        totals = {one.repo_id: (0, 0) for one in sorted(parts, key=lambda part: part.repo_id)}
        for one in parts:
            files, of = totals[one.repo_id]
            totals[one.repo_id] = (files + one.files, of + one.of)
        return tuple(DatasetPart(repo_id=name, files=files, of=of) for name, (files, of) in totals.items()) or None

    def sequences(self, split: Split, domain: str, sequence_length: int) -> int:
        """Return the number of whole sequences of a domain's stream; raises CorpusError if it is 0."""
        tokens = self.domains(split)[domain].tokens
        if tokens <= sequence_length:
            message = (
                f"tokens of {self.corpus}: {split}/{domain} has {tokens}, but a sequence needs {sequence_length} + 1"
            )
            raise CorpusError(message, code="domain-too-small", split=split, domain=domain, tokens=tokens)
        return (tokens - 1) // sequence_length

    def for_family(self, family: Family) -> Manifest:
        """Return the part that a family reads; packing domains of other families does not change its `sha256`.

        Raises:
            CorpusError: the tokens were made for another corpus or tokenizer, or lack domains.
        """
        self.require_tokenizer(family, f"tokens of {self.corpus}")
        needed = required_domains(family)
        pairs = [(split, domain) for split in SPLITS for domain in needed[split]]
        if missing := tuple(f"{split}/{domain}" for split, domain in pairs if domain not in self.domains(split)):
            message = f"tokens of {self.corpus}: {family.name} also needs {', '.join(missing)}"
            raise CorpusError(message, code="domains-not-packed", hint="run mixhub data pack", missing=missing)
        parts: dict[str, dict[str, PackedDomain]] = {
            split: {domain: self.domains(split)[domain] for domain in needed[split]} for split in SPLITS
        }
        is_old = not any(part.has_ends for domains in parts.values() for part in domains.values())
        return self.model_copy(update={**parts, "format": 1 if is_old else 2})

    def require_tokenizer(self, family: Family, where: str) -> None:
        """Raise CorpusError if the tokens, which are in `where`, are from another corpus or tokenizer."""
        ours, theirs = family.tokenizer.to_data(), self.tokenizer.to_data()
        pairs: list[tuple[str, object, object]] = [("data.corpus", self.corpus, family.data.corpus)]
        pairs += [(f"tokenizer.{key}", theirs.get(key), ours.get(key)) for key in sorted({*ours, *theirs})]
        for key, packed, wanted in pairs:
            if packed != wanted:
                message = f"{where}: packed with {key} = {packed!r}, but {family.name} has {wanted!r}"
                raise CorpusError(message, code="tokens-differ", key=key, packed=packed, wanted=wanted)


def token_type(tokenizer: Tokenizer) -> TokenType:
    """Return the smallest type of a token that holds all ids of a tokenizer."""
    return "uint16" if tokenizer.vocab_size <= 2**16 else "uint32"


def index_file(shard: Path) -> Path:
    """Return the file with the ends of a shard's documents: cumulative tokens, little-endian uint64."""
    return shard.with_name(f"{shard.name}.index")


def read_manifest(tokens: Path) -> Manifest:
    """Read the manifest of a folder of token shards; raises CorpusError if it is missing, SpecError if malformed."""
    path = tokens / MANIFEST_FILE
    if not path.is_file():
        fault, hint = "no tokens yet", "run mixhub data pack"
        if tokens.exists() or tokens.is_symlink():
            fault, hint = f"no tokens: it has no {MANIFEST_FILE}", f"delete or rename it, then {hint}"
        raise CorpusError(f"{tokens}: {fault}", code="tokens-missing", hint=hint, path=tokens)
    return Manifest.from_data(read_json(path, CorpusError), str(path))


def required_domains(family: Family) -> Domains:
    """Return the domains that a family samples in any mixture or validates on; sorted, without prefix."""
    sampled = {key for run in family.runs() for key in run.mixture.shares}
    return {
        "train": sorted(key.removeprefix(family.data.train_prefix) for key in sampled),
        "valid": sorted(key.removeprefix(family.data.valid_prefix) for key in family.validation.shares),
    }
