"""Passages on which tokenizers differ most, with the bits of each character under each tokenizer."""

import base64
import itertools
import re

import numpy as np

LENGTH = 240  # approximate characters of a passage, which ends with a word
EACH = 3  # passages per pair where the second needs fewer bits, and as many where it needs more
STEP = 16  # bits are stored in sixteenths, in a byte


def cut(texts: list[str], length: int = LENGTH) -> np.ndarray:
    """Starts of the passages, in characters over all texts, and the end of the last one, 1-d int64.

    Passages have about `length` characters and end after a space or line end if there is one nearby.
    """
    begins, done = [], 0
    for text in texts:
        at = 0
        while len(text) - at > length // 2 or at == 0:
            begins.append(done + at)
            space = re.compile(r"\s").search(text, at + length, at + 2 * length)
            at = space.end() if space else at + length
        done += len(text)
    return np.array([*begins, done])


def choose_passages(texts: list[str], bits: dict[str, np.ndarray]) -> dict:
    """The passages on which each pair of tokenizers differs most, as data for the page.

    `bits` maps each tokenizer to the bits of each character of all texts, 1-d. Returns `names` and
    `passages`, each with `text`, `totals` (bits of the whole passage by tokenizer) and `bits` (by tokenizer,
    base64 of a byte per character, in sixteenths of a bit, at most 15.9).
    """
    begins = cut(texts)
    joined = "".join(texts)
    totals = np.array([np.add.reduceat(values, begins[:-1]) for values in bits.values()])
    chosen: set[int] = set()
    for a, b in itertools.combinations(range(len(totals)), 2):
        order = np.argsort(totals[b] - totals[a], kind="stable")
        chosen |= {int(i) for i in (*order[:EACH], *order[-EACH:])}
    passages = []
    for i in sorted(chosen):
        part = slice(begins[i], begins[i + 1])
        coded = [np.clip(values[part] * STEP, 0, 255).round().astype(np.uint8) for values in bits.values()]
        passages.append(
            {
                "text": joined[part],
                "totals": [round(float(total), 2) for total in totals[:, i]],
                "bits": [base64.b64encode(values.tobytes()).decode() for values in coded],
            }
        )
    return {"names": list(bits), "step": STEP, "each": EACH, "passages": passages}
