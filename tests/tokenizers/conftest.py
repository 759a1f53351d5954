"""One trained tokenizer of every family."""

import pytest

from data_prep.corpus import Corpus
from tokenizers import Tokenizer, train_tokenizer

SPECS = ["byte", "char", "unigram-400", "spbpe-400", "bpe-400", "parity-400", "superbpe-400"]


def two_languages(texts: list[str]) -> list[str]:
    """A language for each text: the long ones are in another one."""
    return ["long" if len(text) > 200 else "short" for text in texts]


@pytest.fixture(scope="session", params=SPECS)
def tokenizer(request: pytest.FixtureRequest, tiny_corpus: Corpus) -> Tokenizer:
    """A tokenizer of each family in turn, trained on the small corpus."""
    texts = list(tiny_corpus.texts("train"))
    return train_tokenizer(request.param, texts, two_languages(texts))
