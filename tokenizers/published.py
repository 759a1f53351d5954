"""Load published encodings into tiktoken: `tiktoken:NAME` and `tiktoken:PATH`."""

import difflib
import hashlib
import itertools
import json
import os
import tempfile
from pathlib import Path
from typing import get_args

import tiktoken

from .bpe import BPETokenizer, MergeRanks, NormalForm, read_ranks
from .patterns import OF_ENCODING, PATTERNS

# OpenAI's ranks files by SHA-256, with their patterns, which the files themselves do not contain.
KNOWN_RANKS = {
    "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930": "gpt2",  # r50k_base
    "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069": "gpt2",  # p50k_base
    "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7": "gpt4",  # cl100k_base
    "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d": "gpt4o",  # o200k_base
}
END_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<EOT>", "<｜end▁of▁sentence｜>")


def read_published(spec: str) -> BPETokenizer:
    """Load the encoding of a spec `tiktoken:NAME`, `tiktoken:PATH` or `tiktoken:PATH:PATTERN`.

    Raises:
        ValueError: the encoding does not exist or cannot be downloaded, or a file has a part that tiktoken
            cannot reproduce; names it.
    """
    name = spec.partition(":")[2]
    if name in tiktoken.list_encoding_names():
        return BPETokenizer(_by_name(name), spec)
    before, colon, last = name.rpartition(":")
    path, pattern = (before, last) if colon and last in PATTERNS else (name, None)
    if not Path(path).is_file():
        near = difflib.get_close_matches(path, tiktoken.list_encoding_names(), n=1)
        hint = f" (did you mean 'tiktoken:{near[0]}'?)" if near else ""
        known = ", ".join(tiktoken.list_encoding_names())
        raise ValueError(f"{spec}: {path} is neither a file nor a known encoding{hint}: {known}")
    if path.endswith(".json"):
        if pattern:
            raise ValueError(f"{spec}: a tokenizer.json contains its pattern: leave out ':{pattern}'")
        return BPETokenizer(read_tokenizer_json(Path(path)), spec)
    return BPETokenizer(_ranks_file(Path(path), pattern), spec)


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


def _ranks_file(path: Path, pattern: str | None) -> MergeRanks:
    pattern = pattern or KNOWN_RANKS.get(hashlib.sha256(path.read_bytes()).hexdigest())
    if not pattern:
        raise ValueError(
            f"{path}: a ranks file does not contain the pattern that splits text into words: name it, as in "
            f"'tiktoken:{path}:gpt4' (known: {', '.join(PATTERNS)})"
        )
    return MergeRanks(read_ranks(path), PATTERNS[pattern])


def read_tokenizer_json(path: Path) -> MergeRanks:
    """Convert a Hugging Face `tokenizer.json` with a byte-level BPE model to ranks that give identical ids.

    Special tokens become ids that no text is encoded to. Other added tokens are matched in text, as in the
    Hugging Face library.

    Raises:
        ValueError: the file has a part that tiktoken cannot reproduce; names it.
    """
    try:
        content = json.loads(path.read_text())
        model, added = content["model"], content.get("added_tokens") or []
        known = {"vocab", "merges"} <= model.keys() or "type" in model
    except (ValueError, KeyError, TypeError, AttributeError):
        known = False
    if not known:
        raise ValueError(f"{path} is not a tokenizer.json")
    try:
        _check_model(model)
        pattern = _pattern(content.get("pre_tokenizer"))
        normalization = _normalization(content.get("normalizer"))
        for token in added:
            for flag in ("lstrip", "rstrip", "single_word"):
                if token.get(flag) and not token["special"]:
                    raise ValueError(f"the added token {token['content']!r} with {flag}")
        ranks = _ranks(model, {token["content"] for token in added})
        special = {token["content"]: token["id"] for token in added if token["special"]}
        eot = next((special[name] for name in END_OF_TEXT if name in special), None)
        return MergeRanks(
            ranks,
            pattern,
            special,
            eot,
            {token["content"]: token["id"] for token in added if not token["special"]},
            normalization,
        )
    except ValueError as error:
        raise ValueError(f"{path} cannot be loaded into tiktoken: it has {error}") from None


def _check_model(model: dict) -> None:
    kind = model.get("type", "BPE" if "merges" in model else "no type")
    if kind != "BPE":
        raise ValueError(f"a {kind} model, not byte-level BPE")
    for key in ("unk_token", "byte_fallback", "dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            raise ValueError(f"a BPE model with {key} {model[key]!r}, which is not byte-level")


def _pattern(pre_tokenizer: dict | None) -> str:
    """The regular expression of a pre-tokenizer, which must be ByteLevel, alone or after one Split."""
    steps = [pre_tokenizer or {"type": "no pre-tokenizer"}]
    if steps[0]["type"] == "Sequence":
        steps = steps[0]["pretokenizers"]
    *splits, last = steps
    if last["type"] != "ByteLevel":
        raise ValueError(f"the pre-tokenizer {last['type']}, which is not ByteLevel")
    if last.get("add_prefix_space"):
        raise ValueError("a ByteLevel pre-tokenizer with add_prefix_space")
    if last.get("use_regex", True):
        if splits:
            raise ValueError(f"the pre-tokenizer {splits[0]['type']} before another regular expression")
        return PATTERNS["gpt2"]
    if [step["type"] for step in splits] != ["Split"]:
        found = ", ".join(step["type"] for step in splits) or "none"
        raise ValueError(f"pre-tokenizers other than one Split before ByteLevel ({found})")
    (split,) = splits
    # Both make each match a word; they differ in text that no match covers, which would be lost here.
    if (split["behavior"], split["invert"]) not in (("Isolated", False), ("Removed", True)):
        raise ValueError(f"a Split with behavior {split['behavior']}, invert {split['invert']}")
    if "Regex" not in split["pattern"]:
        raise ValueError("a Split by a fixed string")
    return split["pattern"]["Regex"]


def _normalization(normalizer: dict | None) -> NormalForm | None:
    steps = [normalizer] if normalizer else []
    if steps and steps[0]["type"] == "Sequence":
        steps = steps[0]["normalizers"]
    if not steps:
        return None
    if len(steps) > 1 or steps[0]["type"] not in get_args(NormalForm):
        raise ValueError(f"the normalizer {', '.join(step['type'] for step in steps)}")
    return steps[0]["type"]


def _byte_letters() -> dict[str, int]:
    """GPT-2's letters for bytes: printable bytes are their own letters, the others follow from U+0100 on."""
    prints = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in set(prints)]
    return {chr(byte): byte for byte in prints} | {chr(256 + i): byte for i, byte in enumerate(rest)}


def _ranks(model: dict, added: set[str]) -> dict[bytes, int]:
    """The vocabulary as bytes, after a check that ranks by id are equivalent to the list of merges.

    tiktoken merges any neighbours that form a token, lowest id first. The Hugging Face library merges only
    listed pairs, in the order of the list. Both are equivalent if the merges are in the order of ids and each
    token arises from one listed pair alone, or from every pair that forms it.
    """
    letters = _byte_letters()
    try:
        ranks = {
            bytes(letters[letter] for letter in token): i
            for token, i in model["vocab"].items()
            if token not in added
        }
    except KeyError as error:
        raise ValueError(f"a vocabulary that is not byte-level (the letter {error})") from None
    merges: dict[bytes, set[bytes]] = {}  # each token with the left halves of its listed pairs
    last = -1
    for merge in model["merges"]:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        try:
            left, right = (bytes(letters[letter] for letter in half) for half in (left, right))
            i = ranks[left + right]
        except KeyError:
            raise ValueError(f"the merge {merge!r}, whose result is not a token") from None
        if i < last:
            raise ValueError(f"merges that are not in the order of the ids (at {merge!r})")
        merges.setdefault(left + right, set()).add(left)
        last = i
    for token, i in ranks.items():
        if len(token) == 1:
            continue
        listed = merges.get(token, set())
        halves = {
            token[:cut] for cut in range(1, len(token)) if token[:cut] in ranks and token[cut:] in ranks
        }
        if model.get("ignore_merges") and listed == halves:
            continue
        pieces = _merge(token, ranks, i)
        if len(pieces) != 2 or pieces[0] not in listed:
            raise ValueError(f"the token {token!r}, which its merges do not produce")
    return ranks


def _merge(token: bytes, ranks: dict[bytes, int], below: int) -> list[bytes]:
    """Merge the bytes of a token with all ranks lower than `below`."""
    pieces = [bytes([byte]) for byte in token]
    while len(pieces) > 1:
        candidates = [ranks.get(a + b, below) for a, b in itertools.pairwise(pieces)]
        lowest = min(candidates)
        if lowest >= below:
            break
        at = candidates.index(lowest)
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    return pieces
