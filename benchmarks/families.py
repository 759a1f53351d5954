"""Training time, bytes per token and fairness of the families of tokenizers that are trained here.

    python -m benchmarks.families --json figures.json

The text is that of `benchmarks.debian_corpus`, downloaded once; 5 % of it are held out. Each tokenizer is
trained on 20 million characters of all languages, for its time, and on as many of English, for its bytes per
token of held-out English; a ratio above 1 means more bytes per token than BPE of the same size.
`superbpe-32000:20000` is the one for which the authors publish 5.19 bytes per token of web text against 4.14
of BPE, ratio 1.254 (between their files for 30,000 and 35,000 tokens). The ratios of single domains show how
much the gain depends on the text. Fairness is the lowest and the highest bytes per token of a language.
"""

import hashlib
from dataclasses import dataclass
from functools import partial

from common.cli import run_command
from data_prep.corpus import Corpus
from data_prep.sample import sample_languages, training_sample
from tokenizers import Tokenizer, train_tokenizer

from .debian_corpus import DOMAINS, debian_corpus
from .table import Figures, FolderOptions, compare, in_turn, row, seconds, table

CHARS = 20_000_000
ENGLISH = ("bpe-32000", "superbpe-32000:20000", "superbpe-32000", "unigram-32000", "wordpiece-32000")
ALL = ("bpe-32768", "parity-32768", "superbpe-32768", "wordpiece-32768", "spbpe-32768", "unigram-32768")
SMALLER = ("unigram-8192", "unigram-2048")


@dataclass(frozen=True)
class Text:
    """Documents with their languages and domains."""

    texts: list[str]
    languages: list[str | None]
    domains: list[str | None]

    def of(self, language: str, domain: str | None = None) -> list[str]:
        """The texts of a language, and of a domain if it is given."""
        rows = zip(self.texts, self.languages, self.domains, strict=True)
        return [text for text, its, where in rows if its == language and domain in (None, where)]


def read_split(corpus: Corpus, split: str) -> Text:
    """The documents of a split."""
    columns = corpus.categories(split)
    return Text(list(corpus.texts(split)), columns["language"], columns["domain"])


def drawn(texts: list[str], chars: int) -> list[str]:
    """Documents with at least so many characters in all, drawn by their hash."""
    found = []
    for text in sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest()):
        if chars <= 0:
            break
        found.append(text)
        chars -= len(text)
    return found


def bytes_per_token(tokenizer: Tokenizer, texts: list[str]) -> float:
    """UTF-8 bytes per token of texts."""
    tokens = sum(len(tokenizer.encode(text)) for text in texts)
    return sum(len(text.encode()) for text in texts) / tokens


def english(figures: Figures, train: Text, test: Text, domain: str | None) -> None:
    """Print bytes per token of English, of one domain or all."""
    trained_on, texts = drawn(train.of("en", domain), CHARS), test.of("en", domain)
    specs = ENGLISH[:2] if domain else ENGLISH
    rates = {spec: bytes_per_token(train_tokenizer(spec, trained_on), texts) for spec in specs}
    for spec, rate in rates.items():
        row(figures, f"English, {domain or 'all'}: {spec}, bytes per token", rate)
        row(figures, f"English, {domain or 'all'}: {spec}, ratio", rate / rates[specs[0]])


def fairness(figures: Figures, tokenizer: Tokenizer, test: Text) -> None:
    """Print the bytes per token of the languages that fare worst and best, and of all text."""
    languages = sorted({language for language in test.languages if language})
    rates = [bytes_per_token(tokenizer, test.of(language)) for language in languages]
    row(figures, f"{tokenizer.spec}: worst of {len(rates)} languages, bytes per token", min(rates))
    row(figures, f"{tokenizer.spec}: best of {len(rates)} languages, bytes per token", max(rates))
    row(figures, f"{tokenizer.spec}: all text, bytes per token", bytes_per_token(tokenizer, test.texts))


def main(options: FolderOptions) -> None:
    """Measure and print the table."""
    corpus = debian_corpus(options.folder, "families", held_out=0.05)
    train, test = read_split(corpus, "train"), read_split(corpus, "test")
    sample, languages = list(training_sample(corpus, CHARS)), sample_languages(corpus, CHARS)
    with table(options.json) as figures:
        for domain in (None, *dict.fromkeys(DOMAINS.values())):
            if domain != "code":
                english(figures, train, test, domain)
        ways = {spec: partial(train_tokenizer, spec, sample, languages) for spec in (*ALL, *SMALLER)}
        for spec in ALL[:2]:
            fairness(figures, ways[spec](), test)
        took = in_turn({spec: partial(seconds, way) for spec, way in ways.items()}, options.rounds)
        compare(figures, "training on 20 million characters", "seconds", took)


if __name__ == "__main__":
    run_command(main, FolderOptions, "Training time, bytes per token and fairness of the families.")
