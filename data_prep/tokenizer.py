"""The training documents to a tokenizer: `python -m data_prep.tokenizer --help`."""

from dataclasses import dataclass
from pathlib import Path

from command_line import run_command
from publish import check_replaceable, new_folder, read_json, write_json
from tokenizers import Tokenizer, check_spec, load_tokenizer, save_tokenizer, train_tokenizer

from .corpus import Corpus

FORMAT = 1  # of how tokenizers are trained and saved: another one trains them again


def make_tokenizer(corpus: Corpus, spec: str, folder: Path) -> Tokenizer:
    """Train a tokenizer on the training split and write it, unless `folder` holds just that already.

    Raises:
        ValueError: an unknown spec or a size that the corpus cannot fill. `folder` is then as it was.
    """
    check_spec(spec)
    made_from = {"format": FORMAT, "spec": spec, "train_sha256": corpus.manifest["splits"]["train"]["sha256"]}
    if read_json(folder / "made_from.json") == made_from:
        try:
            return load_tokenizer(folder)
        except (ValueError, OSError):
            pass  # damaged: made again
    check_replaceable(folder, "made_from.json")
    tokenizer = train_tokenizer(spec, corpus.texts("train"))
    with new_folder(folder) as temporary:
        save_tokenizer(tokenizer, temporary)
        write_json(temporary / "made_from.json", made_from)
    return tokenizer


@dataclass(frozen=True)
class Arguments:
    """Train a tokenizer."""

    corpus: Path
    """folder of the corpus, such as out/shakespeare/corpus"""
    spec: str
    """byte, char, unigram-N, spbpe-N or bpe-N, N being the whole vocabulary"""
    out: Path
    """folder to write, such as out/shakespeare/data/bpe-2048/tokenizer"""


def main(arguments: Arguments) -> None:
    """Train the tokenizer and print what came out."""
    tokenizer = make_tokenizer(Corpus(arguments.corpus), arguments.spec, arguments.out)
    print(f"{tokenizer.spec}  vocabulary {tokenizer.vocab_size}  {tokenizer.fingerprint[:12]}")


if __name__ == "__main__":
    run_command(main, Arguments, "Train a tokenizer on the training split of a corpus.")
