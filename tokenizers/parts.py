"""Split long text at places that no token crosses."""

import re
from collections.abc import Iterator

# Far more than a tokenizer needs to see at a time, and less than tiktoken can process: its regular expression
# overflows its stack on about a million consecutive white-space characters, with a panic that is not an
# Exception (tiktoken issue 245).
MAX_PART = 500_000
WORD_END = re.compile(r"[^\W_](?=\s)")  # a letter or digit before white space


def parts(text: str, size: int = MAX_PART) -> Iterator[str]:
    """Split a text into parts of at most `size` characters.

    A part ends after a letter or digit that is followed by white space. All published pre-tokenizer patterns
    and SentencePiece end a word there, so the tokens are those of the whole text. A part whose second half
    has no such place ends after `size` characters.
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
