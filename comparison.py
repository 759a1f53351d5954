"""What a comparison file says: tokenizers, models, and what is held equal between them."""

import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
import yaml

from data_prep.corpus import CorpusConfig
from data_prep.tokenizer import TRAIN_CHARS
from eval.sweep import run_folder
from model import ModelConfig, build_model
from publish import write_file
from tokenizers import check_spec, folder_name
from training.budget import Budget, TextAmount
from training.config import TrainConfig
from training.optimizer import OptimizerConfig


@dataclass(frozen=True)
class Recipe:
    """A model and how it is trained."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """the model"""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """its optimizer and schedule"""
    lr: list[float] | None = None
    """learning rates to try with the first seed; each tokenizer keeps the best on validation text
    (none: optimizer.lr for all)"""
    budget: Budget | None = None
    """in place of the comparison's"""

    def __post_init__(self) -> None:
        if self.lr is not None and (not self.lr or min(self.lr) <= 0 or len(set(self.lr)) < len(self.lr)):
            raise ValueError(f"lr {self.lr}: give learning rates above 0, each once")


HOW_IT_IS_RUN = ("plan", "prepare", "rates", "launcher", "cluster", "dry_run", "status", "cancel", "jobs")


@dataclass(frozen=True)
class Comparison:
    """The same models on the same text under the same budget, by every tokenizer."""

    name: str
    """name of the comparison and of its folder"""
    tokenizers: list[str]
    """byte, char, unigram-N, spbpe-N, bpe-N[:PATTERN], tiktoken:NAME, tiktoken:PATH, sentencepiece:PATH"""
    models: dict[str, Recipe]
    """the models, by a name of your own"""
    context: TextAmount
    """what a model sees at a time, in characters or tokens"""
    batch: TextAmount
    """text per optimizer step, in characters or tokens"""
    budget: Budget
    """how long to train, in characters, tokens, FLOPs, steps or seconds"""
    params: Literal["same_body", "same_total"] = "same_body"
    """same_body: the embedding comes on top; same_total: a gpt gets the width with which it has as many
    parameters in all as with the vocabulary of `byte`"""
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    """where the text comes from"""
    train_chars: int = TRAIN_CHARS
    """characters of the training split that tokenizers are trained on, drawn by document"""
    allow_lossy: bool = False
    """report a published tokenizer that loses text, apart and unranked, rather than refuse it"""
    seeds: list[int] = field(default_factory=lambda: [0])
    """a run for each; results are their mean"""
    overlap: float = 0.5
    """share of each window of the evaluation that is context only"""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """bf16 and fp16 are mixed precision; auto takes what the device does best"""
    micro_batch: int | Literal["auto"] = "auto"
    """sequences at a time on one process; more are accumulated (auto: as many as fit into memory)"""
    validations: int = 10
    """validations during a run"""
    val_chars: int = 20_000
    """validate on every k-th document, so many that they hold about so many characters"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda where there is one"""
    processes: int = 1
    """processes of a training run (torchrun when more than 1), one per GPU"""
    plan: bool = False
    """stop before training: make tokenizers and arrays, time some steps and print what it would take"""
    prepare: bool = False
    """stop before training: make corpus, tokenizers, arrays and every run's config.yaml (docs/slurm.md)"""
    launcher: Literal["local", "slurm"] = "local"
    """slurm: submit what is missing to a Slurm cluster, and return (docs/slurm.md)"""
    cluster: Path = Path("slurm/cluster.yaml")
    """what jobs on the cluster are submitted with"""
    dry_run: bool = False
    """print the commands of sbatch instead of giving them"""
    status: bool = False
    """say what has become of the jobs on the cluster, and stop"""
    cancel: bool = False
    """cancel the comparison's jobs on the cluster, and stop"""
    rates: bool = False
    """with prepare: refuse to, unless all learning rates have been tried"""
    jobs: int | None = None
    """training runs at a time (none: one per CPU core, or one where there is a GPU)"""
    wandb: Literal["auto", "offline", "online", "disabled"] = "auto"
    """where wandb gets metrics and report (auto: by WANDB_MODE, or online with a login, or else offline)"""
    out: Path = Path("out")
    """everything goes below out/<name>"""

    def __post_init__(self) -> None:
        for key in ("tokenizers", "models", "seeds"):
            if not getattr(self, key):
                raise ValueError(f"{key} is empty: give at least one")
        for key in ("tokenizers", "seeds"):
            if len(set(getattr(self, key))) < len(getattr(self, key)):
                raise ValueError(f"{key} names one twice: {getattr(self, key)}")
        for spec in self.tokenizers:
            check_spec(spec)
        if len({folder_name(spec) for spec in self.tokenizers}) < len(self.tokenizers):
            raise ValueError(f"tokenizers: two have the same folder name, move one's file: {self.tokenizers}")
        if self.train_chars < 1:
            raise ValueError(f"train_chars {self.train_chars} must be at least 1")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap {self.overlap} is not at least 0 and below 1")
        for name in [self.name, *self.models]:
            if not re.fullmatch(r"\w[\w.-]*", name):
                raise ValueError(f"'{name}' names a folder: letters, digits, '.', '-' and '_' only")
        if self.processes < 1 or (self.jobs is not None and self.jobs < 1):
            raise ValueError(f"processes {self.processes} and jobs {self.jobs} must be at least 1")
        self.first_runs()  # what a run refuses is refused before anything is made

    @property
    def folder(self) -> Path:
        """Where everything of this comparison goes."""
        return self.out / self.name

    def data(self, spec: str) -> Path:
        """Where the arrays of a tokenizer go; the tokenizer lies below."""
        return self.folder / "data" / folder_name(spec)

    def run(self, spec: str, name: str, seed: int, lr: float | None = None) -> TrainConfig:
        """The training run of a tokenizer, a model and a seed; `lr` where learning rates are swept."""
        recipe = self.models[name]
        return TrainConfig(
            data=self.data(spec),
            out=run_folder(self.folder, spec, name, seed, lr),
            model=recipe.model,
            params=self.total_params(recipe.model),
            context=self.context,
            batch=self.batch,
            budget=recipe.budget or self.budget,
            optimizer=replace(recipe.optimizer, lr=lr) if lr else recipe.optimizer,
            seed=seed,
            precision=self.precision,
            micro_batch=self.micro_batch,
            validations=self.validations,
            val_chars=self.val_chars,
            device=self.device,
            wandb=self.wandb,
            group=self.name,
            model_name=name,
        )

    def sweeps(self) -> dict[tuple[str, str], list[TrainConfig]]:
        """For every tokenizer and model whose learning rate is chosen, a run for each rate."""
        return {
            (spec, name): [self.run(spec, name, self.seeds[0], lr) for lr in recipe.lr]
            for spec in self.tokenizers
            for name, recipe in self.models.items()
            if recipe.lr
        }

    def first_runs(self) -> list[TrainConfig]:
        """One run for every tokenizer and model, with the first seed and the first learning rate."""
        return [
            self.run(spec, name, self.seeds[0], recipe.lr[0] if recipe.lr else None)
            for spec in self.tokenizers
            for name, recipe in self.models.items()
        ]

    def runs(self, chosen: dict[tuple[str, str], float]) -> list[TrainConfig]:
        """The runs that count, a whole tokenizer after the other; `chosen` has the sweeps' learning rates."""
        return [
            self.run(spec, name, seed, chosen.get((spec, name)))
            for spec in self.tokenizers
            for name in self.models
            for seed in self.seeds
        ]

    def total_params(self, model: ModelConfig) -> int | None:
        """With `params: same_total` the parameters of a gpt on bytes, the context being as many."""
        if self.params == "same_body" or model.kind != "gpt":
            return None
        with torch.device("meta"):
            built = build_model(model, 257, self.context.tokens or self.context.chars)
        return built.params_body() + built.params_embedding()

    def content(self) -> dict:
        """What a comparison file says that makes the same comparison, as plain values."""
        content = asdict(self) | {"out": str(self.out)}
        return {key: value for key, value in content.items() if key not in HOW_IT_IS_RUN}

    def freeze(self, revision: str) -> None:
        """Write the resolved configuration, and in its first line which code ran it."""
        content = self.content()
        for name, recipe in self.models.items():
            content["models"][name]["model"] = asdict(recipe.model.resolved())
            content["models"][name]["params"] = self.total_params(recipe.model)
            content["models"][name]["budget"] = asdict(recipe.budget or self.budget)
        text = yaml.safe_dump(content, sort_keys=False)
        write_file(self.folder / "comparison.yaml", f"# code: git revision {revision}\n{text}")
