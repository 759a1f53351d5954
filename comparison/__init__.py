"""A comparison file, and everything that follows from it.

config.py      the file as one typed object: folders and runs
labels.py      what its tokenizers are called
protocol.py    how its runs are evaluated, in numbers and in words
runs.py        which of its runs are done, and which learning rates are kept
stages.py      its corpus, tokenizers and arrays
local.py       its runs on this machine, several at a time
estimate.py    what they would take
warnings.py    what to be careful about
"""

from .config import Comparison, Recipe, RunSpec, load_comparison

__all__ = ["Comparison", "Recipe", "RunSpec", "load_comparison"]
