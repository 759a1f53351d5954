"""Train one BPE on Parquet files, and print the seconds that reading and training took.

    python -P benchmarks/bpe_trainers.py TRAINER SIZE FILE ...

The script does not import Codebook at its top. With -P, `tokenizers` is the library of Hugging Face, unless
PYTHONPATH names this checkout; then it is ours.
"""

import importlib
import io
import sys
import time
from collections.abc import Callable, Iterator

import pyarrow.parquet
import sentencepiece

Train = Callable[[Iterator[str]], object]


def ours(size: int) -> Train:
    """Our tokenizer `bpe-SIZE`."""
    from tokenizers import train_tokenizer

    return lambda texts: train_tokenizer(f"bpe-{size}", texts)


def sentence_piece(size: int) -> Train:
    """SentencePiece's BPE with byte fallback."""
    return lambda texts: sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line for text in texts for line in text.splitlines()),
        model_writer=io.BytesIO(),
        model_type="bpe",
        vocab_size=size,
        byte_fallback=True,
        minloglevel=2,
    )


def hugging_face(size: int) -> Train:
    """The byte-level BPE of the library `tokenizers`."""
    tokenizers = importlib.import_module("tokenizers")  # a type checker would find our folder
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    return lambda texts: tokenizer.train_from_iterator(texts, trainer)


TRAINERS = {"ours": ours, "SentencePiece": sentence_piece, "Hugging Face": hugging_face}


def read_texts(paths: list[str]) -> Iterator[str]:
    """The texts of Parquet files, one file in memory at a time."""
    for path in paths:
        yield from pyarrow.parquet.read_table(path, columns=["text"]).column("text").to_pylist()


if __name__ == "__main__":
    name, size, *paths = sys.argv[1:]
    train = TRAINERS[name](int(size))
    begin = time.perf_counter()
    train(read_texts(paths))
    print(time.perf_counter() - begin)
