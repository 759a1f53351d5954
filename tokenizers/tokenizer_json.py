"""Conversion of a Hugging Face `tokenizer.json` to ranks for tiktoken, where both give the same ids."""

from typing import get_args

from .bpe import UTF8_BYTES, MergeRanks, NormalForm, merge_bytes
from .patterns import PATTERNS, SAME_WORDS

END_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<EOT>", "<｜end▁of▁sentence｜>")


def read_tokenizer_json(content: dict, eot: int) -> MergeRanks:
    """Convert the content of a `tokenizer.json`, as its library writes it, to ranks that give identical ids.

    Special tokens become ids that no text is encoded to. Other added tokens are matched in text, as in the
    Hugging Face library. `eot` is the id that ends a document.

    Raises:
        ValueError: it has a part of which this cannot be shown; names it.
    """
    model, added = content["model"], content["added_tokens"]
    _check_model(model)
    pattern = _pattern(content.get("pre_tokenizer"))
    normalization = _normalization(content.get("normalizer"))
    for token in added:
        for flag in ("lstrip", "rstrip", "single_word"):
            if token.get(flag) and not token["special"]:
                raise ValueError(f"the added token {token['content']!r} with {flag}")
    return MergeRanks(
        _ranks(model, {token["content"] for token in added}),
        pattern,
        {token["content"]: token["id"] for token in added if token["special"]},
        eot,
        {token["content"]: token["id"] for token in added if not token["special"]},
        normalization,
    )


def end_of_text(content: dict, name: str | None = None) -> int | None:
    """The id of the special token `name`, or of one that has the name of an end; None if there is none."""
    special = {token["content"]: token["id"] for token in content["added_tokens"] if token["special"]}
    return next((special[end] for end in (name, *END_OF_TEXT) if end in special), None)


def _check_model(model: dict) -> None:
    kind = model.get("type", "BPE" if "merges" in model else "no type")
    if kind != "BPE":
        raise ValueError(f"a {kind} model, not byte-level BPE")
    for key in ("byte_fallback", "dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            raise ValueError(f"a BPE model with {key} {model[key]!r}, which is not byte-level")
    missing = UTF8_BYTES - {byte for letter, byte in byte_letters().items() if letter in model["vocab"]}
    if missing:  # such a byte is dropped, or becomes `unk_token`
        raise ValueError(f"no token for the byte 0x{min(missing):02x}")


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
    if split["pattern"]["Regex"] not in SAME_WORDS:
        raise ValueError("a Split by a regular expression that may split text differently in tiktoken")
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


def byte_letters() -> dict[str, int]:
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
    letters = byte_letters()
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
        pieces = merge_bytes(token, ranks, i)
        if len(pieces) != 2 or pieces[0] not in listed:
            raise ValueError(f"the token {token!r}, which its merges do not produce")
    return ranks
