"""Long text cut where no token crosses."""

import re
from collections.abc import Iterator

# Far more than a tokenizer needs to see, and less than tiktoken can take: its regular expression overflows
# its stack on about a million white-space characters in a row, with a panic that is no Exception
# (tiktoken issue 245).
MAX_PART = 500_000
WORD_END = re.compile(r"[^\W_](?=\s)")  # a letter or digit before white space


def parts(text: str, size: int = MAX_PART) -> Iterator[str]:
    """The text in parts of at most `size` characters.

    A part ends behind a letter or digit that white space follows, where the published pre-tokenizer patterns
    and SentencePiece end a word in any case, so that the tokens are those of the whole text. Where the
    second half of a part has no such place, it ends anywhere.
    """
    start = 0
    while len(text) - start > size:
        end = start + size
        for reach in (1000, size // 2):
            ends = [place.end() for place in WORD_END.finditer(text, max(start, end - reach), end)]
            if ends:
                end = ends[-1]
                break
        yield text[start:end]
        start = end
    yield text[start:]
