"""Samples: the same prompts from the validation text, continued with every tokenizer.

Samples are stored in their run's samples.json, and generated again only if the checkpoint or the prompts have
changed. They are determined by a seed.
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
PROMPT = 40  # approximate characters of a prompt, which ends with a word
CONTINUED = 160  # approximate characters to generate
LOOKED_AT = 20_000_000  # most characters of validation text to search
TEMPERATURE = 0.8
SEED = 0

_BEGIN, _END = r"(?:^|[.!?]\s|[。！？]|\n\s*\n)[\s\W]*", r"(?:[.!?](?=\s|$)|[。！？])"
_SENTENCES = [  # of 40 to 140 characters; better one without a line end
    re.compile(rf"{_BEGIN}(\w[^.!?。！？{no}]{{40,140}}{_END})") for no in ("\n", "")
]


@dataclass(frozen=True)
class Excerpt:
    """A part of a document of the validation text."""

    sentence: str
    """a sentence of the document"""
    prompt: str
    """the beginning of the sentence, which models continue"""
    rest: str
    """the continuation in the document"""


def choose_excerpts(corpus: Corpus) -> list[Excerpt]:
    """Excerpts of documents from all over the validation text; in different languages, if it has several."""
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
    """A sentence from the middle of a text; without sentences, words of about that length."""
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
    """The beginning of a text, up to the end of a word if there is one nearby."""
    space = re.compile(r"\s").search(text, length, 2 * length)
    return text[: space.start() if space else length]


def read_samples(run: RunSpec, tokenizer: Tokenizer, prompts: list[str]) -> list[list[int]]:
    """The ids with which an evaluated run continues each prompt, generated if they are not stored.

    Raises:
        ValueError: the checkpoint of the run has been deleted.
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
    """Generate about `CONTINUED` characters after each prompt; the model sees only the prompt."""
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
    """Use one thread: a single token is too little work for several, which would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
