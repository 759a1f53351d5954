"""Encodings that others have published, brought into tiktoken: `tiktoken:NAME` and `tiktoken:PATH`."""

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

# Ranks files that OpenAI publishes, by SHA-256: the file alone does not say how it cuts text into words.
KNOWN_RANKS = {
    "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930": "gpt2",  # r50k_base
    "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069": "gpt2",  # p50k_base
    "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7": "gpt4",  # cl100k_base
    "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d": "gpt4o",  # o200k_base
}
END_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<EOT>", "<｜end▁of▁sentence｜>")


def read_published(spec: str) -> BPETokenizer:
    """The encoding of a spec `tiktoken:NAME`, `tiktoken:PATH` or `tiktoken:PATH:PATTERN`.

    Raises:
        ValueError: no such encoding, one that cannot be fetched, or a file with a part that tiktoken cannot
            do the same with; says which.
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
        raise ValueError(f"{spec}: there is no file {path}, and no encoding of that name{hint}: {known}")
    if path.endswith(".json"):
        if pattern:
            raise ValueError(f"{spec}: a tokenizer.json has a pattern of its own: leave out ':{pattern}'")
        return BPETokenizer(read_tokenizer_json(Path(path)), spec)
    return BPETokenizer(_ranks_file(Path(path), pattern), spec)


def _by_name(name: str) -> MergeRanks:
    try:
        encoding = tiktoken.get_encoding(name)
    except Exception as error:  # whatever the network or a damaged cache raises
        reason = " ".join(str(error).split())[:120]
        cache = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
        where = cache or os.path.join(tempfile.gettempdir(), "data-gym-cache")
        raise ValueError(
            f"tiktoken:{name} is not in tiktoken's cache ({where}) and cannot be downloaded ({reason}): "
            f'where there is a network, run TIKTOKEN_CACHE_DIR=FOLDER python -c "import tiktoken; '
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
            f"{path}: a ranks file does not say how text is cut into words: name the pattern, as in "
            f"'tiktoken:{path}:gpt4' (known: {', '.join(PATTERNS)})"
        )
    return MergeRanks(read_ranks(path), PATTERNS[pattern])


def read_tokenizer_json(path: Path) -> MergeRanks:
    """A Hugging Face `tokenizer.json` whose model is byte-level BPE, as ranks that give identical ids.

    Special tokens become ids that no text is encoded to; the others that are added to the vocabulary are
    matched in text, as in the file's own library.

    Raises:
        ValueError: a part that tiktoken cannot do the same with; names it.
    """
    try:
        content = json.loads(path.read_text())
        model, added = content["model"], content.get("added_tokens") or []
        known = {"vocab", "merges"} <= model.keys() or "type" in model
    except (ValueError, KeyError, TypeError, AttributeError):
        known = False
    if not known:
        raise ValueError(f"{path} is no tokenizer.json")
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
        raise ValueError(f"{path} cannot be read into tiktoken: it has {error}") from None


def _check_model(model: dict) -> None:
    kind = model.get("type", "BPE" if "merges" in model else "no type")
    if kind != "BPE":
        raise ValueError(f"a {kind} model, not byte-level BPE")
    for key in ("unk_token", "byte_fallback", "dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            raise ValueError(f"a BPE model with {key} {model[key]!r}, which is not byte-level")


def _pattern(pre_tokenizer: dict | None) -> str:
    """The one regular expression of a pre-tokenizer: ByteLevel, alone or behind one Split."""
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
        raise ValueError(f"other pre-tokenizers than one Split before ByteLevel ({found})")
    (split,) = splits
    # Both make each match a word; they differ in text that no match covers, and would lose it here.
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
    """GPT-2's letters for bytes: those that print stand for themselves, the others follow from U+0100 on."""
    prints = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in set(prints)]
    return {chr(byte): byte for byte in prints} | {chr(256 + i): byte for i, byte in enumerate(rest)}


def _ranks(model: dict, added: set[str]) -> dict[bytes, int]:
    """The vocabulary as bytes, after checking that ranks by id do the same as the list of merges.

    tiktoken merges any two neighbours that make a token, the lowest id first; the file's library only the
    listed pairs, in the order of the list. That is the same where merges are listed in the order of ids, and
    each token comes about from one of the listed pairs alone, or from every pair that makes it.
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
    merges: dict[bytes, set[bytes]] = {}  # token to the left halves it is listed with
    last = -1
    for merge in model["merges"]:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        try:
            left, right = (bytes(letters[letter] for letter in half) for half in (left, right))
            i = ranks[left + right]
        except KeyError:
            raise ValueError(f"the merge {merge!r} that makes no token") from None
        if i < last:
            raise ValueError(f"merges in another order than that of the ids (at {merge!r})")
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
            raise ValueError(f"the token {token!r}, which its merges do not make")
    return ranks


def _merge(token: bytes, ranks: dict[bytes, int], below: int) -> list[bytes]:
    """The token's bytes merged by all ranks that are lower than `below`."""
    pieces = [bytes([byte]) for byte in token]
    while len(pieces) > 1:
        candidates = [ranks.get(a + b, below) for a, b in itertools.pairwise(pieces)]
        lowest = min(candidates)
        if lowest >= below:
            break
        at = candidates.index(lowest)
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    return pieces
