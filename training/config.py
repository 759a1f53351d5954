"""Everything that decides a training run, as typed options."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import yaml

from data_prep.arrays import TokenArrays
from model import ModelConfig
from publish import write_file

from .budget import Budget, Plan, TextAmount, check_amount, fit_width, make_plan, plan_block_size
from .checkpoint import FORMAT
from .optimizer import OptimizerConfig


@dataclass(frozen=True)
class TrainConfig:
    """One training run: one model on the arrays of one tokenizer."""

    data: Path
    """folder of token arrays, such as out/shakespeare/data/bpe-2048"""
    out: Path
    """folder of the run; an interrupted run found there goes on"""
    context: TextAmount
    """what the model sees at a time (its block_size), in characters or tokens"""
    batch: TextAmount
    """text per optimizer step over all processes, in characters or tokens"""
    budget: Budget
    """how long to train, in characters, tokens, FLOPs, steps or seconds"""
    model: ModelConfig = field(default_factory=ModelConfig)
    """the model"""
    params: int | None = None
    """parameters in all: a gpt gets the n_embd that comes nearest (none: the one it has)"""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """AdamW and its schedule"""
    seed: int = 0
    """decides the initial weights and the batches"""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """bf16 and fp16 are mixed precision (autocast); auto takes what the device does best"""
    micro_batch: int | Literal["auto"] = "auto"
    """sequences at a time on one process; more are accumulated (auto: as many as fit into memory)"""
    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile; auto: on a GPU, for runs of 500 steps or 5 minutes and more"""
    compress_gradients: bool = False
    """send gradients between processes in bf16: half the traffic, a little noise"""
    bucket_mb: float = 25.0
    """megabytes of gradients that are sent between processes at a time"""
    on_bad_numbers: Literal["stop", "skip", "rewind"] = "stop"
    """where a loss or gradient is not finite; stop: end the run; skip: pass over the batch; rewind: go back
    to the last checkpoint, and pass over all batches since"""
    profile: bool = False
    """write a trace of three steps to profile.json and print the ten costliest operations"""
    validations: int = 10
    """validations during the run, evenly spaced, the last one at the end"""
    val_chars: int = 20_000
    """validate on every k-th document, so many that they hold about so many characters"""
    checkpoint_seconds: float = 20.0
    """time between two checkpoints; more where one takes over a quarter of a per cent of it"""
    keep_last: int = 2
    """checkpoints that are kept: the newest, and others in case it is damaged"""
    keep_best: bool = False
    """keep the checkpoint with the lowest val_bpc, too"""
    max_seconds: float | None = None
    """stop after this time, start of the process included; the same command goes on (none: no limit)"""
    timeout: float = 600.0
    """seconds that processes wait for one of them before the run ends"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda where there is one"""
    wandb: Literal["auto", "offline", "online", "disabled"] = "auto"
    """where wandb gets the metrics (auto: as WANDB_MODE says, or online with a login, or else offline)"""
    group: str = "codebook"
    """wandb's group, the comparison's name"""
    model_name: str | None = None
    """what wandb calls the model, its name in the comparison (none: its kind)"""

    def __post_init__(self) -> None:
        for name in ("context", "batch", "budget"):
            check_amount(name, getattr(self, name))
        for name in ("validations", "val_chars", "micro_batch", "keep_last"):
            value = getattr(self, name)
            if value != "auto" and value < 1:
                raise ValueError(f"{name} is {value}: it must be at least 1")
        for name in ("bucket_mb", "timeout", "max_seconds"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} is {value}: it must be above 0")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed {self.seed} is not between 0 and 2**63")

    def plan(self, arrays: TokenArrays, processes: int) -> Plan:
        """What context, batch and budget mean on these arrays.

        Raises:
            ValueError: they mean nothing there, or leave one of the processes without a sequence.
        """
        train = arrays.split("train")
        block_size = plan_block_size(self.context, train)
        model = self.model
        if self.params and model.kind == "gpt":
            model = fit_width(model, arrays.vocab_size, block_size, self.params)
        plan = make_plan(model, arrays.vocab_size, block_size, self.batch, self.budget, train)
        if plan.sequences < processes:
            raise ValueError(
                f"a batch of {plan.sequences} sequences is too small for {processes} processes: "
                "set a larger batch or fewer processes"
            )
        return plan

    def identity(self) -> dict:
        """What decides the run's result; a run found with another identity is not continued."""
        keys = ("model", "params", "context", "batch", "budget", "optimizer", "seed", "precision")
        more = ("micro_batch", "compress_gradients", "validations", "val_chars")
        values = asdict(self)
        identity = {key: values[key] for key in keys + more}
        return {"format": FORMAT, **identity, "model": asdict(self.model.resolved())}

    def write(self, path: Path) -> None:
        """Write the YAML file that makes the same run again."""
        content = {key: str(v) if isinstance(v, Path) else v for key, v in asdict(self).items()}
        write_file(path, yaml.safe_dump(content, sort_keys=False))
