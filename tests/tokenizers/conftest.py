"""One trained tokenizer of every family."""

import pytest

from data_prep.corpus import Corpus
from tokenizers import Tokenizer, train_tokenizer

SPECS = ["byte", "char", "unigram-400", "spbpe-400", "bpe-400"]


@pytest.fixture(scope="session", params=SPECS)
def tokenizer(request: pytest.FixtureRequest, tiny_corpus: Corpus) -> Tokenizer:
    """A tokenizer of each family in turn, trained on the small corpus."""
    return train_tokenizer(request.param, tiny_corpus.texts("train"))
