"""Warnings about the design of a comparison, for its plan and its report."""

import numpy as np
from scipy import stats

from data_prep.arrays import TokenArrays, choose_documents
from data_prep.contamination import in_words, known_contamination
from data_prep.corpus import Corpus
from tokenizers import trained_size

from .config import Comparison
from .labels import family

# Intervals follow Student's t, which is 1.07 times as wide with 20 groups as with very many. With fewer, the
# factor grows fast (1.13 with 12, 1.31 with 6), and fewer differences are found (docs/metric.md).
FEW_GROUPS = 20
MORE_TEXT = "Give more documents, or a larger corpus.test_fraction"
# A quarter of a document of four contexts is scored in its first window, with less than a full context.
FEW_CONTEXTS = 4
# A best size is estimated from three sizes on; beyond five, the interval narrows little (docs/metric.md).
LADDER, ENOUGH_SIZES = 3, 5


def comparison_warnings(comparison: Comparison) -> list[str]:
    """Sentences about few seeds, little or contaminated test text, short documents and few sizes.

    There are none if all is well. They depend on the comparison, its corpus and, if contexts are in tokens,
    its arrays.

    Raises:
        ValueError: the corpus is missing.
    """
    chars, groups = _test_text(comparison)
    return [
        *_seeds(comparison),
        *_text(chars, groups),
        *_contamination(comparison),
        *_documents(chars, _context_chars(comparison)),
        *_sizes(comparison),
    ]


def _test_text(comparison: Comparison) -> tuple[np.ndarray, np.ndarray | None]:
    """Characters of each scored document, 1-d, and the index of its group; None if there are no groups."""
    corpus = Corpus(comparison.folder / "corpus")
    chars, groups = np.array([len(text) for text in corpus.texts("test")]), corpus.clusters("test")
    chosen = choose_documents(chars, comparison.test_chars)
    return chars[chosen], None if groups is None else np.unique(groups[chosen], return_inverse=True)[1]


def _context_chars(comparison: Comparison) -> float | None:
    """The most characters that a context holds; None while that is unknown."""
    if comparison.context.chars:
        return comparison.context.chars
    encoded = [
        TokenArrays(comparison.data(label)).split("test").chars_per_token
        for label in comparison.specs
        if (comparison.data(label) / "manifest.json").exists()
    ]
    return comparison.context.in_tokens(1) * max(encoded) if encoded else None


def _seeds(comparison: Comparison) -> list[str]:
    """Models with one seed; baselines are not counted if there is a GPT."""
    models = comparison.models
    counted = [name for name, recipe in models.items() if recipe.model.kind == "gpt"] or list(models)
    once = [name for name in counted if len(comparison.seeds_of(name)) == 1]
    if not once or len(comparison.specs) == 1:
        return []
    return [
        f"One seed ({', '.join(once)}): runs that differ only in their seed may differ as much as "
        "tokenizers do, so no tokenizer is said to be better than another. Three seeds are a good start."
    ]


def _text(chars: np.ndarray, groups: np.ndarray | None) -> list[str]:
    """A test text of few independent documents, or groups of documents."""
    unit, units = (
        ("document", "documents") if groups is None else ("group of documents", "groups of documents")
    )
    sizes = chars if groups is None else np.bincount(groups, weights=chars)
    count = len(sizes)
    if count == 1:
        return [f"The test text is one {unit}, so nothing is known about other text. {MORE_TEXT}."]
    equal = float(sizes.sum() ** 2 / (sizes**2).sum())  # this many of equal length would be as good
    if equal >= FEW_GROUPS:
        return []
    wider = stats.t.ppf(0.975, max(1.0, equal - 1)) / stats.norm.ppf(0.975)
    as_good_as = f", as good as {equal:.0f} of equal length" if equal < 0.8 * count else ""
    return [
        f"The test text is {count:,} independent {units}{as_good_as}; fewer than {FEW_GROUPS} are few. "
        f"Intervals are {wider:.2f} times as wide as with very many, and hold only for text like these "
        f"{count}. {MORE_TEXT} if you can."
    ]


def _contamination(comparison: Comparison) -> list[str]:
    """Test or validation documents, or those of further texts, that also occur in the training text."""
    corpus, lines = comparison.folder / "corpus", []
    if found := known_contamination(corpus):
        lines += in_words(found)
    for text in comparison.texts:
        if found := known_contamination(comparison.text_folder(text) / "corpus", corpus):
            lines += in_words(found, text)
    return lines


def _documents(chars: np.ndarray, context: float | None) -> list[str]:
    """Test documents that are short compared with a context."""
    median = float(np.median(chars))
    if context is None or median >= FEW_CONTEXTS * context:
        return []
    return [
        f"Half of the test documents have {median:,.0f} characters or fewer, {median / context:.1f} contexts "
        f"of {context:,.0f}: much of the text is scored with little context, so the results are mostly about "
        "the beginnings of documents."
    ]


def _sizes(comparison: Comparison) -> list[str]:
    """Families with few sizes."""
    ladders: dict[str, set[int]] = {}
    for spec in comparison.specs.values():
        if (name := family(spec)) != spec and (size := trained_size(spec)):
            ladders.setdefault(name, set()).add(size)
    found = []
    for name, sizes in ladders.items():
        if len(sizes) == LADDER - 1:
            found.append(
                f"{name} has {len(sizes)} sizes: a best size is estimated from at least {LADDER}, better "
                f"from {ENOUGH_SIZES}, each twice the one before."
            )
        elif LADDER <= len(sizes) < ENOUGH_SIZES:
            found.append(
                f"{name} has {len(sizes)} sizes: its best size is known better with at least {ENOUGH_SIZES}, "
                "each twice the one before."
            )
    return found
