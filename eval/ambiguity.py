"""What `eval.marginal` found, in a report: how much of a distance is the tokenizer's ambiguity."""

import math
from pathlib import Path

from publish import read_json

FILE = "marginal.json"


def read_ambiguity(runs: list[tuple[Path, dict]]) -> dict:
    """Of the first of a row's runs, folder and checkpoint's files, that was estimated as it is now.

    Returns `ambiguity_bits_per_char`, its standard error `ambiguity_bits_per_char_se`, and how it was
    estimated, `ambiguity_of`; all None where no run was.
    """
    for folder, checkpoint in runs:
        found = read_json(folder / FILE)
        if found and found["made_from"]["checkpoint"] == checkpoint:
            of = f"{found['chars']:,} characters of {found['texts']} texts"
            return {
                "ambiguity_bits_per_char": found["bits_per_char"],
                "ambiguity_bits_per_char_se": found["bits_per_char_se"],
                "ambiguity_of": f"{of}, {found['made_from']['samples']} draws each",
            }
    return dict.fromkeys(("ambiguity_bits_per_char", "ambiguity_bits_per_char_se", "ambiguity_of"))


def distances(rows: list[dict]) -> list[str]:
    """A sentence for each row that is distinguishable from the best of its model, where both were estimated.

    The standard errors of the two are taken for independent. `rows` have the best of a model first.
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
            line += f"none are ambiguity, of which it has {theirs - ours:.3f} less (standard error {known})"
        found.append(f"{line}, estimated on {row['ambiguity_of']}.")
    return found
