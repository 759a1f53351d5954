"""How text is cut into words before BPE merges: the published patterns, by a short name.

Each skips no character. Spelt as tiktoken and the published `tokenizer.json` files have them, up to
possessive quantifiers, which only make them faster.
"""

_GPT4 = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{DIGITS}| ?[^\s\p{L}\p{N}]++[\r\n]*"""
    r"""|\s*[\r\n]|\s+(?!\S)|\s+"""
)
_LETTERS = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

PATTERNS = {
    # GPT-2, r50k_base and p50k_base: numbers of any length, every line end a token of its own or with spaces.
    "gpt2": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s""",
    # cl100k_base and Llama 3: up to three digits.
    "gpt4": _GPT4.replace("DIGITS", "1,3"),
    # As gpt4 with fewer digits to a token, which leaves more of a small vocabulary to words (nanochat: two).
    "gpt4-2digits": _GPT4.replace("DIGITS", "1,2"),
    "gpt4-1digit": _GPT4.replace("DIGITS", "1"),
    # o200k_base: words end where small letters are followed by capitals.
    "gpt4o": (
        rf"[^\r\n\p{{L}}\p{{N}}]?{_LETTERS[0]}*{_LETTERS[1]}+{_CONTRACTION}"
        rf"|[^\r\n\p{{L}}\p{{N}}]?{_LETTERS[0]}+{_LETTERS[1]}*{_CONTRACTION}"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
DEFAULT = "gpt4"
