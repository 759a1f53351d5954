"""What the models write: the same prompts of the validation text, continued under every tokenizer.

Samples are kept beside their run, in samples.json, and drawn again only where the checkpoint or the prompts
changed. The draws follow from a seed.
"""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from common.files import read_json, write_json
from comparison import RunSpec
from data_prep.corpus import Corpus
from model.generate import generate
from tokenizers import Tokenizer
from tokenizers.visible import legible
from training.ranks import pick_device
from training.run import open_run

FILE = "samples.json"
FORMAT = 1
EXCERPTS = 3
PROMPT = 40  # characters of a prompt, about: it ends with a word
CONTINUED = 160  # characters that are drawn, about
LOOKED_AT = 20_000_000  # characters of validation text at most
TEMPERATURE = 0.8
SEED = 0

_BEGIN, _END = r"(?:^|[.!?]\s|[。！？]|\n\s*\n)[\s\W]*", r"(?:[.!?](?=\s|$)|[。！？])"
_SENTENCES = [  # of 40 to 140 characters; better one without a line end
    re.compile(rf"{_BEGIN}(\w[^.!?。！？{no}]{{40,140}}{_END})") for no in ("\n", "")
]


@dataclass(frozen=True)
class Excerpt:
    """What is shown of a document of the validation text."""

    sentence: str
    """a sentence of it"""
    prompt: str
    """the beginning of that, which models continue"""
    rest: str
    """how the document itself continues"""


def choose_excerpts(corpus: Corpus) -> list[Excerpt]:
    """Excerpts of documents from all over the validation text; of different languages, where it has them."""
    texts: list[str] = []
    chars = 0
    for text in corpus.texts("val"):
        texts.append(text)
        chars += len(text)
        if chars >= LOOKED_AT:
            break
    languages = corpus.categories("val").get("language", [None] * len(texts))
    found = [i for i, text in enumerate(texts) if len(text) >= PROMPT + CONTINUED]
    found = found or sorted(range(len(texts)), key=lambda i: -len(texts[i]))[:EXCERPTS]
    chosen: list[int] = []
    for number in range(min(EXCERPTS, len(found))):
        start = (2 * number + 1) * len(found) // (2 * EXCERPTS)
        around = [i for i in found[start:] + found[:start] if i not in chosen]
        taken = {languages[i] for i in chosen}
        chosen.append(next((i for i in around if languages[i] not in taken), around[0]))
    return [_excerpt(texts[i]) for i in chosen]


def _excerpt(text: str) -> Excerpt:
    """A sentence from the middle of a text; where there is none, words of about that length."""
    middle = len(text) // 2
    for pattern in _SENTENCES:
        if match := pattern.search(text, middle) or pattern.search(text):
            start, sentence = match.start(1), match[1]
            break
    else:
        start = middle if len(text) > PROMPT + CONTINUED else 0
        start += len(text[start:]) - len(text[start:].lstrip())
        sentence = _cut(text[start:], 2 * PROMPT)
    prompt = _cut(text[start:], min(PROMPT, (len(sentence) + 1) // 2))
    behind = start + len(prompt)
    return Excerpt(sentence, prompt, text[behind : behind + CONTINUED])


def _cut(text: str, length: int) -> str:
    """The beginning of a text, up to the end of a word if one comes soon."""
    space = re.compile(r"\s").search(text, length, 2 * length)
    return text[: space.start() if space else length]


def read_samples(run: RunSpec, tokenizer: Tokenizer, prompts: list[str]) -> list[list[int]]:
    """The ids with which an evaluated run continues each prompt; drawn where they are not known.

    Raises:
        ValueError: the run's checkpoint is not there any more.
    """
    result = read_json(run.folder / "result.json") or {}
    made_from = {
        "format": FORMAT,
        "checkpoint": result["made_from"]["checkpoint"],
        **{"prompts": prompts, "chars": CONTINUED, "temperature": TEMPERATURE, "seed": SEED},
    }
    known = read_json(run.folder / FILE)
    if not known or known["made_from"] != made_from:
        drawn = _draw(run, tokenizer, prompts)
        samples = [
            {"prompt": prompt, "text": legible(tokenizer.decode_bytes(ids)), "ids": ids}
            for prompt, ids in zip(prompts, drawn, strict=True)
        ]
        known = {"made_from": made_from, "samples": samples}
        write_json(run.folder / FILE, known)
    return [sample["ids"] for sample in known["samples"]]


def _draw(run: RunSpec, tokenizer: Tokenizer, prompts: list[str]) -> list[list[int]]:
    """About `CONTINUED` characters behind each prompt, which is all that the model sees of its document."""
    opened, device = open_run(run.folder), pick_device("auto")
    model = opened.load_model(device)
    tokens = min(2 * CONTINUED, math.ceil(CONTINUED / opened.arrays.split("val").chars_per_token))
    found = []
    with _one_thread():
        for prompt in prompts:
            ids = tokenizer.encode(prompt).tolist() or [tokenizer.eot]
            drawn = generate(
                model,
                torch.tensor([ids], device=device),
                tokens,
                TEMPERATURE,
                stop=tokenizer.eot,
                generator=torch.Generator(device).manual_seed(SEED),
            )
            found.append([i for i in drawn[0, len(ids) :].tolist() if i != tokenizer.eot])
    return found


@contextmanager
def _one_thread() -> Iterator[None]:
    """A token at a time is too little work for more, which wait for each other where the machine is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
