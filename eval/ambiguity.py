"""The probability that a model gives to other segmentations of a text: `python -m eval.ambiguity --help`.

Bits per character score only the segmentation that the tokenizer produces. The probability of the text is the
sum over all token sequences that spell it (Cao & Rimell 2021, arXiv 2109.02550), so the score is too high.
This module estimates by how much, and writes the estimate to the run's `ambiguity.json` for the report.
"""

import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.cli import run_command
from common.files import read_json, write_json
from data_prep.corpus import Corpus
from model import LanguageModel
from model.scoring import document_bits, score
from tokenizers import Tokenizer
from training.run import open_run

from .sample import tokenizer_of

FILE = "ambiguity.json"
CANONICAL = 1.0  # nats added to the proposal's weight of a token in the tokenizer's own segmentation


class Lattice:
    """All ways to spell a text with the tokens of a vocabulary, and a proposal over them.

    The weight of a path is the product of its edge weights: the frequency of the token, times e^CANONICAL if
    the tokenizer's own segmentation, `own`, has the token there. With a small GPT and `bpe-512`, this
    proposal found the most: 0.020 bits per character with 128 draws. A constant cost per token found 0.005
    to 0.016.

    `table` holds the bytes of each token; `known` maps bytes to their token and the log of its frequency.
    """

    def __init__(
        self, text: bytes, own: list[int], table: list[bytes], known: dict[bytes, tuple[int, float]]
    ) -> None:
        longest = max(map(len, known))
        begins = itertools.accumulate((len(table[token]) for token in own), initial=0)
        ours = set(zip(begins, own, strict=False))
        self.edges: list[dict[int, tuple[int, float]]] = [{} for _ in text]  # begin -> token -> (end, weight)
        self.rest = np.full(len(text) + 1, -np.inf)  # log of the summed weights of all paths to the end
        self.rest[-1] = 0
        for begin in reversed(range(len(text))):
            for end in range(begin + 1, min(len(text), begin + longest) + 1):
                if (content := text[begin:end]) in known:
                    token, weight = known[content]
                    self.edges[begin][token] = end, weight + CANONICAL * ((begin, token) in ours)
            ahead = [weight + self.rest[end] for end, weight in self.edges[begin].values()]
            self.rest[begin] = np.logaddexp.reduce(ahead)  # -inf if empty
        self.own = tuple(own)

    def draw(self, generator: np.random.Generator) -> tuple[tuple[int, ...], float]:
        """Draw a path from the proposal; returns the path and its log probability under the proposal."""
        at, path, log_q = 0, [], -self.rest[0]
        while at < len(self.edges):
            edges = self.edges[at]
            chances = np.exp([weight + self.rest[end] - self.rest[at] for end, weight in edges.values()])
            token = [*edges][generator.choice(len(edges), p=chances / chances.sum())]
            at, weight = edges[token]
            path.append(token)
            log_q += weight
        return tuple(path), float(log_q)


def estimate_ambiguity(
    model: LanguageModel,
    tokenizer: Tokenizer,
    counts: np.ndarray,
    texts: list[str],
    samples: int = 32,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, float | None]:
    """Estimate how many bits per character the tokenizer's own segmentation adds to the texts' true bits.

    `counts`, (V), is the number of occurrences of each token in the training text. The tokenizer's own
    segmentation is scored exactly; the others are estimated by importance sampling from a `Lattice`, which is
    unbiased for the probability. The logarithm of an unbiased estimate is low on average, and so is the gain.

    Returns `bits_per_char` (at least 0), its standard error over texts `bits_per_char_se` (None with one
    text), `texts`, `chars`, and `other_share`, the mean share of draws that are another segmentation.
    """
    if not tokenizer.has_bytes:
        raise ValueError(f"{tokenizer.spec} has no token_bytes(): its other segmentations are not known")
    table = tokenizer.token_bytes()
    frequency = (counts + 0.5) / (counts + 0.5).sum()
    known = {content: (token, math.log(frequency[token])) for token, content in enumerate(table) if content}
    generator = np.random.default_rng(seed)
    gains, others = [], []
    for text in texts:
        own = [int(token) for token in tokenizer.encode(text)]
        lattice = Lattice(tokenizer.prefix + text.encode(), own, table, known)
        drawn = [lattice.draw(generator) for _ in range(samples)]
        different = [(path, log_q) for path, log_q in drawn if path != lattice.own]
        paths = [lattice.own, *dict.fromkeys(path for path, _ in different)]
        sequences = [np.array([tokenizer.eot, *path, tokenizer.eot]) for path in paths]
        stride = max(1, model.block_size // 2)
        bits = document_bits(score(model, sequences, stride, device), sequences)[0]
        log_p = dict(zip(paths, -bits * math.log(2), strict=True))
        log_weights = [log_p[path] - log_q - log_p[lattice.own] for path, log_q in different]
        other = math.exp(np.logaddexp.reduce(log_weights)) / samples  # 0 if empty
        gains.append(math.log2(1 + other))
        others.append(len(log_weights) / samples)
    chars = np.array([len(text) for text in texts])
    rate = sum(gains) / chars.sum()
    error = None
    if len(texts) > 1:
        spread = np.std(np.array(gains) - rate * chars, ddof=1)
        error = float(spread * math.sqrt(len(texts)) / chars.sum())
    return {
        "bits_per_char": float(rate),
        "bits_per_char_se": error,
        "texts": len(texts),
        "chars": int(chars.sum()),
        "other_share": float(np.mean(others)),
    }


def read_ambiguity(runs: list[tuple[Path, dict]]) -> dict:
    """The estimate of the first run that has a current one; `runs` are a row's (folder, checkpoint files).

    Returns `ambiguity_bits_per_char`, its standard error `ambiguity_bits_per_char_se`, and `ambiguity_of`,
    how it was estimated; all None if no run has an estimate.
    """
    bits, error, of = None, None, None
    for folder, checkpoint in runs:
        found = read_json(folder / FILE)
        if found and found["made_from"]["checkpoint"] == checkpoint:
            bits, error = found["bits_per_char"], found["bits_per_char_se"]
            of = f"{found['chars']:,} characters of {found['texts']} texts, "
            of += f"{found['made_from']['samples']} draws each"
            break
    return {"ambiguity_bits_per_char": bits, "ambiguity_bits_per_char_se": error, "ambiguity_of": of}


@dataclass(frozen=True)
class Arguments:
    """Estimate the probability of other segmentations."""

    run: Path
    """folder of a finished run, such as out/shakespeare/runs/bpe-2048/gpt/seed0"""
    corpus: Path
    """folder of the corpus, such as out/shakespeare/corpus"""
    texts: int = 40
    """test documents to score, evenly spaced"""
    chars: int = 200
    """characters of each document, from its start"""
    samples: int = 32
    """segmentations to draw for each document"""

    def __post_init__(self) -> None:
        if min(self.texts, self.chars, self.samples) < 1:
            raise ValueError("texts, chars and samples must be at least 1")


def estimate(arguments: Arguments) -> dict:
    """Estimate, write `ambiguity.json` into the run's folder, and return its content.

    Raises:
        ValueError: the run has no checkpoint, or it was trained on other arrays, with another tokenizer or on
            another corpus.
    """
    run, corpus = open_run(arguments.run), Corpus(arguments.corpus)
    if corpus.fingerprint != run.state["identity"]["corpus_fingerprint"]:
        raise ValueError(f"{arguments.corpus} is not the corpus that {run.folder} was trained on")
    tokenizer = tokenizer_of(run)
    documents = list(corpus.texts("test"))
    chosen = np.linspace(0, len(documents) - 1, min(arguments.texts, len(documents))).astype(int)
    texts = [documents[i][: arguments.chars] for i in chosen]
    shards = run.arrays.split("train").shards()
    counts = np.sum([np.bincount(shard, minlength=run.arrays.vocab_size) for shard in shards], axis=0)
    gain = estimate_ambiguity(run.load_model(), tokenizer, counts, texts, arguments.samples)
    asked = {key: getattr(arguments, key) for key in ("texts", "chars", "samples")}
    result = {"made_from": {"checkpoint": run.state["files"], **asked}, "tokenizer": tokenizer.spec, **gain}
    write_json(run.folder / FILE, result)
    return result


def main(arguments: Arguments) -> None:
    """Estimate and print."""
    gain = estimate(arguments)
    error = gain["bits_per_char_se"]
    print(
        f"{gain['tokenizer']}: other segmentations are worth {gain['bits_per_char']:.5f} bits per character\n"
        f"(standard error {'unknown with one text' if error is None else format(error, '.5f')}), over "
        f"{gain['chars']:,} characters of {gain['texts']} texts; {gain['other_share']:.0%} of the draws were "
        "another segmentation"
    )


if __name__ == "__main__":
    run_command(
        main, Arguments, "Estimate how much probability a model gives to other segmentations of a text."
    )
