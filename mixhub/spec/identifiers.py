"""What the Hub takes in a card's metadata: licences, languages, tasks, libraries, tags.

Licences: https://huggingface.co/docs/hub/repositories-licenses. Tasks: https://huggingface.co/tasks. Languages are ISO
639-1, 639-2 or 639-3 codes, or BCP 47 tags (https://huggingface.co/docs/hub/model-cards).
"""

from __future__ import annotations

import re

OTHER = "other"
"""The licence that has a name of its own."""

LICENSES = frozenset(
    """
    afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
    bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
    cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0
    etalab-2.0 eupl-1.1 eupl-1.2 fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0
    grok2-community h-research intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2
    llama3.3 llama4 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openmdw-1.0 openrail openrail++ osl-3.0
    other pddl postgresql unknown unlicense wtfpl zlib
    """.split()  # noqa: SIM905 (a list of quoted words is no easier to read)
)

PIPELINE_TAGS = frozenset(
    """
    any-to-any audio-classification audio-text-to-text audio-to-audio automatic-speech-recognition
    depth-estimation document-question-answering feature-extraction fill-mask graph-ml image-classification
    image-feature-extraction image-segmentation image-text-to-image image-text-to-text image-text-to-video
    image-to-3d image-to-image image-to-text image-to-video keypoint-detection mask-generation multiple-choice
    object-detection other question-answering reinforcement-learning robotics sentence-similarity summarization
    table-question-answering table-to-text tabular-classification tabular-regression tabular-to-text
    text-classification text-generation text-ranking text-retrieval text-to-3d text-to-audio text-to-image
    text-to-speech text-to-video text2text-generation time-series-forecasting token-classification translation
    unconditional-image-generation video-classification video-text-to-text video-to-video
    visual-document-retrieval visual-question-answering voice-activity-detection zero-shot-classification
    zero-shot-image-classification zero-shot-object-detection
    """.split()  # noqa: SIM905 (a list of quoted words is no easier to read)
)

_LIBRARIES = (
    "adapter-transformers", "diffusers", "gguf", "keras", "litgpt", "mlx", "nemo", "open_clip", "peft", "pytorch",
    "safetensors", "sentence-transformers", "timm", "transformers", "transformers.js", "vllm",
)  # fmt: skip
"""Names that others are likely to be misspellings of; there are many more, and new ones all the time."""
_LANGUAGES = frozenset({"en", "code", "multilingual"})
"""The usual ones, which need no look into the registry of languages, and the Hub's own."""
_MOST_CHARACTERS = 96


def repo_id_problem(repo_id: str) -> str | None:
    """What is wrong with a repo_id, by the rules of the Hub; None when nothing is."""
    parts = repo_id.split("/")
    if len(parts) != 2 or not all(re.fullmatch(r"[A-Za-z0-9._-]+", part) for part in parts):
        return "must be <namespace>/<name>, each of letters, digits, '.', '_' and '-'"
    if len(repo_id) > 96:
        return "must have at most 96 characters"
    if any(part[0] in ".-" or part[-1] in ".-" for part in parts) or "--" in repo_id or ".." in repo_id:
        return "must not hold '--' or '..', nor begin or end a part with '.' or '-'"
    return "must not end in .git" if repo_id.endswith(".git") else None


def license_problem(text: str) -> str | None:
    """What is wrong with a licence identifier; None when nothing is."""
    if text in LICENSES:
        return None
    return f"must be a licence identifier of the Hub{_meant(text, LICENSES) or ', as apache-2.0, or other'}"


def license_name_problem(text: str) -> str | None:
    """What is wrong with the name of a licence that the Hub does not know; None when nothing is."""
    if re.fullmatch(r"[a-z0-9][a-z0-9.-]*", text) and len(text) <= _MOST_CHARACTERS:
        return None
    return "must be of lower-case letters, digits, '-' and '.', and begin with a letter or digit"


_LICENSE_FILE = re.compile(r"LICEN[CS]E[\w-]*(?:\.(?:md|txt|rst|pdf|html))?")


def license_link_problem(text: str) -> str | None:
    """What is wrong with where a licence stands: an address, or a file of the repo; None when nothing is."""
    if re.fullmatch(r"https?://[^\s/]+(?:/\S*)?", text) or _LICENSE_FILE.fullmatch(text):
        return None
    return "must be an address (https://…) or the name of a file, as LICENSE"


def language_problem(text: str) -> str | None:
    """What is wrong with a language; None when nothing is."""
    if text in _LANGUAGES:
        return None
    if re.fullmatch(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]+)*", text):
        from langcodes import tag_is_valid

        if tag_is_valid(text):
            return None
    return "must be a language code, as en or deu (ISO 639), zh-Hant (BCP 47), code, or multilingual"


def pipeline_tag_problem(text: str) -> str | None:
    """What is wrong with a task of the Hub; None when nothing is."""
    if text in PIPELINE_TAGS:
        return None
    return f"must be a task of the Hub{_meant(text, PIPELINE_TAGS) or ', as text-generation'}"


def library_problem(text: str) -> str | None:
    """What is wrong with the name of a library; None when nothing is, or nobody can tell."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", text):
        return "must be the name of a library, of letters, digits, '.', '_', '+' and '-'"
    meant = "" if text in _LIBRARIES else _meant(text, _LIBRARIES, cutoff=0.85)
    return f"is no library that is known{meant}" if meant else None


def tag_problem(text: str) -> str | None:
    """What is wrong with a tag; None when nothing is."""
    if not text.strip() or not text.isprintable():
        return "must be text on one line"
    return None if len(text) <= _MOST_CHARACTERS else f"must have at most {_MOST_CHARACTERS} characters"


def arxiv_problem(text: str) -> str | None:
    """What is wrong with an arXiv identifier; None when nothing is."""
    if re.fullmatch(r"\d{4}\.\d{4,5}(?:v\d+)?|[a-z-]+(?:\.[A-Z]{2})?/\d{7}", text):
        return None
    return "must be an arXiv identifier, as 2407.01492"


def _meant(text: str, known: frozenset[str] | tuple[str, ...], cutoff: float = 0.6) -> str:
    import difflib

    near = difflib.get_close_matches(text.casefold().replace("_", "-"), sorted(known), n=1, cutoff=cutoff)
    return f"; did you mean {near[0]}?" if near else ""
