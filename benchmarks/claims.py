"""Test the claims of reports on simulated comparisons with known truth: the share of wrong claims.

    python -m benchmarks.claims

Equal tokenizers must not be reported as different; a worse one must be detected; intervals must contain the
truth. The simulated comparisons resemble the demo: documents of unequal length, some harder than others,
plays with similar scenes, and seeds whose errors are partly shared by all tokenizers.
"""

import itertools
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from common.cli import run_command
from comparison import load_comparison
from eval.ladder import find_minimum
from eval.results import read_run, test_clusters
from eval.statistics import Errors, estimate_errors, interval, simultaneous

from .curves import CURVES, LOWEST, bits
from .table import Figures, row, table

LEVEL = 2.2  # true bits per character of all tokenizers
# Standard deviations in bits per character, fitted to the demo
DOCUMENT, DOCUMENT_ROW = 0.09, 0.02  # of a document: shared by all tokenizers, and of one tokenizer
GROUP, GROUP_ROW = 0.05, 0.012  # of a group of documents, likewise
SEED, SEED_ROW = 0.008, 0.006  # of a seed, likewise
SEED_DOCUMENT = 0.02  # of a document with one seed and tokenizer
LENGTH = 0.7  # of the logarithm of a document's length
PLANTED = 3.0  # standard errors by which the first tokenizer is worse, where a difference is planted


@dataclass(frozen=True)
class Cell:
    """A kind of comparison."""

    rows: int
    documents: int
    groups: int
    """groups of documents; 0: they are independent"""
    seeds: int
    length: float = LENGTH
    """standard deviation of the logarithm of a document's length"""
    unequal: float = 1.0
    """ratio of the seeds' standard deviation in every second row to that in the other rows"""

    def __str__(self) -> str:
        groups = f" in {self.groups} groups" if self.groups else ""
        unequal = f" that vary {self.unequal:g} times as much in every second" if self.unequal > 1 else ""
        length = " of very unequal length" if self.length > LENGTH else ""
        return (
            f"{self.rows} tokenizers, {self.documents} documents{length}{groups}, {self.seeds} seeds{unequal}"
        )


CELLS = [
    Cell(rows, documents, groups, seeds)
    for rows, (documents, groups), seeds in itertools.product(
        (2, 5, 14), ((12, 0), (47, 0), (118, 0), (47, 6), (118, 12)), (2, 3, 5)
    )
] + [Cell(rows, 47, 0, 3, length=1.5) for rows in (2, 5, 14)]
UNEQUAL = [Cell(rows, 47, 0, seeds, unequal=3) for rows in (5, 14) for seeds in (3, 5)]
"""kinds for which the pooled variance of seeds is wrong; reported separately"""


@dataclass(frozen=True)
class Simulated:
    """A comparison in which all tokenizers are equal."""

    bits: np.ndarray
    """(rows, seeds, documents)"""
    chars: np.ndarray
    clusters: np.ndarray | None
    standard_error: float
    """standard error of the difference of two rows"""


def simulate(cell: Cell, draw: np.random.Generator) -> Simulated:
    """Draw a comparison: the bits of every tokenizer, seed and document."""
    rows, documents, seeds = cell.rows, cell.documents, cell.seeds
    chars = np.round(6000 * np.exp(cell.length * draw.standard_normal(documents))) + 1
    shares, clusters = chars / chars.sum(), None
    hard = DOCUMENT * draw.standard_normal(documents) + DOCUMENT_ROW * draw.standard_normal((rows, documents))
    variance = 2 * (shares**2).sum() * (DOCUMENT_ROW**2 + SEED_DOCUMENT**2 / seeds) + 2 * SEED_ROW**2 / seeds
    if cell.groups:
        clusters = np.append(np.arange(cell.groups), draw.integers(cell.groups, size=documents - cell.groups))
        alike = GROUP * draw.standard_normal(cell.groups)
        alike = alike + GROUP_ROW * draw.standard_normal((rows, cell.groups))
        hard = hard + alike[:, clusters]
        variance += 2 * GROUP_ROW**2 * (np.bincount(clusters, shares) ** 2).sum()
    of_row = SEED_ROW * draw.standard_normal((rows, seeds))
    of_row[::2] *= cell.unequal
    of_seeds = SEED * draw.standard_normal(seeds) + of_row
    apart = SEED_DOCUMENT * draw.standard_normal((rows, seeds, documents))
    bpc = LEVEL + hard[:, None] + of_seeds[..., None] + apart
    return Simulated(bpc * chars, chars, clusters, float(np.sqrt(variance)))


def worse_than_best(bpc: np.ndarray, half: np.ndarray) -> np.ndarray:
    """The rows that a report would call worse than the best, given the half-widths of their intervals."""
    return bpc - bpc.min() > half


def measure(cell: Cell, repeats: int) -> dict[str, float]:
    """Shares of `repeats` comparisons with a false claim, with the planted row found, and with the truth in
    the interval."""
    draw = np.random.default_rng([cell.rows, cell.documents, cell.groups, cell.seeds])
    counts = dict.fromkeys(("false", "found", "level", "difference"), 0)
    for _ in range(repeats):
        made = simulate(cell, draw)
        number = int(draw.integers(1 << 30))
        bpc = made.bits.sum(axis=2) / made.chars.sum()  # (rows, seeds)
        errors, _ = estimate_errors(made.bits, made.chars, made.clusters, seed=number)
        means = bpc.mean(axis=1)
        counts["false"] += bool(worse_than_best(means, simultaneous(errors, int(means.argmin()))).any())
        means[0] += PLANTED * made.standard_error
        counts["found"] += bool(worse_than_best(means, simultaneous(errors, int(means.argmin())))[0])
        means[0] -= PLANTED * made.standard_error
        for name, samples, off in (
            ("level", errors.draws[:, 0], means[0] - LEVEL),
            ("difference", errors.draws[:, 0] - errors.draws[:, 1], means[0] - means[1]),
        ):
            low, high = interval(samples)
            counts[name] += bool(low <= -off <= high)
    return {name: count / repeats for name, count in counts.items()}


@dataclass(frozen=True)
class LadderCell:
    """A kind of ladder, one octave between its rungs."""

    rungs: int
    noise: float
    """standard error of a rung, in bits per character"""
    depth: float
    """factor on the depth of the measured curve"""
    place: str
    """location of the true minimum"""
    outlier: bool = False
    """true if one rung has four times the standard error, which its seeds show"""

    def __str__(self) -> str:
        outlier = ", an outlier" * self.outlier
        return f"{self.rungs} rungs, noise {self.noise:g}, depth {self.depth:g}, {self.place}{outlier}"

    @property
    def inside(self) -> bool:
        """True if the true minimum is within the ladder."""
        return "beyond" not in self.place


PLACES = ("middle", "near the low end", "near the high end", "beyond the low end", "beyond the high end")
LADDERS = [
    LadderCell(rungs, noise, depth, place)
    for rungs, noise, depth, place in itertools.product(
        (3, 4, 5, 6, 8, 11), (0.003, 0.006, 0.012), (0.5, 1.0, 2.0), PLACES
    )
] + [LadderCell(rungs, 0.006, 1.0, place, outlier=True) for rungs in (3, 5, 8) for place in PLACES]


def true_minimum(cell: LadderCell, draw: np.random.Generator) -> float:
    """Draw the true minimum, in octaves from the lowest rung.

    It is within half a rung of the middle, half a rung to one rung from an end, or one to two octaves beyond
    an end.
    """
    u, last = draw.uniform(), cell.rungs - 1
    if cell.place == "middle":
        return last / 2 + (u - 0.5) * (1 if cell.rungs > 3 else 0.5)
    at = 0.5 + u / 2 if cell.inside else -1 - u
    return float(last - at if "high" in cell.place else at)


def measure_ladder(cell: LadderCell, repeats: int) -> dict[str, float]:
    """Results over simulated ladders.

    `held` is the share whose interval contains the true minimum, or is open at the end beyond which it is;
    `bias` and `width` are the medians of the bias and of the interval's width, in octaves.
    """
    draw = np.random.default_rng([cell.rungs, round(1e4 * cell.noise), round(10 * cell.depth), hash_of(cell)])
    held, off, width = 0, [], []
    x = np.arange(cell.rungs)
    for _, name in zip(range(repeats), itertools.cycle(CURVES), strict=False):
        best, standard = true_minimum(cell, draw), np.full(cell.rungs, cell.noise)
        if cell.outlier:
            standard[draw.integers(cell.rungs)] *= 4
        bpc = cell.depth * bits(name, x - best + LOWEST[name])
        bpc = bpc + standard * draw.standard_normal(cell.rungs)
        errors = Errors(standard * draw.standard_normal((1000, cell.rungs)), np.diag(standard**2))
        found = find_minimum(2.0**x, bpc, errors)
        low, high = np.log2(found.size_low), np.log2(found.size_high)
        held += bool(low <= best <= high if cell.inside else found.open_high if best > 0 else found.open_low)
        off.append(np.log2(found.size) - np.clip(best, 0, cell.rungs - 1))
        width.append(high - low)
    return {"held": held / repeats, "bias": float(np.median(off)), "width": float(np.median(width))}


def hash_of(cell: LadderCell) -> int:
    """A number that differs between cells that differ only in place or outlier."""
    return 2 * PLACES.index(cell.place) + cell.outlier


def false_claims_of_same(folder: Path, repeats: int) -> float:
    """The share of false claims in random comparisons of real runs of a single tokenizer.

    `folder` contains the runs of configs/same.yaml. For each seed the runs are randomly assigned to the
    labels, and groups of documents are drawn with replacement.
    """
    comparison = load_comparison(folder)
    model = next(iter(comparison.models))
    runs = [read_run(comparison, run) for run in comparison.runs({}) if run.model == model]
    labels, seeds = len(comparison.specs), len(comparison.seeds)
    bits, chars = np.array([run.bits for run in runs]).reshape(labels, seeds, -1), runs[0].chars
    clusters = test_clusters(comparison)
    members = np.arange(len(chars)) if clusters is None else clusters
    draw, false = np.random.default_rng(0), 0
    for _ in range(repeats):
        drawn = draw.integers(members.max() + 1, size=members.max() + 1)
        chosen = [np.flatnonzero(members == group) for group in drawn]
        documents = np.concatenate(chosen)
        groups = np.repeat(np.arange(len(drawn)), [len(each) for each in chosen])
        dealt = np.stack([bits[draw.permutation(labels), seed] for seed in range(seeds)], axis=1)[
            ..., documents
        ]
        errors, _ = estimate_errors(dealt, chars[documents], groups, seed=int(draw.integers(1 << 30)))
        means = (dealt.sum(axis=2) / chars[documents].sum()).mean(axis=1)
        false += bool(worse_than_best(means, simultaneous(errors, int(means.argmin()))).any())
    return false / repeats


def report_comparisons(figures: Figures, pool: Executor, repeats: int) -> None:
    """Print the results for each kind of comparison, and the extremes."""
    covered, false, found = [], [], []
    for cell, shares in zip(CELLS, pool.map(measure, CELLS, itertools.repeat(repeats)), strict=True):
        row(figures, f"{cell}: false claim, share", shares["false"])
        row(figures, f"{cell}: planted difference found, share", shares["found"])
        row(figures, f"{cell}: level held, share", shares["level"])
        row(figures, f"{cell}: difference held, share", shares["difference"])
        false.append(shares["false"])
        found.append(shares["found"])
        if cell.seeds >= 3:
            covered += [shares["level"], shares["difference"]]
    unequal = [shares["false"] for shares in pool.map(measure, UNEQUAL, itertools.repeat(repeats))]
    for cell, share in zip(UNEQUAL, unequal, strict=True):
        row(figures, f"{cell}: false claim, share", share)
    row(figures, "unequal seeds, false claims, max share", max(unequal))
    row(figures, "false claims, max share", max(false))
    row(figures, "found, min share", min(found))
    row(figures, "coverage, min share", min(covered))
    row(figures, "coverage, max share", max(covered))


def report_ladders(figures: Figures, pool: Executor, repeats: int) -> None:
    """Print the results for each kind of ladder, and the extremes."""
    held, bias, beyond = [], [], []
    for cell, found in zip(
        LADDERS, pool.map(measure_ladder, LADDERS, itertools.repeat(repeats)), strict=True
    ):
        if cell.inside:
            row(figures, f"{cell}: held, share", found["held"])
            row(figures, f"{cell}: bias, octaves", found["bias"])
            held.append(found["held"])
            bias.append(abs(found["bias"]))
        else:
            row(figures, f"{cell}: open, share", found["held"])
            beyond.append(found["held"])
        row(figures, f"{cell}: width, octaves", found["width"])
    row(figures, "best size coverage, min share", min(held))
    row(figures, "best size coverage, max share", max(held))
    row(figures, "best size bias, max octaves", max(bias))
    row(figures, "best size open beyond an end, min share", min(beyond))


@dataclass(frozen=True)
class Options:
    """The command's options."""

    repeats: int = 400
    """simulated comparisons of each kind"""
    same: Path | None = None
    """folder of the finished runs of configs/same.yaml, to measure on these as well"""
    json: Path | None = None
    """write the numbers as one flat JSON object to this file"""


def main(options: Options) -> None:
    """Simulate comparisons and print how often a report would be wrong."""
    with table(options.json) as figures, ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        report_comparisons(figures, pool, options.repeats)
        report_ladders(figures, pool, options.repeats)
        if options.same:
            row(
                figures,
                "one tokenizer, false claim, share",
                false_claims_of_same(options.same, options.repeats),
            )


if __name__ == "__main__":
    run_command(main, Options, "Share of wrong claims in simulated comparisons with known truth.")
