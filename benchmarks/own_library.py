"""Encode texts by a tokenizer's own library, in a process that does not see Codebook.

    python -I benchmarks/own_library.py FORM FILE [MORE ...]

With -I, `tokenizers` is the library of Hugging Face. Each line of standard input is a word and a JSON file
with a list of texts. `ids` prints their ids, as JSON in one line; `time` prints the processor seconds that
their encoding took.
"""

import importlib
import json
import sys
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

Encode = Callable[[str], list[int]]


def hugging_face(file: Path) -> Encode:
    """A tokenizer.json."""
    return _ids(importlib.import_module("tokenizers").Tokenizer.from_file(str(file)))


def word_piece(file: Path) -> Encode:
    """BERT's vocab.txt, which is lower case."""
    made = importlib.import_module("tokenizers").BertWordPieceTokenizer(str(file), lowercase=True)
    return _ids(made._tokenizer)


def byte_level(file: Path) -> Encode:
    """GPT-2's vocab.json, and merges.txt beside it."""
    merges = str(file.with_name("merges.txt"))
    return _ids(importlib.import_module("tokenizers").ByteLevelBPETokenizer(str(file), merges)._tokenizer)


def sentence_piece(file: Path) -> Encode:
    """A SentencePiece model."""
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_file=str(file)).encode


def ranks(file: Path, pattern: str, form: Literal["NFC", ""] = "") -> Encode:
    """A file of ranks, whose pattern and normalization form are published elsewhere."""
    import tiktoken
    from tiktoken.load import load_tiktoken_bpe

    encode = tiktoken.Encoding(
        file.stem, pat_str=pattern, mergeable_ranks=load_tiktoken_bpe(str(file)), special_tokens={}
    ).encode_ordinary
    return (lambda text: encode(unicodedata.normalize(form, text))) if form else encode


def tekken(file: Path, *packages: str) -> Encode:
    """Mistral's tekken.json, by the package that it is in; `packages` are the folders of those it needs."""
    sys.path += packages
    module = importlib.import_module("mistral_common.tokens.tokenizers.tekken")
    tokenizer = module.Tekkenizer.from_file(file)
    return lambda text: tokenizer.encode(text, bos=False, eos=False)


def _ids(tokenizer: Any) -> Encode:
    tokenizer.encode_special_tokens = True
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


LIBRARIES: dict[str, Callable[..., Encode]] = {
    "tokenizer.json": hugging_face,
    "vocab.txt": word_piece,
    "vocab.json, merges.txt": byte_level,
    "SentencePiece": sentence_piece,
    "ranks": ranks,
    "tekken.json": tekken,
}


def seconds(encode: Encode, texts: list[str]) -> float:
    """Processor seconds that encoding takes."""
    begin = time.process_time()
    for text in texts:
        encode(text)
    return time.process_time() - begin


if __name__ == "__main__":
    form, file, *more = sys.argv[1:]
    encode = LIBRARIES[form](Path(file), *more)
    for line in sys.stdin:
        action, name = line.split(maxsplit=1)
        texts = json.loads(Path(name.strip()).read_text())
        answer = seconds(encode, texts) if action == "time" else [encode(text) for text in texts]
        print(json.dumps(answer), flush=True)
