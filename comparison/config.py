"""The content of a comparison file: tokenizers, models, and the settings they share."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch

from common.cli import as_yaml, parse, plain
from common.files import write_file
from data_prep.config import CorpusConfig, Source
from data_prep.tokenizer import TRAIN_CHARS
from model import ModelConfig, build_model
from training.budget import Budget
from training.config import TrainConfig, TrainingOptions
from training.optimizer import OptimizerConfig

from .labels import NAME, shortest_entries, specs_by_label

TEST = "test"  # the name of the comparison's own test text, the test split, among other texts


@dataclass(frozen=True)
class Recipe:
    """A model and how it is trained."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """architecture and size of the model"""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """optimizer and learning-rate schedule"""
    lr: list[float] | None = None
    """learning rates to try with the first seed; each tokenizer keeps the one with the best validation
    result (default: optimizer.lr for all tokenizers)"""
    budget: Budget | None = None
    """budget of this model (default: that of the comparison)"""
    seeds: list[int] | None = None
    """seeds of this model (default: those of the comparison)"""

    def __post_init__(self) -> None:
        if self.lr is not None and (not self.lr or min(self.lr) <= 0 or len(set(self.lr)) < len(self.lr)):
            raise ValueError(f"lr {self.lr}: give learning rates above 0, each once")
        if self.seeds is not None:
            check_seeds(self.seeds)


def check_seeds(seeds: list[int]) -> None:
    """Check that seeds are given, at least 0 and without duplicates.

    Raises:
        ValueError: they are not.
    """
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"seeds {seeds}: give at least one, none below 0, each once")


@dataclass(frozen=True)
class RunSpec:
    """One training run of a comparison."""

    tokenizer: str
    """label of its tokenizer"""
    spec: str
    """spec of its tokenizer"""
    model: str
    """name of its model in the comparison"""
    seed: int
    title: str
    """its name, such as bpe-2048/gpt/seed0"""
    config: TrainConfig
    """all its options"""

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.config.out

    def scores(self, text: str = TEST) -> Path:
        """The folder of the run's scores on a text."""
        return scores_folder(self.folder, text)


def scores_folder(run: Path, text: str = TEST) -> Path:
    """The folder of a run's scores on a text: that of the run for the test split, else one below it."""
    return run if text == TEST else run / "texts" / text


@dataclass(frozen=True, kw_only=True)
class Comparison(TrainingOptions):
    """The same models on the same text under the same budget, once with every tokenizer."""

    name: str
    """name of the comparison; its folder is out/NAME"""
    tokenizers: list[str | dict[str, str]]
    """the tokenizers, each a spec or {LABEL: SPEC}. Specs: byte, char, unigram-N, spbpe-N,
    bpe-N[:PATTERN], parity-N[:PATTERN], superbpe-N[:T], wordpiece-N, file:PATH, hub:NAME, tiktoken:NAME,
    python:PATH.py:NAME, where N is the size of the vocabulary. A label names the tokenizer in reports and
    folders (default: the spec with '-' for ':', or the name of its file or model)"""
    models: dict[str, Recipe]
    """the models, each under a name of your choice, with its optimizer"""
    params: Literal["same_body", "same_total"] = "same_body"
    """how model sizes are matched. same_body: the same layers for every tokenizer, with an embedding as
    large as its vocabulary; same_total: a gpt is made narrower or wider so that it has as many parameters,
    embedding included, as with the tokenizer byte"""
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    """the text and how it is split"""
    evaluate: dict[str, str | Source] = field(default_factory=dict)
    """further test texts, each under a name of your choice: a source such as text:poems.txt, or its keys as
    in corpus. Every run is also scored on all of their documents, without training it again"""
    train_chars: int = TRAIN_CHARS
    """characters of training text that tokenizers are trained on, in documents drawn at random"""
    allow_lossy: bool = False
    """accept a tokenizer that loses text: its results are reported separately and not ranked"""
    test_chars: int | None = None
    """score only whole test documents with this many characters in all, drawn at random, the same for every
    tokenizer (default: the whole test split)"""
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    """random seeds, one training run for each; results are means over seeds. With a single seed no
    tokenizer can be called better than another"""
    overlap: float = 0.5
    """share of each evaluation window that serves only as context, at least 0 and below 1"""
    processes: int = 1
    """processes per training run, one per GPU; more than 1 are started by torchrun"""
    out: Path = Path("out")
    """folder for all output, which goes below out/NAME"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("tokenizers", "models"):
            if not getattr(self, key):
                raise ValueError(f"{key} is empty: give at least one")
        check_seeds(self.seeds)
        specs_by_label(self.tokenizers)  # refuses what cannot be told apart
        for name in ("train_chars", "test_chars"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} {value} must be at least 1")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap {self.overlap} is not at least 0 and below 1")
        for name in [self.name, *self.models, *self.evaluate]:
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise ValueError(f"'{name}' names a folder: letters, digits, '.', '-' and '_' only")
        if TEST in self.evaluate:
            raise ValueError(f"evaluate.{TEST}: this name stands for the test split: give another name")
        for name, source in self.texts.items():
            if source.source == "mixture":
                raise ValueError(
                    f"evaluate.{name}: a mixture is not possible: give each text a name of its own"
                )
        if self.processes < 1:
            raise ValueError(f"processes {self.processes} must be at least 1")
        self.first_runs()  # options that a run refuses are refused before anything is made

    @property
    def folder(self) -> Path:
        """The folder of this comparison."""
        return self.out / self.name

    @cached_property
    def specs(self) -> dict[str, str]:
        """The spec of each tokenizer by its label, in the order of the file."""
        return specs_by_label(self.tokenizers)

    @cached_property
    def texts(self) -> dict[str, Source]:
        """The source of each further test text by its name, in the order of the file."""
        return {name: Source(of) if isinstance(of, str) else of for name, of in self.evaluate.items()}

    def text_folder(self, text: str = TEST) -> Path:
        """The folder with the corpus and the arrays of the comparison's own text, or of a further one."""
        return self.folder if text == TEST else self.folder / "texts" / text

    def data(self, tokenizer: str, text: str = TEST) -> Path:
        """The folder of a text's arrays of the tokenizer with this label.

        The tokenizer is in a folder below that of the comparison's own text.
        """
        return self.text_folder(text) / "data" / tokenizer

    def budget_of(self, model: str) -> Budget:
        """The budget of a model: its own, or the comparison's."""
        return self.models[model].budget or self.budget

    def seeds_of(self, model: str) -> list[int]:
        """The seeds of a model: its own, or the comparison's."""
        return self.models[model].seeds or self.seeds

    def run(self, tokenizer: str, model: str, seed: int, lr: float | None = None) -> RunSpec:
        """The run of a tokenizer (its label), a model and a seed; `lr` if learning rates are swept."""
        recipe = self.models[model]
        title = "/".join([tokenizer, model, *([f"lr{lr:g}"] if lr else []), f"seed{seed}"])
        config = TrainConfig(
            context=self.context,
            batch=self.batch,
            budget=self.budget_of(model),
            documents=self.documents,
            scoring=self.scoring,
            execution=self.execution,
            checkpoints=self.checkpoints,
            tracking=self.tracking,
            data=self.data(tokenizer),
            out=self.folder / "runs" / title,
            model=recipe.model,
            params=self.total_params(recipe.model),
            optimizer=replace(recipe.optimizer, lr=lr) if lr else recipe.optimizer,
            seed=seed,
            init_seed=init_seed(tokenizer, seed),
            group=self.name,
            model_name=model,
        )
        return RunSpec(tokenizer, self.specs[tokenizer], model, seed, title, config)

    def sweeps(self) -> dict[tuple[str, str], list[RunSpec]]:
        """One run for each learning rate, for every tokenizer and model with a sweep."""
        return {
            (tokenizer, name): [self.run(tokenizer, name, self.seeds_of(name)[0], lr) for lr in recipe.lr]
            for tokenizer in self.specs
            for name, recipe in self.models.items()
            if recipe.lr
        }

    def first_runs(self) -> list[RunSpec]:
        """One run for every tokenizer and model, with the first seed and the first learning rate."""
        return [
            self.run(tokenizer, name, self.seeds_of(name)[0], recipe.lr[0] if recipe.lr else None)
            for tokenizer in self.specs
            for name, recipe in self.models.items()
        ]

    def runs(self, chosen: dict[tuple[str, str], float]) -> list[RunSpec]:
        """The runs of the comparison, by tokenizer; `chosen` holds the learning rates chosen by sweeps."""
        return [
            self.run(tokenizer, name, seed, chosen.get((tokenizer, name)))
            for tokenizer in self.specs
            for name in self.models
            for seed in self.seeds_of(name)
        ]

    def total_params(self, model: ModelConfig) -> int | None:
        """With `params: same_total`, the parameters of a gpt on bytes with the same context; else None."""
        if self.params == "same_body" or model.kind != "gpt":
            return None
        with torch.device("meta"):
            built = build_model(model, 257, round(self.context.in_tokens(1)))
        return built.params_body() + built.params_embedding()

    def resolved(self) -> "Comparison":
        """The same comparison with presets expanded, a budget for each model, only the labels that are not
        derived from the spec, and all keys of further texts."""
        models = {
            name: replace(recipe, model=recipe.model.resolved(), budget=self.budget_of(name))
            for name, recipe in self.models.items()
        }
        texts: dict[str, str | Source] = {**self.texts}
        return replace(self, models=models, tokenizers=shortest_entries(self.specs), evaluate=texts)

    def content(self) -> dict:
        """The whole content as plain values; equal for files with the same meaning."""
        models = {name: replace(recipe, seeds=self.seeds_of(name)) for name, recipe in self.models.items()}
        return plain(replace(self, models=models).resolved())

    def freeze(self, revision: str) -> None:
        """Write comparison.yaml: a comparison file with the same meaning, whose first line is the revision of
        the code."""
        text = as_yaml(self.resolved())
        write_file(self.folder / "comparison.yaml", f"# code: git revision {revision}\n{text}")


def init_seed(tokenizer: str, seed: int) -> int:
    """The seed of the initial weights of a run, different for every tokenizer.

    Batches depend only on the run's seed and are the same for every tokenizer. If weights did, too,
    vocabularies of the same size would start with equal weights and others would not.
    """
    return int.from_bytes(hashlib.sha256(f"{tokenizer} {seed}".encode()).digest()[:4], "big")


def load_comparison(folder: Path) -> Comparison:
    """Load the comparison whose results are in a folder; the folder may have been moved.

    Raises:
        ValueError: the folder holds no comparison, or one of another version.
    """
    folder = folder if folder.name else folder.resolve()
    path = folder / "comparison.yaml"
    if not path.exists():
        raise ValueError(f"{folder} holds no comparison: make one with compare.py")
    try:
        comparison = parse(Comparison, [str(path)])
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}): run compare.py with its file again") from error
    return replace(comparison, out=folder.parent, name=folder.name)


def recorded_comparison(comparison: Comparison) -> Comparison | None:
    """The comparison as it was last run or submitted; None if it never was, or was by another version."""
    paths = [comparison.folder / "comparison.yaml", *comparison.folder.glob("slurm/*/comparison.yaml")]
    paths = sorted((path for path in paths if path.exists()), key=lambda path: path.stat().st_mtime)
    try:
        recorded = parse(Comparison, [str(paths[-1])]) if paths else None
    except ValueError:
        return None
    return recorded and replace(recorded, out=comparison.out, name=comparison.name)
