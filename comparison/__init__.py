"""Comparison files, and the runs they describe.

config.py      the file as one typed object, its folders and runs
labels.py      labels of tokenizers
protocol.py    the evaluation protocol, in numbers and in words
runs.py        the state of runs, and the learning rates chosen by a sweep
replace.py     finished work that an edited file would discard
stages.py      the corpus, tokenizers and arrays
gpus.py        the GPUs of each run
local.py       runs on this machine, several at a time
estimate.py    the time, memory and compute that a comparison would take
warnings.py    warnings about its design
reference.py   the reference page of its keys
"""

from .config import Comparison, Recipe, RunSpec, load_comparison

__all__ = ["Comparison", "Recipe", "RunSpec", "load_comparison"]
