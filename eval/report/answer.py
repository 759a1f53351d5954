"""The results in sentences."""

import math

from ..recommend import growth_sentences, sentences


def answer(results: dict) -> list[str]:
    """The answer: a line for every GPT (without a GPT, every model), and the growth of the best sizes."""
    entries = results["recommendation"]["models"]
    shown = [entry for entry in entries if entry["kind"] == "gpt"] or entries
    lines = [" ".join(sentences(entry)) for entry in shown]
    if len(shown) > 1:
        lines = [f"{entry['model']}: {line}" for entry, line in zip(shown, lines, strict=True)]
    return lines + growth_sentences(results["recommendation"])


def distances(rows: list[dict]) -> list[str]:
    """A sentence about ambiguity for each row that is worse than the best, if both have an estimate.

    The two standard errors are treated as independent. `rows` has the best row of each model first.
    """
    best: dict[str, dict] = {}
    found = []
    for row in rows:
        first = best.setdefault(row["model"], row)
        if not (row["distinguishable"] and row["ambiguity_of"] == first["ambiguity_of"] is not None):
            continue
        ours, theirs = (r["ambiguity_bits_per_char"] for r in (row, first))
        errors = [r["ambiguity_bits_per_char_se"] for r in (row, first)]
        error = None if None in errors else math.hypot(*errors)
        line = f"{row['tokenizer']} ({row['model']}) is {row['behind_best']:.3f} bits per character behind "
        line += f"{first['tokenizer']}; "
        if ours > theirs:
            share = (ours - theirs) / row["behind_best"]
            known = "unknown" if error is None else f"{error / row['behind_best']:.0%}"
            line += f"{ours - theirs:.3f} of them, {share:.0%} (standard error {known}), are ambiguity"
        else:
            known = "unknown" if error is None else f"{error:.3f}"
            line += f"none are ambiguity: it has {theirs - ours:.3f} less of that (standard error {known})"
        found.append(f"{line}, estimated on {row['ambiguity_of']}.")
    return found
