"""The data of a comparison: its corpus, its tokenizers and their arrays."""

from common.cli import log
from data_prep.arrays import TokenArrays
from data_prep.corpus import Corpus, make_corpus
from data_prep.encode import make_arrays
from data_prep.tokenizer import make_tokenizer
from tokenizers import Tokenizer
from training.budget import plan_block_size

from .config import Comparison
from .protocol import check_test_length


def make_data(comparison: Comparison) -> None:
    """Make corpus, tokenizers and arrays, where they are not there or not as they should be.

    Raises:
        ValueError: one cannot be made, or a run could not be trained or evaluated on it. What was there of
            it is then as it was.
    """
    corpus = make_corpus(comparison.corpus, comparison.folder / "corpus")
    splits = corpus.manifest["splits"]
    documents = " / ".join(str(counts["documents"]) for counts in splits.values())
    chars = sum(counts["chars"] for counts in splits.values())
    log(f"corpus {comparison.corpus.source}: {documents} documents, {chars:,} characters")
    # All tokenizers before any arrays: a size that the corpus cannot fill leaves the arrays as they are
    tokenizers = [
        make_tokenizer(corpus, spec, comparison.data(label) / "tokenizer", comparison.train_chars)
        for label, spec in comparison.specs.items()
    ]
    for label, tokenizer in zip(comparison.specs, tokenizers, strict=True):
        _encode(comparison, corpus, label, tokenizer)
    for run in comparison.first_runs():
        run.config.plan(TokenArrays(run.config.data), comparison.processes)  # refused before it is touched


def _encode(comparison: Comparison, corpus: Corpus, label: str, tokenizer: Tokenizer) -> None:
    """Make the arrays of a tokenizer, and check that they are enough text for the context."""
    arrays = make_arrays(corpus, tokenizer, comparison.data(label), allow_lossy=comparison.allow_lossy)
    train = arrays.split("train")
    check_test_length(arrays.split("test"), plan_block_size(comparison.context, train))
    log(
        f"tokenizer {label}: vocabulary {arrays.vocab_size:,}, {train.chars_per_token:.3f} characters a token"
    )
