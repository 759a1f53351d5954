"""Write the lists of runs from which jobs take their tasks: `python -m slurm.prepare FILE`.

It makes the corpora, tokenizers and arrays if they are missing, and writes config.yaml of every known run. In
the comparison's slurm folder it writes lists with one line per trial, run and evaluation. After trials of
learning rates it is called again, for the runs with the chosen rates.

`python -m slurm.prepare text FILE --text NAME` makes only the corpus and the arrays of a further test text.
"""

import shlex
from dataclasses import dataclass

from common.cli import log, run_commands
from common.files import write_file
from common.revision import code_revision
from comparison import Comparison
from comparison.protocol import matched_contexts
from comparison.runs import chosen_rates, trained_or_removed, trials
from comparison.stages import make_data, make_text, make_tokenizers
from data_prep.corpus import make_corpus
from eval.evaluate import evaluate_options
from eval.intrinsic import measure_tokenizers


@dataclass(frozen=True)
class Options:
    """Conditions for the lists."""

    rates: bool = False
    """stop with an error unless all learning rates have been tried"""
    replace: bool = False
    """discard results that were made with other options"""


def prepare(comparison: Comparison, options: Options) -> None:
    """Write the lists, and config.yaml of every known run."""
    make_data(comparison, options.replace)
    comparison.freeze(code_revision())
    measure_tokenizers(comparison)
    trying = trials(comparison)
    _write_list(comparison, "trials", [str(run.folder) for run in trying])
    missing = [run for run in trying if not trained_or_removed(run, trial=True, replace=options.replace)]
    if missing and options.rates:
        raise ValueError(f"{missing[0].title} is not finished: train it, or submit again")
    runs = [] if missing else comparison.runs(chosen_rates(comparison))
    for run in missing or runs:
        trained_or_removed(run, replace=options.replace)
        run.config.write()
        log(str(run.folder / "config.yaml"))
    matched = matched_contexts(comparison)
    evaluations = [shlex.join(evaluate_options(comparison, run, matched)) for run in runs]
    _write_list(comparison, "runs", [str(run.folder) for run in runs])
    _write_list(comparison, "evaluations", evaluations)


@dataclass(frozen=True)
class TextOptions:
    """A further test text."""

    text: str
    """its name in the comparison file"""
    replace: bool = False
    """discard a corpus that was made with other options"""


def text(comparison: Comparison, options: TextOptions) -> None:
    """Make the corpus and the token arrays of a further test text, with the comparison's tokenizers."""
    if options.text not in comparison.texts:
        raise ValueError(f"{comparison.name} has no further text '{options.text}'")
    corpus = make_corpus(comparison.corpus, comparison.folder / "corpus")
    make_text(comparison, options.text, make_tokenizers(comparison, corpus), options.replace)


def _write_list(comparison: Comparison, name: str, lines: list[str]) -> None:
    """Write a list for `sweep.sbatch` and `evaluate.sbatch`, whose tasks take one line each."""
    folder = comparison.folder / "slurm"
    folder.mkdir(exist_ok=True)
    write_file(folder / f"{name}.txt", "".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    run_commands([prepare, text], "Write the lists of runs of a comparison.")
