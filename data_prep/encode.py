"""Documents and a tokenizer to token arrays: `python -m data_prep.encode --help`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from command_line import run_command
from publish import new_folder, read_json, write_json
from tokenizers import Tokenizer, load_tokenizer

from .arrays import DOCUMENT, FORMAT, ArrayWriter, TokenArrays, describe_file, narrowest_dtype
from .corpus import SPLITS, Corpus, read_texts

MANIFEST = "manifest.json"


def make_arrays(corpus: Corpus, tokenizer: Tokenizer, folder: Path) -> TokenArrays:
    """Encode every split into `folder`, unless it holds just that already.

    Every document is decoded again and compared with its source.

    Raises:
        ValueError: a document does not round-trip. `folder` is then as it was.
    """
    made_from = {
        "corpus_fingerprint": corpus.fingerprint,
        "tokenizer": tokenizer.spec,
        "tokenizer_fingerprint": tokenizer.fingerprint,
    }
    manifest = read_json(folder / MANIFEST)
    if manifest and made_from.items() <= manifest.items() and manifest["format"] == FORMAT:
        try:
            return TokenArrays(folder)
        except ValueError:
            pass  # damaged: made again

    dtype = narrowest_dtype(tokenizer.vocab_size)
    folder.mkdir(parents=True, exist_ok=True)
    with new_folder(folder / "arrays") as temporary:
        splits = {split: _encode_split(corpus, tokenizer, split, temporary, dtype) for split in SPLITS}
        manifest = {
            "format": FORMAT,
            **made_from,
            "vocab_size": tokenizer.vocab_size,
            "eot": tokenizer.eot,
            "dtype": str(dtype),
            "splits": splits,
            "files": {path.name: describe_file(path) for path in sorted(temporary.iterdir())},
        }
        write_json(temporary / MANIFEST, manifest)
    _replace_arrays(folder, folder / "arrays")
    return TokenArrays(folder)


def _replace_arrays(folder: Path, new: Path) -> None:
    """Move new arrays in; the manifest goes first and comes last: arrays without one are no arrays."""
    (folder / MANIFEST).unlink(missing_ok=True)
    for split in SPLITS:
        for old in folder.glob(f"{split}-[0-9]*.npy"):
            old.unlink()
    for path in new.glob("*.npy"):
        path.rename(folder / path.name)
    (new / MANIFEST).rename(folder / MANIFEST)
    new.rmdir()


def _encode_split(corpus: Corpus, tokenizer: Tokenizer, split: str, folder: Path, dtype: np.dtype) -> dict:
    """Encode one split, a shard for each Parquet file, and return its counts."""
    eot = np.array([tokenizer.eot])
    tokens = 0
    counts = corpus.manifest["splits"][split]
    progress = tqdm(
        total=counts["chars"], desc=split, unit="char", unit_scale=True, leave=False, disable=None
    )
    for shard, path in enumerate(corpus.files(split)):
        writer = ArrayWriter(folder / f"{split}-{shard:05}.tokens.npy", dtype)
        writer.write(eot)
        rows = []
        for number, text in enumerate(read_texts(path)):
            ids = tokenizer.encode(text)
            source = text.encode()
            if tokenizer.decode_bytes(ids) != source:
                raise ValueError(f"{tokenizer.spec} loses text: {path} row {number} does not round-trip")
            rows.append((writer.length, len(text), len(source)))
            writer.write(ids)
            writer.write(eot)
            tokens += len(ids)
            progress.update(len(text))
        writer.close()
        np.save(folder / f"{split}-{shard:05}.documents.npy", np.array(rows, dtype=DOCUMENT))
    progress.close()
    return {
        "documents": counts["documents"],
        "chars": counts["chars"],
        "bytes": counts["bytes"],
        "tokens": tokens,
        "text_sha256": counts["sha256"],
    }


@dataclass(frozen=True)
class Arguments:
    """Encode a corpus."""

    corpus: Path
    """folder of the corpus, such as out/shakespeare/corpus"""
    tokenizer: Path
    """folder of the tokenizer, such as out/shakespeare/data/bpe-2048/tokenizer"""
    out: Path
    """folder to write, such as out/shakespeare/data/bpe-2048"""


def main(arguments: Arguments) -> None:
    """Encode the corpus and print what came out."""
    arrays = make_arrays(Corpus(arguments.corpus), load_tokenizer(arguments.tokenizer), arguments.out)
    for name in SPLITS:
        split = arrays.split(name)
        print(f"{name:5}  {split.tokens:>13,} tokens  {split.chars_per_token:.3f} characters a token")


if __name__ == "__main__":
    run_command(main, Arguments, "Encode the documents of a corpus with a tokenizer.")
