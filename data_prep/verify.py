"""Check a corpus and its token arrays, byte by byte: `python -m data_prep.verify --folder out/x`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from common.cli import log, run_command
from common.files import sha256_file
from tokenizers import Tokenizer, load_tokenizer

from .arrays import TokenArrays
from .corpus import SPLITS, Corpus


@dataclass(frozen=True)
class Arguments:
    """Check a corpus and its token arrays."""

    folder: Path
    """folder of a comparison, such as out/shakespeare"""


def verify_corpus(corpus: Corpus) -> None:
    """Check the hash of every file and the counts of every split.

    Raises:
        ValueError: something does not match the manifest; names the first damaged file.
    """
    for name, known in corpus.manifest["files"].items():
        path = corpus.folder / name
        if not path.exists():
            raise ValueError(f"{path} is missing: make the corpus again")
        if sha256_file(path) != known:
            raise ValueError(f"{path} does not match its SHA-256 in the manifest: make the corpus again")
    for split in SPLITS:
        counts, documents, chars = corpus.manifest["splits"][split], 0, 0
        for text in corpus.texts(split):
            documents, chars = documents + 1, chars + len(text)
        if (documents, chars) != (counts["documents"], counts["chars"]):
            raise ValueError(
                f"{corpus.folder} {split}: {documents:,} documents with {chars:,} characters, but "
                f"{counts['documents']:,} with {counts['chars']:,} in the manifest: make the corpus again"
            )


def verify_arrays(corpus: Corpus, arrays: TokenArrays, tokenizer: Tokenizer) -> None:
    """Check that the arrays are those of the corpus, and that their tokens decode to its documents.

    Raises:
        ValueError: they are not; names the first damaged shard and document.
    """
    made_with = {"corpus_fingerprint": corpus.fingerprint, "tokenizer_fingerprint": tokenizer.fingerprint}
    for name, fingerprint in made_with.items():
        if arrays.fingerprints[name] != fingerprint:
            what = name.removesuffix("_fingerprint")
            raise ValueError(f"{arrays.folder} was made from another {what}: encode it again")
    for split in SPLITS:
        opened, changed = arrays.split(split), 0
        for path, shard, table in zip(corpus.files(split), opened.shards(), opened.tables, strict=True):
            where = f"{arrays.folder / f'{split}-{path.stem}'}.tokens.npy"
            texts = pyarrow.parquet.read_table(path, columns=["text"]).column("text")
            if len(texts) != len(table):
                raise ValueError(
                    f"{where} holds {len(table):,} documents, not {len(texts):,}: encode it again"
                )
            if (largest := int(shard.max())) >= arrays.vocab_size:
                raise ValueError(f"{where} holds the id {largest}, beyond the vocabulary: encode it again")
            ends = np.append(table["start"][1:], len(shard)) - 1
            for number, (begin, end) in enumerate(zip(table["start"], ends, strict=True)):
                changed += tokenizer.decode_bytes(shard[begin:end]) != texts[number].as_py().encode()
                if changed > opened.lossy_documents:
                    raise ValueError(
                        f"{where}: document {number:,} does not decode to its text: encode it again"
                    )


def main(arguments: Arguments) -> None:
    """Check everything in the folder of a comparison: its own text, and further test texts."""
    texts = sorted(path.parents[1] for path in arguments.folder.glob("texts/*/corpus/manifest.json"))
    for text in (arguments.folder, *texts):
        corpus = Corpus(text / "corpus")
        verify_corpus(corpus)
        log(f"{corpus.folder}: {len(corpus.manifest['files'])} files are intact")
        for path in sorted((text / "data").glob("*/manifest.json")):
            arrays = TokenArrays(path.parent, verify=True)
            tokenizer = load_tokenizer(arguments.folder / "data" / path.parent.name / "tokenizer")
            verify_arrays(corpus, arrays, tokenizer)
            files = len(arrays.manifest["files"])
            log(f"{arrays.folder}: {files} files are intact, and decode to the corpus")


if __name__ == "__main__":
    run_command(main, Arguments, "Check a corpus and its token arrays, byte by byte.")
