"""OpenAI's encodings: `tiktoken:NAME`, and files of ranks."""

import hashlib
import os
import tempfile
from pathlib import Path

import tiktoken

from .bpe import BPETokenizer, MergeRanks, NormalForm, read_ranks
from .patterns import OF_ENCODING, PATTERNS

# Known ranks files by SHA-256, with their patterns, which the files themselves do not contain.
KNOWN_RANKS = {
    "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930": "gpt2",  # r50k_base
    "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069": "gpt2",  # p50k_base
    "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7": "gpt4",  # cl100k_base
    "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d": "gpt4o",  # o200k_base
    "82e9d31979e92ab929cd544440f129d9ecd797b69e327f80f17e1c50d5551b55": "llama3",  # Llama 3's tokenizer.model
    "d0bdbaf59b0762c8c807617e2d8ea51420eb1b1de266df2495be755c8e0ed6ed": "gpt4o",  # Llama 4's
    "b34b360dbb493e781e479794586d661700670d65564001f23024971d1f2fa126": "gpt2",  # Whisper
    "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186": "qwen",  # Qwen
    "8dde380a6405e935f5de16a99eb61c824f3f814dd1ed298784c72babb7a03cdd": "qwen3.5",  # Qwen 3.5
}
# The code that comes with these ranks normalizes text before it splits it.
NORMALIZATION: dict[str, NormalForm] = {"qwen": "NFC", "qwen3.5": "NFC"}


def read_encoding(spec: str) -> BPETokenizer | None:
    """Load the published encoding of a spec `tiktoken:NAME`; None if tiktoken has none of that name.

    Raises:
        ValueError: it is not in tiktoken's cache and cannot be downloaded.
    """
    name = spec.partition(":")[2]
    return BPETokenizer(_by_name(name), spec) if name in tiktoken.list_encoding_names() else None


def _by_name(name: str) -> MergeRanks:
    try:
        encoding = tiktoken.get_encoding(name)
    except Exception as error:  # the network or a damaged cache may raise anything
        reason = " ".join(str(error).split())[:120]
        cache = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
        where = cache or os.path.join(tempfile.gettempdir(), "data-gym-cache")
        raise ValueError(
            f"tiktoken:{name} is not in tiktoken's cache ({where}) and cannot be downloaded ({reason}): "
            f'on a machine with a network, run TIKTOKEN_CACHE_DIR=FOLDER python -c "import tiktoken; '
            f"tiktoken.get_encoding('{name}')\", copy FOLDER here and set TIKTOKEN_CACHE_DIR to it"
        ) from None
    return MergeRanks(
        ranks=encoding._mergeable_ranks,
        pattern=PATTERNS[OF_ENCODING[name]] if name in OF_ENCODING else encoding._pat_str,
        special=encoding._special_tokens,
        eot=encoding.eot_token,
    )


def ranks_file(path: Path, pattern: str | None, spec: str) -> MergeRanks:
    """The tables of a ranks file, of which the pattern is known or given.

    Raises:
        ValueError: the file is not a ranks file, or its pattern is not known.
    """
    pattern = pattern or KNOWN_RANKS.get(hashlib.sha256(path.read_bytes()).hexdigest())
    if not pattern:
        raise ValueError(
            f"{path}: a ranks file does not contain the pattern that splits text into words: name it, as in "
            f"'{spec.partition(':')[0]}:{path}:gpt4' (known: {', '.join(PATTERNS)})"
        )
    return MergeRanks(read_ranks(path), PATTERNS[pattern], normalization=NORMALIZATION.get(pattern))
