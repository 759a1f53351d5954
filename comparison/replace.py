"""Finished work that an edited comparison file would discard; refused without --replace."""

import re
from collections import Counter

from common.cli import log
from common.files import read_json
from data_prep.corpus import Corpus, corpus_changes
from data_prep.tokenizer import tokenizer_changes
from training.checkpoint import differences

from .config import TEST, Comparison, RunSpec, recorded_comparison
from .protocol import protocol_changes
from .runs import found_state

NO_SWEEP: list[float | None] = [None]


def refuse_to_discard(comparison: Comparison, replace: bool) -> None:
    """List the finished work that this comparison would discard and refuse, unless `replace` is set.

    Raises:
        ValueError: something would be discarded.
    """
    lines = [] if replace else discarded(comparison)
    if lines:
        log(f"{comparison.folder} holds results of other options, which would be discarded:")
        for line in lines:
            log(f"  {line}")
        raise ValueError(
            f"{comparison.name} has changed since it was made: give --replace to discard the work listed "
            "above, or give the comparison another name"
        )


def discarded(comparison: Comparison) -> list[str]:
    """Lines about the corpus, tokenizers, runs and further texts that were made with other options.

    Only options are compared. If files of the source have changed, `make_corpus` compares the text.
    """
    lines, folder = [], comparison.folder / "corpus"
    if of_corpus := corpus_changes(comparison.corpus, folder):
        lines.append(f"the corpus ({', '.join(of_corpus)})")
    corpus = Corpus(folder) if (folder / "manifest.json").exists() and not of_corpus else None
    changed: dict[str, list[str]] = {}
    for label, spec in comparison.specs.items():
        data = comparison.data(label)
        differs = tokenizer_changes(corpus, spec, data / "tokenizer", comparison.train_chars)
        arrays = read_json(data / "manifest.json")
        if corpus and arrays and arrays["corpus_fingerprint"] != corpus.fingerprint:
            differs = differs or ["made from another corpus"]
        if differs:
            lines.append(f"tokenizer {label} and its token arrays ({', '.join(differs)})")
            changed[label] = differs
    of_text = {}
    for text, source in comparison.texts.items():
        options = corpus_changes(source, comparison.text_folder(text) / "corpus")
        if options:
            of_text[text] = [re.sub(r"^corpus\.", f"evaluate.{text}.", option) for option in options]
            lines.append(f"the text {text} and its token arrays ({', '.join(of_text[text])})")
    kinds = Counter[tuple[str, ...]]()
    for run in possible_runs(comparison):
        state, result = found_state(run), read_json(run.folder / "result.json")
        options = differences(state, run.config.identity()) if state else []
        differs = [*of_corpus, *changed.get(run.tokenizer, []), *options]
        if state and differs:
            kinds["run", "evaluated" if result else "not evaluated", *differs] += 1
        else:
            for text in (TEST, *comparison.texts):
                scores = read_json(run.scores(text) / "result.json")
                changes = protocol_changes(comparison, scores) if scores else []
                if scores and (changes := [*of_text.get(text, []), *changes]):
                    kinds["evaluation", "", *changes] += 1
    for (what, done, *differs), count in kinds.items():
        lines.append(f"{count} {what}{'s' * (count > 1)}{done and f', {done}'} ({', '.join(differs)})")
    return lines


def changed_options(comparison: Comparison) -> list[str]:
    """Options, such as budget.chars, that have changed in the file since it was last run or submitted."""
    before = recorded_comparison(comparison)
    if before is None:
        return []
    changed = differences({"identity": before.content()}, comparison.content())
    # A model without a budget or seeds of its own has those of the comparison: they are named once
    # Of a model or text that is new or left out, all options differ: it is named once, too
    named = {"models": set(before.models) ^ set(comparison.models)}
    named["evaluate"] = set(before.texts) ^ set(comparison.texts)
    for section, names in named.items():
        if alone := "|".join(map(re.escape, names)):
            pattern = rf"^({section}\.({alone}))\..*"
            changed = list(dict.fromkeys(re.sub(pattern, r"\1", key) for key in changed))
    common = {key: re.sub(r"^models\.[^.]+\.(?=budget\.|seeds$)", "", key) for key in changed}
    return [key for key in changed if common[key] == key or common[key] not in changed]


def possible_runs(comparison: Comparison) -> list[RunSpec]:
    """Every run that the comparison may need, whichever learning rates are chosen."""
    return [
        comparison.run(tokenizer, name, seed, lr)
        for tokenizer in comparison.specs
        for name, recipe in comparison.models.items()
        for seed in comparison.seeds_of(name)
        for lr in recipe.lr or NO_SWEEP
    ]
