"""Train a tokenizer on the training split: `python -m data_prep.tokenizer --help`."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from common.cli import run_command
from common.files import check_replaceable, fingerprint, new_folder, read_json, sha256_file, write_json
from tokenizers import (
    Tokenizer,
    check_spec,
    cut_tokenizer,
    is_beginning,
    load_tokenizer,
    published_files,
    save_tokenizer,
    train_tokenizer,
    trained_size,
)

from .corpus import Corpus
from .sample import sample_languages, training_sample

FORMAT = 3  # of training and saving; tokenizers of another format are trained again
TRAIN_CHARS = 20_000_000


def find_tokenizer(
    corpus: Corpus | None, spec: str, folder: Path, train_chars: int = TRAIN_CHARS
) -> Tokenizer | None:
    """The tokenizer in `folder` if it is what `make_tokenizer` would make, else None."""
    if read_json(folder / "made_from.json") != _made_from(corpus, spec, train_chars):
        return None
    try:
        return load_tokenizer(folder)
    except (ValueError, OSError):
        return None  # damaged


def tokenizer_changes(
    corpus: Corpus | None, spec: str, folder: Path, train_chars: int = TRAIN_CHARS
) -> list[str]:
    """The options in which the tokenizer in `folder` differs from these.

    Without a corpus, only the spec is compared.
    """
    there = read_json(folder / "made_from.json")
    if there is None:
        return []
    if there.get("spec") != spec:
        return [f"its spec was {there.get('spec')}"]
    if corpus is None:
        return []
    words = {
        "format": "made by an earlier version",
        "train_sha256": "trained on other text",
        "train_chars": "train_chars",
        "languages": "its documents' languages have changed",
        "files_sha256": "its file has changed",
    }
    asked = _made_from(corpus, spec, train_chars)
    return [words[name] for name, value in asked.items() if there.get(name) != value]


def _made_from(corpus: Corpus | None, spec: str, train_chars: int) -> dict:
    made_from: dict = {"format": FORMAT, "spec": spec}
    if trained_on := _trained_on(corpus, spec):
        train = trained_on.manifest["splits"]["train"]
        made_from["train_sha256"] = train["sha256"]
        if trained_size(spec):
            made_from["train_chars"] = min(train_chars, train["chars"])
        if check_spec(spec) == "parity":
            made_from["languages"] = fingerprint(trained_on.categories("train").get("language"))
    if files := published_files(spec):
        made_from["files_sha256"] = [sha256_file(file) for file in files]
    return made_from


def _trained_on(corpus: Corpus | None, spec: str) -> Corpus | None:
    """The corpus if the tokenizer is trained on one, else None."""
    if check_spec(spec) != "char" and not trained_size(spec):
        return None
    assert corpus is not None, f"{spec} is trained on a corpus"
    return corpus


def make_tokenizer(
    corpus: Corpus | None,
    spec: str,
    folder: Path,
    train_chars: int = TRAIN_CHARS,
    replace: bool = False,
) -> Tokenizer:
    """Train a tokenizer on the training split and save it, unless `folder` already holds it.

    `char` is trained on the whole split, those with a size on a sample of `train_chars` characters; the
    others need no corpus. Another tokenizer is replaced only if `replace` is set.

    Raises:
        ValueError: the spec is unknown, the corpus is too small for the vocabulary, a published tokenizer
            cannot be read, or `folder` holds another tokenizer, which is unchanged.
    """
    check_spec(spec)
    if train_chars < 1:
        raise ValueError(f"train_chars {train_chars} must be at least 1")
    if tokenizer := find_tokenizer(corpus, spec, folder, train_chars):
        return tokenizer
    check_replaceable(folder, "made_from.json")
    if not replace and (differs := tokenizer_changes(corpus, spec, folder, train_chars)):
        raise ValueError(
            f"{folder} holds another tokenizer ({', '.join(differs)}): give another folder, or --replace"
        )
    texts: Iterable[str] = ()
    languages: list[str | None] = []
    trained_on = _trained_on(corpus, spec)
    if trained_on and trained_size(spec):
        texts = training_sample(trained_on, train_chars)
        if check_spec(spec) == "parity":
            languages = sample_languages(trained_on, train_chars)
    elif trained_on:
        texts = trained_on.texts("train")
    tokenizer = _cut_larger(corpus, spec, folder, train_chars) or train_tokenizer(spec, texts, languages)
    with new_folder(folder) as temporary:
        save_tokenizer(tokenizer, temporary)
        write_json(temporary / "made_from.json", _made_from(corpus, spec, train_chars))
    return tokenizer


def _cut_larger(corpus: Corpus | None, spec: str, folder: Path, train_chars: int) -> Tokenizer | None:
    """The tokenizer as the beginning of a larger one in the same comparison, if there is one."""
    if folder.name != "tokenizer":  # not the layout data/<label>/tokenizer
        return None
    for path in sorted(folder.parent.parent.glob("*/tokenizer/made_from.json")):
        larger = (read_json(path) or {}).get("spec", "")
        if is_beginning(spec, larger) and (found := find_tokenizer(corpus, larger, path.parent, train_chars)):
            return cut_tokenizer(found, spec)
    return None


@dataclass(frozen=True)
class Arguments:
    """Train a tokenizer."""

    corpus: Path
    """folder of the corpus, such as out/shakespeare/corpus"""
    spec: str
    """the tokenizer, such as bpe-2048: byte, char, unigram-N, spbpe-N, bpe-N[:PATTERN], parity-N[:PATTERN],
    superbpe-N[:T], wordpiece-N, file:PATH, hub:NAME, tiktoken:NAME or python:PATH.py:NAME, where N is
    the size of the vocabulary"""
    out: Path
    """folder to write, such as out/shakespeare/data/bpe-2048/tokenizer"""
    train_chars: int = TRAIN_CHARS
    """characters of training text to train on, in documents drawn at random (char: all of it)"""
    replace: bool = False
    """replace another tokenizer in that folder"""


def main(arguments: Arguments) -> None:
    """Train the tokenizer and print its vocabulary size and fingerprint."""
    corpus = Corpus(arguments.corpus)
    tokenizer = make_tokenizer(
        corpus, arguments.spec, arguments.out, arguments.train_chars, arguments.replace
    )
    print(f"{tokenizer.spec}  vocabulary {tokenizer.vocab_size}  {tokenizer.fingerprint[:12]}")


if __name__ == "__main__":
    run_command(main, Arguments, "Train a tokenizer on the training split of a corpus.")
