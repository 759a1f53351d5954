"""The published patterns that split text into words before BPE merges, by short names.

No pattern skips a character, and each splits text as tiktoken does. They are written without possessive
quantifiers: apart from one look-ahead, a finite automaton can match them (`grouped`).
"""

_GPT4 = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{DIGITS}| ?[^\s\p{L}\p{N}]+[\r\n]*"""
    r"""|\s+$|\s*[\r\n]|\s+(?!\S)|\s+"""
)
_LETTERS = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = {
    # GPT-2, r50k_base and p50k_base: numbers of any length; a line end is a word of its own or with spaces.
    "gpt2": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
    # cl100k_base: up to three digits. Llama 3's pattern differs in white space at the end of a text.
    "gpt4": _GPT4.replace("DIGITS", "1,3"),
    "llama3": rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}{_REST}",
    # Like Llama 3's, with one digit; from Qwen 3.5 on, marks are part of words.
    "qwen": rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{_REST}",
    "qwen3.5": (
        rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
        r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    # gpt4 with fewer digits per token, which leaves more of a small vocabulary for words (nanochat: two).
    "gpt4-2digits": _GPT4.replace("DIGITS", "1,2"),
    "gpt4-1digit": _GPT4.replace("DIGITS", "1"),
    # o200k_base: a word ends where a capital follows a lower-case letter.
    "gpt4o": (
        rf"[^\r\n\p{{L}}\p{{N}}]?{_LETTERS[0]}*{_LETTERS[1]}+{_CONTRACTION}"
        rf"|[^\r\n\p{{L}}\p{{N}}]?{_LETTERS[0]}+{_LETTERS[1]}*{_CONTRACTION}"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
DEFAULT = "gpt4"
# Patterns of tokenizer.json files that leave no text unmatched, and split it in tiktoken as they do in their
# own library, whose regular expressions are of another kind. Tests compare both.
SAME_WORDS = frozenset(
    {
        PATTERNS["llama3"],
        PATTERNS["qwen"],
        PATTERNS["qwen3.5"],
        (
            rf"[^\r\n\p{{L}}\p{{N}}]?{_LETTERS[0]}*{_LETTERS[1]}+{_CONTRACTIONS}?"
            rf"|[^\r\n\p{{L}}\p{{N}}]?{_LETTERS[0]}+{_LETTERS[1]}*{_CONTRACTIONS}?"
            r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        ),  # GPT-4o
        (
            rf"[^\r\n\p{{L}}\p{{N}}]?{_LETTERS[0]}*{_LETTERS[1]}+|[^\r\n\p{{L}}\p{{N}}]?{_LETTERS[0]}+{_LETTERS[1]}*"
            r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        ),  # Mistral NeMo
    }
)
# tiktoken's encodings that split text in the same way.
OF_ENCODING = {
    "gpt2": "gpt2",
    "r50k_base": "gpt2",
    "p50k_base": "gpt2",
    "p50k_edit": "gpt2",
    "cl100k_base": "gpt4",
    "o200k_base": "gpt4o",
    "o200k_harmony": "gpt4o",
}


def grouped(pattern: str) -> str:
    """The same pattern with the alternatives before the look-ahead in a group.

    The regex engine of tiktoken and rustbpe matches such a group with an automaton, which halves the time to
    split text (docs/performance.md).
    """
    before, look_ahead, last = pattern.rpartition(r"|\s+(?!\S)|")
    return f"(?:{before}){look_ahead}{last}" if look_ahead else pattern
