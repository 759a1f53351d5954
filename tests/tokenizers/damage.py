"""Damaged tokenizer files: each is refused in one line, or gives the ids of its own library.

    python -m tests.tokenizers.damage FOLDER KIND NUMBER

FOLDER holds a small file of each kind (`FILES`). Prints a line for each damaged copy of KIND that is neither
refused nor read as it should be, and in the end how many were read and refused. It runs in a process of its
own, so that a test also sees what libraries write to standard error, crashes, and files that take too long.
"""

import base64
import faulthandler
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sentencepiece
import tiktoken
from tiktoken.load import load_tiktoken_bpe

from benchmarks.published_files import REGEX
from benchmarks.published_texts import odd_texts
from tokenizers import train_tokenizer
from tokenizers.library import library, library_errors
from tokenizers.sentencepiece_tokenizer import SPACE, SentencePieceTokenizer

Encode = Callable[[str], list[int]]
LONGEST = 20  # seconds to read one file and encode a few texts
PROSE = ["", "Hello, world! It's 12,345 o'clock.", "def f(x):\n\treturn  x**2\n", "Ça va? Да. 日本語 😀"]


# ---- own libraries


def tokenizer_json(path: Path) -> Encode:
    """A tokenizer.json in its own library."""
    return _hugging_face(library().Tokenizer.from_file(str(path)))


def vocab_txt(path: Path) -> Encode:
    """A vocab.txt as the library's BertWordPieceTokenizer reads it; lower case if it has no capitals."""
    hf = library()
    vocabulary = hf.models.WordPiece.read_file(str(path))
    capitals = any("A" <= piece[:1] <= "Z" for piece in vocabulary)
    tokenizer = hf.Tokenizer(hf.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens([t for t in SPECIAL if tokenizer.token_to_id(t) is not None])
    tokenizer.normalizer = hf.normalizers.BertNormalizer(lowercase=not capitals)
    tokenizer.pre_tokenizer = hf.pre_tokenizers.BertPreTokenizer()
    return _hugging_face(tokenizer)


def vocab_json(path: Path) -> Encode:
    """A vocab.json and its merges.txt as the library's ByteLevelBPETokenizer reads them."""
    hf = library()
    tokenizer = hf.Tokenizer(
        hf.models.BPE(*hf.models.BPE.read_file(str(path), str(path.with_name("merges.txt"))))
    )
    tokenizer.pre_tokenizer = hf.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return _hugging_face(tokenizer)


def _hugging_face(tokenizer: Any) -> Encode:
    tokenizer.encode_special_tokens = True
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def ranks(path: Path) -> Encode:
    """Ranks with the pattern gpt4."""
    return _tiktoken(REGEX["gpt4"], load_tiktoken_bpe(str(path)))


def tekken(path: Path) -> Encode:
    """A tekken.json by the rules of its library."""
    content = json.loads(path.read_bytes())
    config = content["config"]
    shift = config["default_num_special_tokens"]
    vocabulary = content["vocab"][: config["default_vocab_size"] - shift]
    assert [entry["rank"] for entry in vocabulary] == list(range(len(vocabulary)))
    table = {base64.b64decode(entry["token_bytes"]): entry["rank"] for entry in vocabulary}
    assert len(table) == len(vocabulary)
    encode = _tiktoken(config["pattern"], table)
    return lambda text: [i + shift for i in encode(text)]


def _tiktoken(pattern: str, table: dict[bytes, int]) -> Encode:
    assert all(bytes([byte]) in table for byte in range(256))
    return tiktoken.Encoding("own", pat_str=pattern, mergeable_ranks=table, special_tokens={}).encode_ordinary


def model(path: Path) -> Encode:
    """A SentencePiece model."""
    return sentencepiece.SentencePieceProcessor(model_file=str(path)).encode


SPECIAL = ("[UNK]", "[SEP]", "[CLS]", "[PAD]", "[MASK]")
FILES: dict[str, tuple[str, Callable[[Path], Encode]]] = {
    "byte-level": ("tokenizer.json", tokenizer_json),
    "NFC": ("tokenizer.json", tokenizer_json),
    "NFKC": ("tokenizer.json", tokenizer_json),
    "two splits": ("tokenizer.json", tokenizer_json),
    "byte fallback": ("tokenizer.json", tokenizer_json),
    "wordpiece": ("vocab.txt", vocab_txt),
    "vocabulary and merges": ("vocab.json", vocab_json),
    "ranks": ("any.tiktoken", ranks),
    "tekken": ("tekken.json", tekken),
    "sentencepiece": ("tokenizer.model", model),
}
"""the name of each kind's file in a folder named like the kind, and its own library"""


# ---- damage


def mutations(content: bytes, number: int, seed: int, others: tuple[bytes, ...] = ()) -> list[bytes]:
    """Damaged copies: flipped bytes, cut ends, changed parts; with `others`, their ends."""
    draw = random.Random(seed)
    found = []
    for i in range(number):
        if i % 4 == 0:
            damaged = bytearray(content)
            for _ in range(draw.choice((1, 3, 30))):
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
            found.append(bytes(damaged))
        elif i % 4 == 1:
            found.append(content[: draw.randrange(len(content))])
        elif i % 4 == 2 and others:
            other = draw.choice(others)
            found.append(content[: draw.randrange(len(content))] + other[draw.randrange(len(other)) :])
        else:
            found.append(_changed(content, draw))
    return found


def _changed(content: bytes, draw: random.Random) -> bytes:
    """A copy with a part of its JSON, or else some lines, removed, repeated or replaced."""
    if content.startswith(b"{"):
        value = json.loads(content)
        _change_a_part(value, draw)
        return json.dumps(value).encode()
    lines = content.splitlines(keepends=True)
    start = draw.randrange(len(lines))
    part = lines[start : start + draw.choice((1, 5, 50))]
    end = start + len(part)
    kept = draw.choice(([], [*part, *part], part[::-1], [line.strip() for line in part]))
    return b"".join([*lines[:start], *kept, *lines[end:]])


def _change_a_part(value: dict, draw: random.Random) -> None:
    here: dict | list = value
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            return
        key = draw.choice(keys)
        inner = here[key]
        if isinstance(inner, dict | list) and inner and draw.random() < 0.8:
            here = inner
        elif draw.random() < 0.5:
            del here[key]
            return
        else:
            here[key] = draw.choice(
                [None, True, -1, 10**12, 0.5, "", "x", [], {}, ["a"], {"type": "ByteLevel"}]
            )
            return


def damaged_folders(whole: Path, kind: str, number: int, folder: Path) -> Iterator[tuple[str, Path]]:
    """Folders with a damaged file of a kind; yields what was done, and the file to read.

    Every tenth is the whole file of another kind.
    """
    name, _ = FILES[kind]
    others = {other: (whole / other / FILES[other][0]).read_bytes() for other in FILES if other != kind}
    copies = {
        file.name: mutations(file.read_bytes(), number, len(kind), tuple(others.values()))
        for file in sorted((whole / kind).iterdir())
    }
    draw = random.Random(number)
    for i in range(number):
        here = shutil.copytree(whole / kind, folder / str(i))
        if i % 10 == 9:
            other = draw.choice(sorted(others))
            (here / name).write_bytes(others[other])
            yield other, here / name
        else:
            file = draw.choice(sorted(copies))
            (here / file).write_bytes(copies[file][i])
            yield kind, here / name
        shutil.rmtree(here)


def outcome_of(kind: str, path: Path, texts: list[str]) -> str:
    """One of `GOOD`, or else how reading a file differs from its own library."""
    spec = f"file:{path}:gpt4" if path.suffix == ".tiktoken" else f"file:{path}"
    try:
        tokenizer = train_tokenizer(spec, ())
        ids = [tokenizer.encode(text).tolist() for text in texts]
    except ValueError as error:
        one_line = "\n" not in str(error) and str(path.parent) in str(error)
        return "refused" if one_line else f"refused, but not in a line that names it: {error}"
    try:
        with library_errors("refused"):
            own = FILES[kind][1](path)
            expected = [own(text) for text in texts]
    except ValueError as error:
        return f"read, but its own library says: {error}"
    for text, mine, its in zip(texts, ids, expected, strict=True):
        if mine != its and not (SPACE in text and isinstance(tokenizer, SentencePieceTokenizer)):
            return f"other ids of {text[:60]!a}"
    return "read"


GOOD = ("read", "refused")


def main(whole: Path, kind: str, number: int) -> None:
    """Print what is wrong with each damaged copy, and how many are read and refused."""
    texts = [*PROSE, *odd_texts(40, SPECIAL)]
    outcomes = Counter[str]()
    with tempfile.TemporaryDirectory() as temporary:
        for i, (found, path) in enumerate(damaged_folders(whole, kind, number, Path(temporary))):
            faulthandler.dump_traceback_later(LONGEST, exit=True)
            outcome = outcome_of(found, path, texts)
            outcomes[outcome] += 1
            if outcome not in GOOD:
                print(f"{kind} {i}: {outcome}")
    print(*(f"{outcomes[outcome]} {outcome}" for outcome in GOOD), sep=", ")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
