"""A small corpus, made in code and always the same, and what the real functions make of it."""

import itertools
import json
import os
import random
import string
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# Before torch loads, here and in every process that a test starts: they share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

from data_prep.corpus import Corpus, CorpusConfig, make_corpus
from data_prep.encode import make_arrays
from data_prep.sources import hash_split
from data_prep.tokenizer import make_tokenizer

# The same examples in every run, and no limit to the time of one: machines differ.
hypothesis.settings.register_profile("codebook", deadline=None, derandomize=True)
hypothesis.settings.load_profile("codebook")

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    """How often the crash test kills a run."""
    parser.addoption("--crashes", type=int, default=3, help="kills of the crash test (make test-faults: 100)")


FRACTION = 0.08  # of the documents, for validation and again for the test
DOCUMENTS = 320

# One word of each line in turn makes a sentence; an early word is drawn more often than a late one.
SENTENCE = """
the a every no this one some my your that
old good young poor great sweet brave cold noble little gentle strange weary bitter quiet
king man ship night friend mother river soldier child garden letter house sister winter road
saw held knew loved followed found feared carried called forgot answered praised
the his her our their another
sword heart voice crown daughter brother shadow horse window silver summer morning mountain
"""
WORDS = [line.split() for line in SENTENCE.strip().splitlines()]
SYLLABLES = """
Ar Bel Cor Dun El Fal Gar Hal
a i o u
mond wyn dric beth nor lius
"""
NAMES = ["".join(parts) for parts in itertools.product(*map(str.split, SYLLABLES.strip().splitlines()))]
UNUSUAL = ["café", "naïve", "Ødegård", "£5", "“so”", "日本", "😀", "e\u0301"]  # in training documents too


def _pick(draw: random.Random, words: list[str]) -> str:
    return words[int(len(words) * draw.random() ** 2)]


def _sentence(draw: random.Random) -> str:
    words = [_pick(draw, words) for words in WORDS]
    if draw.random() < 0.3:
        words[0] = draw.choice(NAMES)
    if draw.random() < 0.02:
        words.insert(3, draw.choice(UNUSUAL))
    sentence = " ".join(words)
    return sentence[0].upper() + sentence[1:] + draw.choice([". ", ". ", ", ", "!\n", "?\n\n"])


def tiny_texts() -> list[str]:
    """The documents of the small corpus: mostly 30 to 2,000 characters, and one of a single character."""
    draw = random.Random(0)
    texts = []
    for number in range(DOCUMENTS):
        text = "".join(_sentence(draw) for _ in range(draw.randrange(1, 40)))
        marked = text + "Ωмир\u2581\U0001f9ff"  # characters that no training document holds
        if number % 10 == 0 and hash_split(marked, FRACTION, FRACTION) != "train":
            text = marked
        texts.append(text)
    return [*texts, next(c for c in string.ascii_letters if hash_split(c, FRACTION, FRACTION) == "test")]


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small corpus as JSON lines."""
    path = tmp_path_factory.mktemp("source") / "tiny.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in tiny_texts()))
    return path


@pytest.fixture(scope="session")
def tiny_corpus(tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The small corpus as `data_prep.corpus` makes it."""
    config = CorpusConfig(f"jsonl:{tiny_source}", val_fraction=FRACTION, test_fraction=FRACTION)
    return make_corpus(config, tmp_path_factory.mktemp("tiny") / "corpus")


@pytest.fixture(scope="session")
def tiny_arrays(tiny_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function: a tokenizer spec to the folder of the small corpus's token arrays, made once."""
    data = tmp_path_factory.mktemp("data")

    def arrays(spec: str) -> Path:
        folder = data / spec
        make_arrays(tiny_corpus, make_tokenizer(tiny_corpus, spec, folder / "tokenizer"), folder)
        return folder

    return arrays


@pytest.fixture(scope="session")
def run_python(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess]:
    """A function that runs Python with these arguments, as from a shell at the root of the repository.

    Keywords are environment variables. The caches of libraries lie in a folder of the tests.
    """
    cache = tmp_path_factory.mktemp("cache")

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "HF_HOME": str(cache), **environment},
            capture_output=True,
            text=True,
            timeout=600,  # only against what hangs: a busy machine is slow
        )

    return run


KILLED_AT_EVERY_STEP = """
import os, sys

def killed_at_every_step(action):
    '''Run `action` in a child that is killed before its first change of the file system, and yield; then
    in one that is killed before its second, and so on, until one comes to its end.'''
    step, status = 0, None
    while status != 0:
        step += 1
        child = os.fork()
        if child == 0:
            left = step
            def hook(event, _):
                nonlocal left
                if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
                    left -= 1
                    if left == 0:
                        os.kill(os.getpid(), 9)
            sys.addaudithook(hook)
            action()
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        assert status in (0, 9), status
        yield
    assert step > 3, "nothing was killed"
"""


@pytest.fixture
def run_killing(run_python: Callable[..., subprocess.CompletedProcess]) -> Callable[..., None]:
    """A function that runs a script which may call `killed_at_every_step`, and shows why it fails."""

    def run(script: str, *arguments: object) -> None:
        done = run_python("-c", KILLED_AT_EVERY_STEP + script, *arguments)
        assert done.returncode == 0, done.stderr

    return run
