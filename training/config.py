"""Everything that decides a training run, as typed options; a comparison file has the same ones."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from common.cli import as_yaml, parse
from common.files import write_file
from data_prep.arrays import TokenArrays
from model import ModelConfig
from model.scoring import Scoring

from .budget import Budget, Plan, TextAmount, check_amount, fit_width, make_plan, plan_block_size
from .optimizer import OptimizerConfig

FORMAT = 3  # of checkpoints; a checkpoint of another format is not resumed


@dataclass(frozen=True)
class ExecutionConfig:
    """How steps are computed."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda if there is a GPU, else cpu"""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """bf16 and fp16 are mixed precision (autocast); auto: the fastest that the hardware supports"""
    micro_batch: int | Literal["auto"] = "auto"
    """sequences per forward pass of one process; gradients of a larger batch are accumulated. auto: as
    many as fit into memory"""
    compile: bool | Literal["auto", "graphs"] = "auto"
    """use torch.compile. auto: on a GPU, for runs of at least 500 steps or 5 minutes; graphs: with CUDA
    graphs, which help small models whose kernels are shorter than their launch"""
    compress_gradients: bool = False
    """send gradients between processes in bf16: half the traffic, slightly less precise"""
    bucket_mb: float = 25.0
    """megabytes of gradients sent between processes at a time"""
    on_nonfinite: Literal["stop", "skip"] = "stop"
    """if a loss or gradient is not finite, stop: end the run; skip: leave out the batch, and say so in the
    report"""
    profile: bool = False
    """write a trace of three steps to profile.json and print the ten most expensive operations"""
    max_seconds: float | None = None
    """stop after this many seconds, start-up included; the same command resumes (default: no limit)"""
    timeout: float = 600.0
    """seconds that a process waits for the others before the run ends"""

    def __post_init__(self) -> None:
        if self.micro_batch != "auto" and self.micro_batch < 1:
            raise ValueError(f"execution.micro_batch is {self.micro_batch}: it must be at least 1")
        for name in ("bucket_mb", "timeout", "max_seconds"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"execution.{name} is {value}: it must be above 0")


@dataclass(frozen=True)
class CheckpointConfig:
    """When checkpoints are written, and which are kept."""

    seconds: float = 20.0
    """seconds between two checkpoints; longer if writing one takes more than 0.25 % of that time"""
    keep_last: int = 2
    """newest checkpoints to keep; more than one, in case the newest is damaged"""
    keep_best: bool = False
    """also keep the checkpoint with the lowest val_bpc"""

    def __post_init__(self) -> None:
        if self.keep_last < 1:
            raise ValueError(f"checkpoints.keep_last is {self.keep_last}: it must be at least 1")


@dataclass(frozen=True)
class TrackingConfig:
    """What is recorded of a run, and where."""

    validations: int = 10
    """validations during a run, evenly spaced, the last one at the end"""
    val_chars: int = 20_000
    """characters to validate on, approximately; documents are taken evenly from the split"""
    wandb: Literal["auto", "offline", "online", "disabled"] = "auto"
    """where metrics and reports go in wandb. auto: as WANDB_MODE says; without it online if there is a
    login, else offline"""

    def __post_init__(self) -> None:
        for name in ("validations", "val_chars"):
            if getattr(self, name) < 1:
                raise ValueError(f"tracking.{name} is {getattr(self, name)}: it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Options that a training run and a comparison share."""

    context: TextAmount
    """length of the model's context (block_size), in characters or tokens; give one of the keys"""
    batch: TextAmount
    """text per optimizer step over all processes, in characters or tokens; give one of the keys"""
    budget: Budget
    """how long to train, in characters, tokens, FLOPs, steps or seconds; give one of the keys"""
    documents: Literal["alone", "packed"] = "alone"
    """alone: attention stops at the start of a document, as in the evaluation; packed: it also reaches
    into the documents before"""
    scoring: Scoring = "tf32"
    """precision of validation and evaluation. tf32 is faster than fp32 on a GPU and the same on a CPU;
    bf16 is the fastest"""
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    """device, precision and speed of training"""
    checkpoints: CheckpointConfig = field(default_factory=CheckpointConfig)
    """when checkpoints are written, and which are kept"""
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    """what is recorded of a run, and where"""

    def __post_init__(self) -> None:
        for name in ("context", "batch", "budget"):
            check_amount(name, getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class TrainConfig(TrainingOptions):
    """One training run: one model on the arrays of one tokenizer."""

    data: Path
    """folder of token arrays, such as out/shakespeare/data/bpe-2048"""
    out: Path
    """folder of the run, such as out/mine; an interrupted run found there is resumed"""
    model: ModelConfig = field(default_factory=ModelConfig)
    """architecture and size of the model"""
    params: int | None = None
    """total number of parameters: a gpt gets the n_embd that comes closest (default: model.n_embd decides)"""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """optimizer and learning-rate schedule"""
    seed: int = 0
    """random seed of the batches and the initial weights"""
    init_seed: int | None = None
    """random seed of the initial weights alone (default: seed)"""
    group: str = "codebook"
    """group of the run in wandb; in a comparison its name"""
    model_name: str | None = None
    """name of the model in wandb (default: model.kind)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("seed", "init_seed"):
            if not 0 <= (getattr(self, name) or 0) < 2**63:
                raise ValueError(f"{name} {getattr(self, name)} is not between 0 and 2**63")

    def plan(self, arrays: TokenArrays, processes: int) -> Plan:
        """Convert context, batch and budget to tokens and steps for these arrays.

        Raises:
            ValueError: that is not possible, or a process would have no sequence.
        """
        train = arrays.split("train")
        block_size = plan_block_size(self.context, train)
        model = self.model
        if self.params and model.kind == "gpt":
            model = fit_width(model, arrays.vocab_size, block_size, self.params)
        eot = arrays.eot if self.documents == "alone" else None
        plan = make_plan(
            model, arrays.vocab_size, block_size, self.context, self.batch, self.budget, train, eot
        )
        if plan.sequences < processes:
            raise ValueError(
                f"a batch of {plan.sequences:.3g} sequences is too small for {processes} processes: "
                "set a larger batch or use fewer processes"
            )
        return plan

    def identity(self) -> dict:
        """The options that determine the run's result; a run with another identity is not resumed."""
        values = asdict(self)
        keys = ("params", "context", "batch", "budget", "documents", "optimizer", "seed", "init_seed")
        identity = {"format": FORMAT, "model": asdict(self.model.resolved())}
        identity |= {key: values[key] for key in keys}
        identity |= {k: values["execution"][k] for k in ("precision", "micro_batch", "compress_gradients")}
        return identity | {key: values["tracking"][key] for key in ("validations", "val_chars")}

    def write(self) -> None:
        """Write config.yaml to the run's folder; training with it repeats the run."""
        self.out.mkdir(parents=True, exist_ok=True)
        write_file(self.out / "config.yaml", as_yaml(self))


def read_config(folder: Path) -> TrainConfig:
    """The configuration of the run in a folder.

    Raises:
        ValueError: there is none, or it was written by another version.
    """
    path = folder / "config.yaml"
    if not path.exists():
        raise ValueError(f"{folder} contains no run: train one with train_ddp.py")
    return parse(TrainConfig, [str(path)])
