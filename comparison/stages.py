"""The data of a comparison: its corpus, further test texts, tokenizers and arrays."""

import math
import re
import time

from common.cli import log
from data_prep.arrays import TokenArrays
from data_prep.contamination import in_words, measure_contamination
from data_prep.corpus import Corpus, find_corpus, make_corpus
from data_prep.encode import Encoding, make_arrays
from data_prep.processes import usable_cores
from data_prep.tokenizer import find_tokenizer, make_tokenizer
from tokenizers import Tokenizer, check_spec, is_beginning, trained_size
from training.budget import plan_block_size

from .config import TEST, Comparison
from .local import Job, child_environment, duration, module_command, run_jobs
from .protocol import check_test_length

SHRINK = 0.75  # share of candidate pieces that SentencePiece keeps in each round of pruning


def make_data(comparison: Comparison, replace: bool = False) -> None:
    """Make the corpora, the tokenizers and the arrays that are missing or not current.

    Data made with other options is replaced only if `replace` is set.

    Raises:
        ValueError: data cannot be made, or no run could be trained or evaluated on it. Existing data is
            unchanged.
    """
    corpus = make_corpus(comparison.corpus, comparison.folder / "corpus", replace)
    splits = corpus.manifest["splits"]
    documents = " / ".join(str(counts["documents"]) for counts in splits.values())
    chars = sum(counts["chars"] for counts in splits.values())
    log(
        f"corpus {comparison.corpus.source}: {chars:,} characters, {documents} documents for training / "
        "validation / test"
    )
    for line in [*corpus.left_out.lines(), *in_words(measure_contamination(corpus))]:
        log(line)
    # All tokenizers before any arrays: if the corpus is too small for a vocabulary, arrays stay unchanged
    tokenizers = make_tokenizers(comparison, corpus, replace)
    for label, tokenizer in tokenizers.items():
        train = _encode(comparison, corpus, label, tokenizer).split("train")
        length = f"{train.chars_per_token:.3f} characters per token"
        log(f"tokenizer {label}: vocabulary {tokenizer.vocab_size:,}, {length}")
    for text in comparison.texts:
        make_text(comparison, text, tokenizers, replace)
    for run in comparison.first_runs():
        run.config.plan(TokenArrays(run.config.data), comparison.processes)  # refuse before touching a run


def make_tokenizers(comparison: Comparison, corpus: Corpus, replace: bool = False) -> dict[str, Tokenizer]:
    """The tokenizers by label; missing and outdated ones are made, the quickest first.

    Where one is the beginning of a larger one, only the larger one is trained.

    Raises:
        ValueError: as `make_tokenizer`.
    """
    chars = comparison.train_chars
    jobs = []
    for label, spec in sorted(comparison.specs.items(), key=_cost):
        folder = comparison.data(label) / "tokenizer"
        if not trained_size(spec) or find_tokenizer(corpus, spec, folder, chars):
            make_tokenizer(corpus, spec, folder, chars, replace)
        elif not any(is_beginning(spec, other) for other in comparison.specs.values()):
            jobs.append(TokenizerJob(comparison, label, replace))
    if jobs:
        trained_on = min(chars, corpus.manifest["splits"]["train"]["chars"])
        log(f"training {len(jobs)} tokenizers on {trained_on:,} characters")
        at_once = max(1, usable_cores() // 2)  # each training uses several threads
        run_jobs(jobs, [child_environment() | {"SENTENCEPIECE_LOG_LEVEL": "0"}] * at_once, "tokenizers")
    return {
        label: make_tokenizer(corpus, spec, comparison.data(label) / "tokenizer", chars, replace)
        for label, spec in comparison.specs.items()
    }


def _cost(item: tuple[str, str]) -> tuple[int, int]:
    """Sort key of labels and specs by training time: by family, then by size."""
    families = ("bpe", "spbpe", "wordpiece", "superbpe", "parity", "unigram")
    family, _, size = item[1].partition(":")[0].partition("-")
    return families.index(family) + 1 if family in families else 0, int(size or 0)


class TokenizerJob(Job):
    """The training of a tokenizer, in its own process because libraries do not react to Ctrl-C."""

    def __init__(self, comparison: Comparison, label: str, replace: bool) -> None:
        spec, folder = comparison.specs[label], comparison.data(label)
        folder.mkdir(parents=True, exist_ok=True)
        options = [
            f"--corpus={comparison.folder / 'corpus'}",
            f"--spec={spec}",
            f"--out={folder / 'tokenizer'}",
            f"--train_chars={comparison.train_chars}",
            f"--replace={str(replace).lower()}",
        ]
        kind = check_spec(spec)
        command = module_command("data_prep.tokenizer", options)
        super().__init__(f"tokenizer {label}", kind, folder / "tokenizer.log", command)
        self.size = trained_size(spec) or 0

    def start(self, environment: dict[str, str]) -> None:
        """As `Job.start`, with a new log: the training starts from the beginning."""
        self.log.unlink(missing_ok=True)
        super().start(environment)

    def share(self) -> float:
        """The share of its work that is done, from SentencePiece's log."""
        try:
            text = self.log.read_text(errors="replace")
        except FileNotFoundError:
            return 0.0
        if sizes := [int(size) for size in re.findall(r"EM sub_iter=0 size=(\d+)", text)]:
            # Finding candidates is a fifth of the work; pruning stops just above the vocabulary size
            rounds = math.log(max(1.0, sizes[0] / (1.1 * self.size))) / -math.log(SHRINK) + 1
            return min(0.2 + 0.8 * len(sizes) / rounds, 0.99)
        merges = re.findall(r"merges=(\d+)", text)
        return min(int(merges[-1]) / max(1, self.size - 257), 0.99) if merges else 0.0

    def result(self) -> str:
        """The time it took."""
        return f"{self.title}: trained in {duration(time.monotonic() - self.started)}"


def make_text(
    comparison: Comparison, text: str, tokenizers: dict[str, Tokenizer], replace: bool = False
) -> None:
    """Make the corpus of a further test text, and its arrays with the comparison's `tokenizers`, by label.

    Raises:
        ValueError: as `make_data`; names the text.
    """
    source, lossy = comparison.texts[text], {}
    try:
        corpus = make_corpus(source, comparison.text_folder(text) / "corpus", replace)
        for label, tokenizer in tokenizers.items():
            arrays = _encode(comparison, corpus, label, tokenizer, text)
            lossy[label] = arrays.lossy_documents
    except ValueError as error:
        raise ValueError(f"evaluate.{text}: {error}") from error
    test = corpus.manifest["splits"]["test"]
    log(f"text {text}, {source.source}: {test['chars']:,} characters, {test['documents']:,} documents")
    found = measure_contamination(corpus, Corpus(comparison.folder / "corpus"))
    for line in [*corpus.left_out.lines(), *in_words(found, text)]:
        log(line)
    for label, count in lossy.items():
        if count:
            documents = "1 document" if count == 1 else f"{count:,} documents"
            log(f"text {text}: {label} loses text in {documents}, and is not ranked on it")


def find_text(comparison: Comparison, text: str, tokenizers: dict[str, Tokenizer]) -> bool:
    """True if `make_text` would have nothing to do.

    Raises:
        OSError: the source does not exist.
    """
    corpus = find_corpus(comparison.texts[text], comparison.text_folder(text) / "corpus")
    return corpus is not None and all(
        Encoding(corpus, tokenizer, comparison.data(label, text), comparison.allow_lossy).published()
        for label, tokenizer in tokenizers.items()
    )


def _encode(
    comparison: Comparison, corpus: Corpus, label: str, tokenizer: Tokenizer, text: str = TEST
) -> TokenArrays:
    """Make the arrays of a text with a tokenizer, and check that its test split holds a whole context."""
    folder = comparison.data(label, text)
    arrays = make_arrays(corpus, tokenizer, folder, allow_lossy=comparison.allow_lossy)
    block_size = plan_block_size(comparison.context, TokenArrays(comparison.data(label)).split("train"))
    check_test_length(arrays.split("test", comparison.test_chars), block_size, text)
    return arrays
